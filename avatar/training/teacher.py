"""The warp engine as a teacher: stills of people who do not exist, moved as the people in the clips move.

Every frame takes an expression from a training clip, often with a blink or a glance more, and a turn of the head that
nobody made. Frames of one identity are then pairs of source and driving frame. They are drawn in worker processes,
while the networks train on what is there already.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from avatar.frames import FloatArray, Frame
from avatar.motion.idle import close_lids, look
from avatar.motion.reference import neutral_frame
from avatar.motion.track import MotionTrack
from avatar.tracking import pose_of
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.pose import angles_deg, rotation_from_angles
from avatar.tracking.regions import EYES
from avatar.training.config import TeacherConfig
from avatar.training.pack import Group, Pack, load_pack

FURTHEST_DEG = np.array([27.0, 20.0, 22.0])  # yaw, pitch, roll: no head is turned further, by clip and chance together
SHIFT, ZOOM = 0.10, 0.06  # spreads of the head's shift (head units) and of the logarithm of its size
BLINKS, WINKS, GLANCES = 0.3, 0.15, 0.5  # shares of the frames; winks: of the blinks
GLANCE_DEG = (24.0, 10.0)  # at most, sideways and up or down
EAGERNESS = (0.8, 1.3)  # strength of the expression
_BLINK = [BLENDSHAPES.index(name) for name in ("eyeBlinkRight", "eyeBlinkLeft")]  # in the order of EYES


@dataclass(frozen=True, eq=False)
class Lesson:
    """One identity, moved."""

    identity: str
    pictures: npt.NDArray[np.uint8]  # (F, size, size, 3) RGB; the first is the still itself
    landmarks: FloatArray  # (F, 478, 2) pixels


class Teacher:
    """Draws lessons in processes of its own."""

    def __init__(self, path: Path, pack: Pack, config: TeacherConfig, seed: int) -> None:
        """Start the workers.

        Args:
            path: of the pack, which each worker reads for itself: handing it over would start them one by one.
            pack: with tracked clips, which lend the motions, and stills or pairs, which are moved.
            config: how much.
            seed: the lessons depend on it and on the pack, not on how many workers there are.
        """
        stills = [g for g in pack.groups if g.kind in ("still", "pair") and not g.held_out]
        self.count = len(stills)
        workers = config.workers or max(1, (os.cpu_count() or 2) - 1)
        with _one_thread_each():  # spawned, not forked: this process may hold a GPU and threads
            self._pool = multiprocessing.get_context("spawn").Pool(workers, _begin, (path, config, seed))
        self._lessons = self._pool.imap(_lesson, stills)

    def lessons(self) -> Iterator[Lesson]:
        """All of them, in the order of the pack; waits for each."""
        yield from self._lessons

    def ready(self, timeout_s: float = 0.0) -> Lesson | None:
        """The next one if it is drawn by then; None if not. Raises StopIteration after the last."""
        try:
            return self._lessons.next(timeout_s)
        except multiprocessing.TimeoutError:
            return None

    def close(self) -> None:
        """End the workers; safe to call twice."""
        self._pool.terminate()
        self._pool.join()


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """What is started meanwhile computes on one thread: the workers already fill the cores."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


@dataclass(frozen=True, eq=False)
class _Motion:
    """A training clip as a source of expressions."""

    track: MotionTrack
    reference: Face


_school: tuple[Pack, TeacherConfig, int, list[_Motion]] | None = None  # of a worker process, which does nothing else


def _begin(path: Path, config: TeacherConfig, seed: int) -> None:
    global _school  # noqa: PLW0603 - how a pool's workers get what they all need
    from avatar.cv import cv2

    cv2.setNumThreads(1)
    pack = load_pack(path)
    _school = pack, config, seed, motions_of(pack)


def _lesson(group: Group) -> Lesson:
    assert _school is not None
    pack, config, seed, motions = _school
    return draw_lesson(pack, group, motions, config, np.random.default_rng([seed, group.start]))


