"""Motion: tracked faces over time, the reference frame, and motion transfer to a portrait."""

from avatar.motion.keypoints import Keypoints, relative_keypoints

__all__ = ["Keypoints", "relative_keypoints"]
