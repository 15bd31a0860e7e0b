"""Content Credentials: signed statements of how a recording was made."""
