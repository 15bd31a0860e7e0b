"""Where driving frames come from: video files and folders of pictures."""
