"""What moves: tracked motion, the reference frame, and how both carry over to a portrait."""

from avatar.motion.keypoints import Keypoints, relative_keypoints

__all__ = ["Keypoints", "relative_keypoints"]
