"""Shots of a clip with cuts: continuous head motion across cuts, by aligning the rest position of every shot."""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass

import numpy as np

from avatar.frames import FloatArray
from avatar.motion.track import MotionTrack
from avatar.system.message import Message
from avatar.tracking.face import Face

MOST_SAMPLES = 400  # faces of a shot from which the rest position of its head is estimated


@dataclass(frozen=True, eq=False)
class _Place:
    centre_px: FloatArray  # (3,)
    scale_px: float


class Shots:
    """Faces of a clip, with every shot shifted and scaled to the head position of the reference frame.

    Shift and zoom are measured per shot; rotation and expression refer to the reference frame of the whole clip.
    """

    def __init__(self, track: MotionTrack, reference: int) -> None:
        """Estimate the rest position of the head in each shot.

        Args:
            track: the clip with its cuts.
            reference: index of the reference frame; its shot is left unchanged.
        """
        self._track = track
        pose = track.face(reference).pose
        self._target = _Place(pose.centre_px, pose.scale_px)
        self._starts = (0, *track.cuts, len(track))
        own = self._number(reference)
        self._places = [
            None if number == own else _rest(track, start, end)
            for number, (start, end) in enumerate(itertools.pairwise(self._starts))
        ]

    def face(self, index: int) -> Face:
        """Return the face of one frame, as `MotionTrack.face`, at the position it would have without cuts."""
        face, place = self._track.face(index), self._places[self._number(index)]
        if place is None:
            return face
        return face.moved(place.centre_px, self._target.centre_px, self._target.scale_px / place.scale_px)

    def around(self, index: int) -> tuple[int, int]:
        """Return the first frame of the shot that a frame belongs to, and the first one after it."""
        number = self._number(index)
        return self._starts[number], self._starts[number + 1]

    def carry_back(self, point_px: FloatArray, index: int) -> tuple[FloatArray, float]:
        """Map a point (2,) near the head from the reference's shot to this frame's shot; returns (2,) and the zoom."""
        place = self._places[self._number(index)] or self._target
        times = place.scale_px / self._target.scale_px
        return (point_px - self._target.centre_px[:2]) * np.float32(times) + place.centre_px[:2], times

    def _number(self, index: int) -> int:
        return bisect.bisect_right(self._track.cuts, index)


def cuts_note(cuts: int) -> str:
    """Return the note that tells the user about the cuts of a clip."""
    if cuts == 1:
        return "The clip has a cut; after it the head's position and size are measured again."
    return Message("The clip has {cuts} cuts; after each the head's position and size are measured again.", cuts=cuts)


def _rest(track: MotionTrack, start: int, end: int) -> _Place | None:
    """Return the median position of the head in frames `start` to `end`; None if no face is seen there."""
    seen = start + np.flatnonzero(track.presence[start:end] > 0)
    if not seen.size:
        return None
    poses = [track.face(int(index)).pose for index in seen[:: math.ceil(seen.size / MOST_SAMPLES)]]
    centre = np.median([pose.centre_px for pose in poses], axis=0).astype(np.float32)
    return _Place(centre, max(float(np.median([pose.scale_px for pose in poses])), 1e-3))
