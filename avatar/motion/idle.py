"""The built-in idle motion: breathing, a small sway of the head, blinks, glances and a passing smile.

It is synthesised on the mean face, not recorded from a person, and loops seamlessly. `python -m avatar.motion.idle`
writes models/idle.masque.

A breath takes 4.5 s; a blink closes in 0.1 s and opens in about twice that; a glance is a saccade of 0.05 s followed
by a fixation of about a second, and the head follows with a delay and a fifth of the angle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from avatar.motion.expression import expression_basis
from avatar.motion.smoothstep import smoothstep
from avatar.motion.speech import CLOSED, MouthShape
from avatar.motion.template import SUFFIX, load_template, save_template
from avatar.motion.track import MotionTrack
from avatar.system.installation import MODELS
from avatar.tracking import canonical_face, pose_of
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.pose import rotation_from_angles
from avatar.tracking.regions import EYES, LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER, EyeRegion

Float64Array = npt.NDArray[np.float64]

LENGTH_S, RATE = 9.0, 30
SIDE_PX, HEAD_PX = 512, 105.0  # side of the virtual image, and length of one head unit in it
PIVOT = np.array([0.0, 1.5, 0.45])  # head units: the base of the neck, below and behind the face
EYEBALL = 0.135  # radius in head units: 12 mm where the outer eye corners are 90 mm apart

BREATHS = 2  # per loop
BLINKS_S = (1.3, 4.55, 7.25, 7.75)
# (from, to, degrees to the right of the image, degrees up): between these the eyes look at the viewer
GLANCES = ((2.5, 3.5, -11.0, -3.0), (5.35, 6.5, 9.0, 5.0), (8.1, 8.5, -3.0, 1.0))
SMILE_S, SMILE = (5.6, 8.0), 0.35


@dataclass(frozen=True)
class Pose:
    """Pose and expression of the idle face at one time."""

    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    shift: tuple[float, float]  # head units
    zoom: float
    closing: float  # lids: 0 open, 1 closed
    gaze_deg: tuple[float, float]  # to the right of the image, up
    smile: float  # 0 to 1
    brows: float  # 0 at rest, 1 raised
    mouth: MouthShape = CLOSED  # of somebody who speaks


def pose_at(time_s: float) -> Pose:
    """Evaluate the motion at a time; periodic in LENGTH_S."""
    turn = 2 * np.pi * time_s / LENGTH_S
    breath = float(np.sin(BREATHS * turn))
    gaze_x, gaze_y = _gaze(time_s, lag_s=0.0)
    slow_x, slow_y = _gaze(time_s, lag_s=0.25)  # the head follows the eyes later and less
    sway = 2.2 * np.sin(turn + 0.6) + 0.9 * np.sin(2 * turn + 2.1) + 0.35 * np.sin(5 * turn)
    nod = 0.9 * np.sin(turn + 3.5) + 0.6 * np.sin(3 * turn + 1.0) + 0.35 * breath
    tilt = 1.1 * np.sin(turn + 1.8) + 0.5 * np.sin(2 * turn + 5.0)
    smile = SMILE * _bump(time_s, *SMILE_S, rise_s=0.7, fall_s=1.0)
    return Pose(
        yaw_deg=float(sway + 0.22 * slow_x),
        pitch_deg=float(nod + 0.2 * slow_y),
        roll_deg=float(tilt + 1.2 * smile),
        shift=(0.010 * float(np.sin(turn + 0.9)), -0.008 * breath),
        zoom=1 + 0.004 * float(np.sin(turn + 2.6)) + 0.002 * breath,
        closing=max(_blink(_since(time_s, start_s)) for start_s in BLINKS_S),
        gaze_deg=(gaze_x, gaze_y),
        smile=smile,
        brows=0.25 * max(0.0, slow_y) / 5 + 0.15 * smile,
    )


def face_of(pose: Pose) -> Face:
    """Make the face that a tracker would report for a pose, in an image of SIDE_PX x SIDE_PX."""
    landmarks = _landmarks(pose).astype(np.float32)
    return Face(landmarks, _blendshapes(pose), 1.0, pose_of(landmarks))


def compose_idle() -> MotionTrack:
    """Render the loop: LENGTH_S seconds at RATE frames per second; the frame after the last is the first."""
    times_s = np.arange(round(LENGTH_S * RATE)) / RATE
    poses = [pose_at(float(time_s)) for time_s in times_s]
    return MotionTrack(
        landmarks=np.stack([_landmarks(pose) for pose in poses]).astype(np.float32),
        blendshapes=np.stack([_blendshapes(pose) for pose in poses]),
        presence=np.ones(len(poses), np.float32),
        times_s=times_s,
        width_px=SIDE_PX,
        height_px=SIDE_PX,
        name="idle",
    )


def idle_path() -> Path:
    """Return the path of the template that ships."""
    return MODELS / f"idle{SUFFIX}"


def load_idle() -> MotionTrack:
    """Load the motion that ships; composes it if its file is missing."""
    path = idle_path()
    return load_template(path) if path.is_file() else compose_idle()


def _since(time_s: float, start_s: float) -> float:
    """Return the time since `start_s` in the loop, in [-LENGTH_S / 2, LENGTH_S / 2)."""
    return (time_s - start_s + LENGTH_S / 2) % LENGTH_S - LENGTH_S / 2


def _bump(time_s: float, start_s: float, end_s: float, *, rise_s: float, fall_s: float) -> float:
    """Return 0 outside [start, end] and 1 inside, with smooth transitions inside the interval."""
    return float(smoothstep(_since(time_s, start_s) / rise_s) * smoothstep(-_since(time_s, end_s) / fall_s))


def _blink(since_s: float) -> float:
    return float(smoothstep(since_s, high=0.1) * (1 - smoothstep(since_s - 0.14, high=0.22)))


def _gaze(time_s: float, lag_s: float) -> tuple[float, float]:
    """Return the gaze in degrees to the right of the image and up; a lag also smooths it, as for the head."""
    step_s = 0.05 + 1.6 * lag_s
    right = up = 0.0
    for start_s, end_s, to_right, to_up in GLANCES:
        there = _bump(time_s - lag_s, start_s, end_s + step_s, rise_s=step_s, fall_s=step_s)
        right, up = right + there * to_right, up + there * to_up
    return right, up


def _landmarks(pose: Pose) -> Float64Array:
    """Return (478, 3) float64 landmarks in pixels of the virtual image."""
    points = canonical_face().points.astype(np.float64)
    for corner in (LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER):
        outwards = np.sign(points[corner, 0])
        _pull(points, points[corner].copy(), np.array([0.055 * outwards, -0.05, 0.015]) * pose.smile, reach=0.2)
    for eye in EYES:
        _pull(points, points[eye.brow].mean(axis=0), np.array([0.0, -0.05, 0.0]) * pose.brows, reach=0.2)
        look(points, eye, pose.gaze_deg)
        close_lids(points, eye, pose.closing)
    if pose.mouth != CLOSED:
        for corner in (LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER):  # the basis hardly narrows a pursed mouth
            inwards = -np.sign(points[corner, 0]) * pose.mouth.rounded
            _pull(points, points[corner].copy(), np.array([0.07 * inwards, 0.0, -0.03 * abs(inwards)]), reach=0.15)
        values = np.array([_mouth_blendshapes(pose.mouth).get(name, 0.0) for name in BLENDSHAPES])
        points += np.tensordot(values, expression_basis(), axes=1)
    turned = (points - PIVOT) @ rotation_from_angles(pose.yaw_deg, pose.pitch_deg, pose.roll_deg).T + PIVOT
    placed = turned * (HEAD_PX * pose.zoom) + np.array([*pose.shift, 0.0]) * HEAD_PX
    return np.asarray(placed + np.array([(SIDE_PX - 1) / 2, 0.47 * SIDE_PX, 0.0]))


def _pull(points: Float64Array, centre: Float64Array, by: Float64Array, reach: float) -> None:
    """Displace points around a centre, with Gaussian fall-off.

    Args:
        points: (478, 3), changed in place.
        centre: (3,).
        by: (3,), displacement at the centre.
        reach: standard deviation of the fall-off, head units.
    """
    distance = np.linalg.norm(points - centre, axis=1)
    points += np.exp(-0.5 * (distance / reach) ** 2)[:, None] * by


def look(points: Float64Array, eye: EyeRegion, gaze_deg: tuple[float, float]) -> None:
    """Rotate the iris about the centre of the eyeball; the upper lid follows half-way up or down.

    Args:
        points: (478, 3) pose-free, canonical units; changed in place.
        eye: the eye to change.
        gaze_deg: to the right of the image, and up.
    """
    right, up = np.radians(gaze_deg)
    shift = EYEBALL * np.array([np.sin(right), -np.sin(up), 2 - np.cos(right) - np.cos(up)])
    points[[eye.iris, *eye.iris_rim]] += shift
    arch = np.sin(np.linspace(0.15, 0.85, len(eye.upper)) * np.pi)  # fades towards the corners of the lid
    points[eye.upper, 1] += 0.5 * shift[1] * arch
    points[eye.lower, 1] += 0.2 * shift[1] * arch


def close_lids(points: Float64Array, eye: EyeRegion, closing: float) -> None:
    """Close the lids; they meet near the lower one, and the skin above follows with decreasing weight.

    Args:
        points: (478, 3) pose-free, canonical units; changed in place.
        eye: the eye to change.
        closing: 0 unchanged, 1 closed.
    """
    meet = points[eye.lower] + 0.1 * (points[eye.upper] - points[eye.lower])
    down = closing * (meet - points[eye.upper])
    for ring, share in zip(eye.upper_rings, (0.55, 0.2), strict=False):
        points[ring] += share * down
    points[eye.lower] += closing * (meet - points[eye.lower])
    points[eye.upper] += down


def _blendshapes(pose: Pose) -> npt.NDArray[np.float32]:
    """Return (52,) float32 coefficients, approximately those a tracker would report for such a face."""
    right, up = pose.gaze_deg[0] / 30, pose.gaze_deg[1] / 30
    values = {
        "eyeBlinkLeft": 0.05 + 0.9 * pose.closing, "eyeBlinkRight": 0.05 + 0.9 * pose.closing,
        "mouthSmileLeft": pose.smile, "mouthSmileRight": pose.smile,
        "cheekSquintLeft": 0.1 * pose.smile, "cheekSquintRight": 0.1 * pose.smile,
        "browInnerUp": pose.brows, "browOuterUpLeft": 0.6 * pose.brows, "browOuterUpRight": 0.6 * pose.brows,
        "eyeLookOutLeft": right, "eyeLookInRight": right, "eyeLookInLeft": -right, "eyeLookOutRight": -right,
        "eyeLookUpLeft": up, "eyeLookUpRight": up, "eyeLookDownLeft": -up, "eyeLookDownRight": -up,
    }  # fmt: skip
    for name, value in _mouth_blendshapes(pose.mouth).items():
        values[name] = values.get(name, 0.0) + value
    return np.array([min(max(values.get(name, 0.0), 0.0), 1.0) for name in BLENDSHAPES], np.float32)


def _mouth_blendshapes(mouth: MouthShape) -> dict[str, float]:
    """Return the coefficients, in [0, 1], of a speaking mouth; lips that are pressed keep the jaw shut."""
    jaw = mouth.jaw * (1 - mouth.pressed)
    sideways, press = 0.35 * mouth.spread, 0.5 * mouth.pressed
    return {
        "jawOpen": 0.55 * jaw, "mouthPucker": 0.7 * mouth.rounded, "mouthFunnel": 0.25 * mouth.rounded * jaw,
        "mouthStretchLeft": sideways, "mouthStretchRight": sideways,
        "mouthSmileLeft": 0.3 * sideways, "mouthSmileRight": 0.3 * sideways,
        "mouthPressLeft": press, "mouthPressRight": press,
    }  # fmt: skip


def main(argv: Sequence[str] = ()) -> int:
    """Write the template that ships."""
    save_template(compose_idle(), idle_path())
    print(f"{idle_path()}: {idle_path().stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
