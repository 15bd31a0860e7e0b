"""Faces and motion generated from the mean face, for tests without a model or a video."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatar.motion.track import MotionTrack
from avatar.tracking import canonical_face, pose_of
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.pose import rotation_from_angles


def make_face(
    *, yaw: float = 0, pitch: float = 0, roll: float = 0, scale: float = 120, centre: tuple[float, float] = (256, 256),
    presence: float = 1.0, **shapes: float,
) -> Face:  # fmt: skip
    """Rotate the mean face, scale it to `scale` pixels between the outer eye corners, and place it at `centre`."""
    turned = canonical_face().points @ rotation_from_angles(yaw, pitch, roll).T
    landmarks = (turned * scale + np.array([*centre, 0])).astype(np.float32)
    blendshapes = np.zeros(len(BLENDSHAPES), np.float32)
    for name, value in shapes.items():
        sides = [name] if name in BLENDSHAPES else [f"{name}Left", f"{name}Right"]
        blendshapes[[BLENDSHAPES.index(side) for side in sides]] = value
    return Face(landmarks, blendshapes, presence, pose_of(landmarks))


def open_mouth(face: Face, gap: float) -> Face:
    """Move everything below the lips' line down by `gap` head units."""
    from avatar.tracking.regions import LOWER_LIP_POINTS

    landmarks = face.landmarks.copy()
    landmarks[LOWER_LIP_POINTS, 1] += gap * face.pose.scale_px
    return replace(face, landmarks=landmarks)


def close_eyes(face: Face, share: float = 1.0, blink: float = 0.9) -> Face:
    """Bring the upper lids down by `share` of the way and say `blink` for it."""
    from avatar.tracking.regions import EYES

    landmarks, blendshapes = face.landmarks.copy(), face.blendshapes.copy()
    for eye in EYES:
        landmarks[eye.upper] += share * (landmarks[eye.lower] - landmarks[eye.upper])
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        blendshapes[BLENDSHAPES.index(name)] = blink
    return replace(face, landmarks=landmarks, blendshapes=blendshapes)


def make_track(
    faces: list[Face], *, rate: float = 30, size: tuple[int, int] = (512, 512), name: str = "clip"
) -> MotionTrack:
    return MotionTrack(
        landmarks=np.stack([face.landmarks for face in faces]),
        blendshapes=np.stack([face.blendshapes for face in faces]),
        presence=np.array([face.presence for face in faces], np.float32),
        times_s=np.arange(len(faces)) / rate,
        width_px=size[0],
        height_px=size[1],
        name=name,
    )


def swaying_track(count: int = 60, *, rate: float = 30, gain: float = 1.0, phase: float = 0.0) -> MotionTrack:
    """Build a track in which every channel moves at a frequency of its own."""
    faces = []
    for time in np.arange(count) / rate:
        wave = [gain * np.sin(2 * np.pi * (pace * time + phase)) for pace in (0.5, 0.7, 0.9, 1.1, 1.3)]
        lifted = [0.25 + 0.2 * value for value in wave]
        faces.append(make_face(
            yaw=20 * wave[0], pitch=10 * wave[1], roll=8 * wave[2], jawOpen=lifted[1], eyeBlink=0.2 + 0.15 * wave[2],
            mouthSmile=lifted[3], mouthPucker=lifted[4], browInnerUp=lifted[0], eyeLookUp=lifted[1],
            eyeLookOutLeft=lifted[2], eyeLookInRight=lifted[2],
        ))  # fmt: skip
    return make_track(faces, rate=rate)
