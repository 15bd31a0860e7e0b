"""Synthetic data generator: still images animated by the warp engine with motion from the training clips.

Every frame takes its expression from a training clip, often with an added blink or glance, and a random head
rotation. Frames of one identity then serve as source and driving frame. They are rendered in worker processes while
training is already running.
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

from avatar.frames import FloatArray
from avatar.motion.idle import close_lids, look
from avatar.motion.reference import neutral_frame
from avatar.motion.track import MotionTrack
from avatar.settings import MotionSettings
from avatar.tracking import pose_of
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.pose import angles_deg, rotation_from_angles
from avatar.tracking.regions import EYES
from avatar.training.config import SyntheticConfig
from avatar.training.pack import Group, Pack, load_pack

FURTHEST_DEG = np.array([27.0, 20.0, 22.0])  # limits of yaw, pitch, roll: clip and random rotation together
SHIFT, ZOOM = 0.10, 0.06  # standard deviations of the head's shift (head units) and of the logarithm of its size
BLINKS, WINKS, GLANCES = 0.3, 0.15, 0.5  # fraction of frames with a blink, of blinks with one eye, of glances
GLANCE_DEG = (24.0, 10.0)  # maximum glance, sideways and up or down
EXPRESSION_GAIN = (0.8, 1.3)  # range of the expression strength
_BLINK = [BLENDSHAPES.index(name) for name in ("eyeBlinkRight", "eyeBlinkLeft")]  # in the order of EYES


@dataclass(frozen=True, eq=False)
class SyntheticClip:
    """Rendered frames of one identity."""

    identity: str
    images: npt.NDArray[np.uint8]  # (F, size, size, 3) RGB; the first is the still image itself
    landmarks: FloatArray  # (F, 478, 2) pixels


class SyntheticGenerator:
    """Generator of synthetic clips in worker processes."""

    def __init__(self, path: Path, pack: Pack, config: SyntheticConfig, seed: int) -> None:
        """Start the workers.

        Args:
            path: the pack's file, which each worker reads itself: sending the pack would serialise their start.
            pack: provides tracked clips as motion, and stills or pairs to animate.
            config: the recipe's teacher section.
            seed: together with the pack it determines the clips, regardless of the number of workers.
        """
        stills = [g for g in pack.groups if g.kind in ("still", "pair") and not g.held_out]
        self.count = len(stills)
        workers = config.workers or max(1, (os.cpu_count() or 2) - 1)
        with _one_thread_each():  # spawned, not forked: this process may hold a GPU and threads
            self._pool = multiprocessing.get_context("spawn").Pool(workers, _init_worker, (path, config, seed))
        self._clips = self._pool.imap(_render_group, stills)

    def clips(self) -> Iterator[SyntheticClip]:
        """Yield all clips in the order of the pack; waits for each."""
        yield from self._clips

    def ready(self, timeout_s: float = 0.0) -> SyntheticClip | None:
        """Return the next clip if it is rendered within `timeout_s`, else None. Raises StopIteration after the last."""
        try:
            return self._clips.next(timeout_s)
        except multiprocessing.TimeoutError:
            return None

    def close(self) -> None:
        """Terminate the workers; safe to call twice."""
        self._pool.terminate()
        self._pool.join()


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Limit processes started in this block to one compute thread each: the workers already use all cores."""
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
    """A training clip with its reference face."""

    track: MotionTrack
    reference: Face


_worker_state: tuple[Pack, SyntheticConfig, int, list[_Motion]] | None = None  # set in worker processes only


def _init_worker(path: Path, config: SyntheticConfig, seed: int) -> None:
    global _worker_state  # noqa: PLW0603 - the initialiser of a pool can pass state to its tasks in no other way
    from avatar.cv import cv2

    cv2.setNumThreads(1)
    pack = load_pack(path)
    _worker_state = pack, config, seed, motions_of(pack)


def _render_group(group: Group) -> SyntheticClip:
    assert _worker_state is not None
    pack, config, seed, motions = _worker_state
    return render_clip(pack, group, motions, config, np.random.default_rng([seed, group.start]))


def motions_of(pack: Pack) -> list[_Motion]:
    """Return the clips of the training set, each with its neutral frame as reference."""
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


def render_clip(
    pack: Pack, group: Group, motions: list[_Motion], config: SyntheticConfig, random: np.random.Generator
) -> SyntheticClip:
    """Animate the first image of a group into `config.frames` frames."""
    from avatar.engines.base import Driving, Portrait
    from avatar.engines.warp.engine import WarpEngine

    rgb = pack.image(group.start)
    landmarks = pack.landmarks[group.start]
    face = Face(landmarks, pack.blendshapes[group.start], 1.0, pose_of(landmarks))
    images, points = [rgb], [landmarks[:, :2]]
    engine = WarpEngine()
    portrait = Portrait(rgb, face, pack.matte(group.start))
    engine.show(engine.prepare(portrait, use_second_core=False))  # the workers already fill the cores
    for _ in range(config.frames):
        motion = motions[int(random.integers(len(motions)))]
        driving = motion.track.face(int(random.integers(len(motion.track))))
        engine.set_motion(MotionSettings(strength_expression=float(random.uniform(*EXPRESSION_GAIN))))
        engine.calibrate(Driving(face=motion.reference))
        varied = _varied(driving, motion.reference, face, config.turn_deg, random)
        images.append(engine.draw(Driving(face=varied)))
        points.append(engine.landmarks()[:, :2])
    return SyntheticClip(group.identity, np.stack(images), np.stack(points).astype(np.float32))


def _varied(face: Face, reference: Face, portrait: Face, turn_deg: float, random: np.random.Generator) -> Face:
    """Add a random rotation, and often a blink or a glance, to a face."""
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
    """Limit a (3, 3) rotation so that the portrait turns at most FURTHEST_DEG, or as far as it is turned already."""
    since = np.array(angles_deg(rotation @ reference.pose.rotation.T))
    own = np.array([portrait.pose.yaw_deg, portrait.pose.pitch_deg, portrait.pose.roll_deg])
    low, high = np.minimum(0, -FURTHEST_DEG - own), np.maximum(0, FURTHEST_DEG - own)
    kept = np.clip(np.clip(since, -FURTHEST_DEG, FURTHEST_DEG), low, high)
    return np.asarray(rotation_from_angles(*kept.tolist()) @ reference.pose.rotation, np.float32)
