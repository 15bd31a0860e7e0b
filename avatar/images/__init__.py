"""Image input and output: files from cameras, scanners and web pages are converted to plain RGB."""
