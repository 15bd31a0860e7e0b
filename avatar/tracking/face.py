"""A tracked face in one image: landmarks, blendshapes and head pose."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

LANDMARKS = 478  # 468 of the face mesh, then 5 for each iris

BLENDSHAPES = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight",
    "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft",
    "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight",
    "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
    "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight",
)  # fmt: skip
MIRRORED_BLENDSHAPES = np.array(
    [  # (52,), for each coefficient the index of its counterpart on the other side
        BLENDSHAPES.index(name.replace("Left", "*").replace("Right", "Left").replace("*", "Right"))
        for name in BLENDSHAPES
    ]
)


@dataclass(frozen=True, eq=False)
class HeadPose:
    """Head position, size and orientation: canonical head -> image is `scale_px * rotation @ x + centre_px`.

    Axes of both coordinate frames: x to the right of the image, y down, z away from the viewer. The canonical head
    looks at the viewer, its origin is midway between the ears' front edges, and its unit is the distance between the
    outer corners of the eyes. The angles, in degrees, decompose `rotation`: yaw first, then pitch, then roll.
    """

    rotation: npt.NDArray[np.float32]  # (3, 3), determinant +1
    centre_px: npt.NDArray[np.float32]  # (3,), the origin of the head in the image; z relative, in pixels
    scale_px: float  # pixels per unit of the canonical head
    yaw_deg: float  # > 0: turned towards the right of the image
    pitch_deg: float  # > 0: looks up
    roll_deg: float  # > 0: tilted clockwise as seen in the image


@dataclass(frozen=True, eq=False)
class Face:
    """One tracked face; read-only."""

    landmarks: npt.NDArray[np.float32]  # (478, 3): x, y in pixels, 0 = centre of the first pixel; z as x, < 0 nearer
    blendshapes: npt.NDArray[np.float32]  # (52,) in [0, 1], in the order of BLENDSHAPES
    presence: float  # [0, 1], the landmark network's confidence that this is a face
    pose: HeadPose

    def __post_init__(self) -> None:
        if self.landmarks.shape != (LANDMARKS, 3) or self.blendshapes.shape != (len(BLENDSHAPES),):
            shapes = f"{self.landmarks.shape}, {self.blendshapes.shape}"
            raise ValueError(f"a face has (478, 3) landmarks and (52,) blendshapes, got {shapes}")

    def shifted(self, x_px: float, y_px: float) -> Face:
        """Return the face shifted by (x_px, y_px), as after moving the origin of the image."""
        by = np.array([x_px, y_px, 0], np.float32)
        pose = replace(self.pose, centre_px=self.pose.centre_px + by)
        return replace(self, landmarks=self.landmarks + by, pose=pose)

    def moved(self, origin_px: npt.NDArray[np.float32], to_px: npt.NDArray[np.float32], times: float) -> Face:
        """Return the face scaled by `times` about `origin_px` (3,), which is moved to `to_px` (3,)."""

        def place(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            """Scale and shift (..., 3) points."""
            return np.asarray((points - origin_px) * np.float32(times) + to_px, np.float32)

        pose = replace(self.pose, centre_px=place(self.pose.centre_px), scale_px=self.pose.scale_px * times)
        return replace(self, landmarks=place(self.landmarks), pose=pose)

    def scaled(self, times: float) -> Face:
        """Return the face in the coordinates of the image scaled by `times`."""
        corner = np.array([-0.5, -0.5, 0], np.float32)  # pixel centres are whole numbers
        return self.moved(corner, corner, times)

    def blendshape(self, name: str) -> float:
        """Return one expression coefficient, in [0, 1], by its name."""
        return float(self.blendshapes[BLENDSHAPES.index(name)])
