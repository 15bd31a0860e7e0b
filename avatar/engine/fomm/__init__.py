"""The First Order Motion Model as an engine: learned keypoints, dense motion, a generator, at any resolution."""
