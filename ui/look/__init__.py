"""Theme, icons and languages."""
