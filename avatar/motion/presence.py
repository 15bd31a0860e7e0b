"""Weight of a driver who comes and goes: the motion is held at first, then released, and resumed on return."""

from __future__ import annotations

HOLD_S = 0.25  # a face lost for less than this keeps its last motion
RELEASE_S = 0.8  # time over which the portrait then eases back to rest
CATCH_S = 0.3  # time over which it resumes the motion when the face is back


class Presence:
    """Weight of the driver's motion over time; updated once per frame."""

    def __init__(self) -> None:
        self.weight = 1.0  # 1: the driver's motion, 0: at rest
        self._seen_s: float | None = None  # when the driver was last seen
        self._frame_s: float | None = None

    def update(self, seen: bool, time_s: float) -> float:
        """Return the weight of a frame at a time on any steady clock."""
        elapsed_s = 0.0 if self._frame_s is None else min(max(time_s - self._frame_s, 0.0), RELEASE_S)
        self._frame_s = time_s
        if seen:
            self.weight = 1.0 if self._seen_s is None else min(1.0, self.weight + elapsed_s / CATCH_S)
            self._seen_s = time_s
        elif self._seen_s is not None and time_s - self._seen_s > HOLD_S:
            self.weight = max(0.0, self.weight - elapsed_s / RELEASE_S)
        return self.weight