def motions_of(pack: Pack) -> list[_Motion]:
    """The clips that may be trained on, each with its neutral frame."""
    found = []
    for group in pack.groups:
        if group.kind != "clip" or group.held_out or group.count < 2:
            continue
        part = slice(group.start, group.start + group.count)
        track = MotionTrack(
            pack.landmarks[part], pack.blendshapes[part], np.ones(group.count, np.float32),
            np.arange(group.count) / 25, pack.size, pack.size, group.name,
        )  # fmt: skip
        found.append(_Motion(track, track.face(neutral_frame(track))))
    return found


def draw_lesson(
    pack: Pack, group: Group, motions: list[_Motion], config: TeacherConfig, random: np.random.Generator
) -> Lesson:
    """Move the first picture of a group `config.frames` times."""
    from avatar.engine.warp.engine import WarpEngine, WarpOptions

    rgb = pack.picture(group.start)
    landmarks = pack.landmarks[group.start]
    face = Face(landmarks, pack.blendshapes[group.start], 1.0, pose_of(landmarks))
    pictures, points = [rgb], [landmarks[:, :2]]
    engine = WarpEngine(None)
    source = engine.prepare_source(Frame(rgb, 0, 0), face, pack.matte(group.start), hurry=False)
    engine.use_source(source)  # on one thread: the workers already fill the cores
    for number in range(config.frames):
        motion = motions[int(random.integers(len(motions)))]
        driving = motion.track.face(int(random.integers(len(motion.track))))
        engine.options = WarpOptions(strength_expression=float(random.uniform(*EAGERNESS)))
        engine.calibrate_face(motion.reference)
        varied = _varied(driving, motion.reference, face, config.turn_deg, random)
        pictures.append(engine.animate_face(varied, number / 25))
        points.append(engine.landmarks()[:, :2])
    return Lesson(group.identity, np.stack(pictures), np.stack(points).astype(np.float32))


def _varied(face: Face, reference: Face, portrait: Face, turn_deg: float, random: np.random.Generator) -> Face:
    """The face with a turn, a blink or a glance that its clip does not have."""
    pose = face.pose
    points = ((face.landmarks - pose.centre_px) @ pose.rotation / np.float32(pose.scale_px)).astype(np.float64)
    blendshapes = face.blendshapes.copy()
    if random.random() < GLANCES:
        gaze = (random.uniform(-1, 1) * GLANCE_DEG[0], random.uniform(-1, 1) * GLANCE_DEG[1])
        for eye in EYES:
            look(points, eye, gaze)
    if random.random() < BLINKS:
        closing = 1.0 if random.random() < 0.5 else float(random.uniform(0.2, 1))
        winks = random.random() < WINKS
        side = int(random.integers(2))
        for index, eye in enumerate(EYES):
            if not winks or index == side:
                close_lids(points, eye, closing)
                blendshapes[_BLINK[index]] = max(blendshapes[_BLINK[index]], closing)
    turn = random.normal(size=3) * turn_deg * np.array([0.5, 0.3, 0.25])
    rotation = _bounded(rotation_from_angles(*turn.tolist()) @ pose.rotation, reference, portrait)
    scale = pose.scale_px * float(np.exp(ZOOM * random.normal()))
    shift = np.array([*(SHIFT * random.normal(size=2)), 0.0]) * pose.scale_px
    landmarks = (points @ rotation.T * scale + pose.centre_px + shift).astype(np.float32)
    return replace(face, landmarks=landmarks, blendshapes=blendshapes, pose=pose_of(landmarks))


def _bounded(rotation: FloatArray, reference: Face, portrait: Face) -> FloatArray:
    """The rotation, held back where the portrait would turn further than FURTHEST_DEG and than it is turned already."""
    since = np.array(angles_deg(rotation @ reference.pose.rotation.T))
    own = np.array([portrait.pose.yaw_deg, portrait.pose.pitch_deg, portrait.pose.roll_deg])
    low, high = np.minimum(0, -FURTHEST_DEG - own), np.maximum(0, FURTHEST_DEG - own)
    kept = np.clip(np.clip(since, -FURTHEST_DEG, FURTHEST_DEG), low, high)
    return np.asarray(rotation_from_angles(*kept.tolist()) @ reference.pose.rotation, np.float32)
