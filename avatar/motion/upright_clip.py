"""Clips that show a face upside down or on its side: the rotation is determined once, before tracking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from avatar.cv import cv2
from avatar.errors import FaceError
from avatar.frames import FloatArray, Frame, RgbImage
from avatar.sources.facts import DrivingVideo
from avatar.sources.video import open_driving
from avatar.system.foreign_text import shown
from avatar.system.message import Message
from avatar.tracking import FaceTracker
from avatar.tracking.upright import SURE, TURNS_DEG, is_surely_upright, likeliest_turn, turned, weigh_turns

VOTES = 5  # frames with a face that vote
CLEAR = 15.0  # lead of the best rotation after two votes that makes further votes unnecessary; 31 is usual
LOOK_PX = 512  # longer side of the downscaled frames that are tried in all orientations
STRAIGHT_DEG = 30.0  # tilt of a head below which a face alone determines the orientation
EVERY = 5  # frames between two votes; the interval grows while there is no face


class TurnedVideo(DrivingVideo):
    """A clip whose frames are turned by 90, 180 or 270 degrees."""

    def __init__(self, clip: DrivingVideo, turn_deg: int) -> None:
        """Wrap a clip and take ownership of it; `turn_deg` is clockwise."""
        self._clip, self._turn_deg = clip, turn_deg
        size = (clip.facts.width_px, clip.facts.height_px)
        width_px, height_px = size[::-1] if turn_deg % 180 else size
        self.facts = replace(clip.facts, width_px=width_px, height_px=height_px)
        self.end_s = 0.0
        self.notes: list[str] = []
        self._keep_up()

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._clip:
            self._keep_up()
            yield replace(frame, rgb=turned(frame.rgb, self._turn_deg))
        self._keep_up()

    def _keep_up(self) -> None:
        self.end_s = self._clip.end_s
        self.notes = [*self._clip.notes, turn_note(self.facts.path.name, self._turn_deg)]

    def rewind(self) -> bool:
        """Rewind to the start; False if the clip has to be opened again instead."""
        return self._clip.rewind()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._clip.close()


def turn_note(name: str, turn_deg: int) -> str:
    """Return the note that tells the user that a clip is rotated, and why."""
    if turn_deg == 180:
        return Message("The face in {name} is upside down, so the frames are turned by 180 degrees.", name=shown(name))
    return Message(
        "The face in {name} lies on its side, so the frames are turned by {angle} degrees.",
        name=shown(name),
        angle=turn_deg,
    )


def open_turned(path: Path, turn_deg: int) -> DrivingVideo:
    """Open a driving clip and rotate its frames clockwise. Raises as `open_driving`."""
    clip = open_driving(path)
    return TurnedVideo(clip, turn_deg) if turn_deg else clip


def turn_of_clip(path: Path, tracker: FaceTracker) -> int:
    """Determine the rotation that brings a clip's face upright: 0, 90, 180 or 270 degrees clockwise.

    Raises:
        VideoError, ImageError: the clip cannot be read.
        FaceError: there is a face, but its orientation is ambiguous.
    """
    with open_driving(path) as clip:
        turn_deg = settle_turn((frame.rgb for frame in clip), tracker)
    if turn_deg is None:
        raise FaceError(
            Message("It is unclear which way up the face in {name} is.", name=path.name),
            remedy="Turn the clip upright with a video editor, or use one in which the face is seen better.",
        )
    return turn_deg


def settle_turn(frames: Iterable[RgbImage], tracker: FaceTracker) -> int | None:
    """Determine the rotation by a vote over the first frames with a face; reads no further than needed.

    Args:
        frames: (H, W, 3) uint8 RGB.
        tracker: its tracking state is not used or changed.
    Returns:
        Degrees clockwise; 0 also where no face is found; None where a face is found but the votes are ambiguous.
    """
    votes: list[_Vote] = []
    next_look = 0
    for number, rgb in enumerate(frames):
        if number < next_look:
            continue
        next_look = number + (EVERY if votes else max(EVERY, number))
        vote = _vote(rgb, tracker)
        if vote.certain:
            return 0
        votes += [vote] if vote.weights.max() > 0 else []
        if len(votes) == VOTES or (len(votes) > 1 and _lead(votes) > CLEAR):
            break
    return _outcome(votes) if votes else 0


@dataclass(frozen=True, eq=False)
class _Vote:
    weights: FloatArray  # (4,), see `weigh_turns`
    straight: bool  # without rotation the frame shows a face that is hardly tilted
    certain: bool = False  # that face is surely upright


def _vote(rgb: RgbImage, tracker: FaceTracker) -> _Vote:
    """Evaluate one (H, W, 3) uint8 frame, downscaled first: most faces in clips are large enough for that."""
    step = max(rgb.shape) / LOOK_PX
    size = (max(1, round(rgb.shape[1] / step)), max(1, round(rgb.shape[0] / step)))
    copies = [np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)), rgb] if step > 1 else [rgb]
    vote = _Vote(np.zeros(len(TURNS_DEG), np.float32), straight=False)
    for copy in copies:
        found = tracker.detect(copy)
        straight = bool(found) and abs(found[0].pose.roll_deg) < STRAIGHT_DEG
        if straight and is_surely_upright(found):
            return replace(vote, straight=True, certain=True)
        vote = _Vote(weigh_turns(copy, tracker, found), straight)
        if vote.weights.max() > SURE:
            break
    return vote


def _outcome(votes: list[_Vote]) -> int | None:
    """Return the rotation with the most evidence over all votes; None if it is ambiguous.

    A head that leans by 50 degrees leans by 40 to the other side when its clip lies on its side. The result is
    ambiguous if every vote for upright shows such a head and another vote is clearly for a rotation.
    """
    turn_deg = likeliest_turn(np.mean([vote.weights for vote in votes], axis=0))
    upright = [vote for vote in votes if vote.weights.argmax() == 0]
    dissent = any(vote.weights.argmax() != 0 and vote.weights.max() > SURE for vote in votes)
    if turn_deg == 0 and dissent and not any(vote.straight for vote in upright):
        return None
    return turn_deg


def _lead(votes: list[_Vote]) -> float:
    """Return the lead of the best rotation over the second best."""
    second, first = np.sort(np.mean([vote.weights for vote in votes], axis=0))[-2:]
    return float(first - second)
