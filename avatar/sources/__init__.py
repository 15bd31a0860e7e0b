"""Sources of driving frames: cameras, video files, animated images and folders of images."""
