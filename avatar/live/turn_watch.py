"""Detection of a camera that is mounted upside down or on its side."""

from __future__ import annotations

import numpy as np

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage
from avatar.system.message import together
from avatar.tracking import Face, FaceTracker
from avatar.tracking.upright import is_surely_upright, likeliest_turn, weigh_turns

LOOK_PX = 320  # longer side of the downscaled frames; a check takes as long as drawing two or three frames
FIRST_S, EVERY_S = 1.0, 2.0  # delay of the first check after the source's first frame, and interval of the checks
VOTES, MOST_LOOKS = 2, 6  # checks that must find a face, and maximum number of checks


class TurnWatch:
    """Orientation check for the first seconds of a source; used on one thread."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start again, for another source."""
        self._next_s: float | None = None
        self._looks = 0
        self._votes: list[FloatArray] = []

    def note(self, rgb: RgbImage, face: Face | None, tracker: FaceTracker, now_s: float) -> str | None:
        """Check a frame; returns a note for the user, once, if the camera is turned.

        Args:
            rgb: (H, W, 3) uint8, a frame of the source.
            face: the tracked face.
            tracker: its tracking state is not used or changed.
            now_s: non-decreasing.
        """
        if self._looks == MOST_LOOKS:
            return None
        if face is not None and is_surely_upright([face]):
            self._looks = MOST_LOOKS
            return None
        self._next_s = now_s + FIRST_S if self._next_s is None else self._next_s
        if now_s < self._next_s:
            return None
        self._next_s = now_s + EVERY_S
        self._looks += 1
        weights = weigh_turns(_small(rgb), tracker)
        self._votes += [weights] if weights.max() > 0 else []
        if len(self._votes) < VOTES:
            return None
        self._looks = MOST_LOOKS
        turn_deg = likeliest_turn(np.min(self._votes, axis=0))  # evidence that all votes share
        if not turn_deg:
            return None
        return together(
            "The face in the camera's picture is upside down, so it cannot be followed well."
            if turn_deg == 180
            else "The face in the camera's picture lies on its side, so it cannot be followed well.",
            "Turn the camera, or let its driver turn the picture.",
        )


def _small(rgb: RgbImage) -> RgbImage:
    """Downscale (H, W, 3) uint8 to a longer side of at most LOOK_PX."""
    step = max(1.0, max(rgb.shape) / LOOK_PX)
    size = (max(1, round(rgb.shape[1] / step)), max(1, round(rgb.shape[0] / step)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
