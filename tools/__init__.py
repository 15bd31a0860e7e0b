"""Developer tools; never in the wheel."""
