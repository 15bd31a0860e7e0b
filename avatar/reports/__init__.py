"""Text for the terminal and JSON reports, without names and folders."""
