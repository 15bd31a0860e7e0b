"""Cuts in a clip: where the picture jumps as no head does, and how the head goes on from its place before."""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass

import numpy as np

from avatar.frames import FloatArray
from avatar.motion.track import MotionTrack
from avatar.tracking.face import Face

MOST_LOOKS = 400  # faces of a shot that are looked at to tell where its head is at rest


@dataclass(frozen=True, eq=False)
class _Place:
    centre_px: FloatArray  # (3,)
    scale_px: float


class Shots:
    """The faces of a clip, each shot seen as if the head rested where it does in the reference frame.

    Shift and zoom start afresh in every shot; turns and expression keep the one reference frame of the clip.
    """

    def __init__(self, track: MotionTrack, reference: int) -> None:
        """Find out where the head rests in each shot.

        Args:
            track: with its cuts.
            reference: the frame that counts as neutral; its shot stays as it is.
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
        """Return the face of one frame, as `MotionTrack.face`, in the place it would have without cuts."""
        face, place = self._track.face(index), self._places[self._number(index)]
        if place is None:
            return face
        return face.moved(place.centre_px, self._target.centre_px, self._target.scale_px / place.scale_px)

    def around(self, index: int) -> tuple[int, int]:
        """Return the first frame of the shot that a frame belongs to, and the first one after it."""
        number = self._number(index)
        return self._starts[number], self._starts[number + 1]

    def carry_back(self, point_px: FloatArray, index: int) -> tuple[FloatArray, float]:
        """Return where a point (2,) by the head in the reference's shot lies in this frame's, and the zoom there."""
        place = self._places[self._number(index)] or self._target
        times = place.scale_px / self._target.scale_px
        return (point_px - self._target.centre_px[:2]) * np.float32(times) + place.centre_px[:2], times

    def _number(self, index: int) -> int:
        return bisect.bisect_right(self._track.cuts, index)


def cuts_note(cuts: int) -> str:
    """Return what a user should know of a clip with cuts."""
    if cuts == 1:
        return "The clip has a cut; after it the head's place and size are measured afresh."
    return f"The clip has {cuts} cuts; after each the head's place and size are measured afresh."


def _rest(track: MotionTrack, start: int, end: int) -> _Place | None:
    """The usual place of the head in frames `start` to `end`; None if it is not seen there."""
    seen = start + np.flatnonzero(track.presence[start:end] > 0)
    if not seen.size:
        return None
    poses = [track.face(int(index)).pose for index in seen[:: math.ceil(seen.size / MOST_LOOKS)]]
    centre = np.median([pose.centre_px for pose in poses], axis=0).astype(np.float32)
    return _Place(centre, max(float(np.median([pose.scale_px for pose in poses])), 1e-3))
