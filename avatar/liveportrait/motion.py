"""Motion parameters of a face, and their transfer from the driver to the source.

Guo et al. 2024, section 3.1: x = s (x_c R + delta) + t. Points are rows, (x, y, z) with x to the right, y down and z
inwards; an image spans [-1, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from avatar.errors import ShapeError, UsageError
from avatar.system.message import Message

OPTIONS = ("expression", "pose")
LIP_POINTS = (6, 12, 14, 17, 19, 20)
EYE_POINTS = (11, 13, 15, 16, 18)
BROW_POINTS = (1, 2)  # no region of its own; the points by which the authors' editor moves the brows
REGIONS = ("all", "exp", "pose", "lip", "eyes")
# Coordinates (x, y, z) of each point that absolute motion takes from the driver; the others are the source's.
_ABSOLUTE = {
    **dict.fromkeys((1, 2, 6, *range(11, 21)), (True, True, True)),
    **dict.fromkeys((3, 4), (False, True, False)),
    **dict.fromkeys((5, 8), (False, False, True)),
    9: (False, True, True),
}


@dataclass(frozen=True, eq=False)
class MotionParameters:
    """Output of the motion extractor M for B faces; all of one dtype, on one device."""

    pitch: Tensor  # (B, 1), degrees
    yaw: Tensor  # (B, 1), degrees
    roll: Tensor  # (B, 1), degrees
    translation: Tensor  # (B, 3); its z is ignored
    expression: Tensor  # (B, K, 3), delta
    scale: Tensor  # (B, 1)
    keypoints: Tensor  # (B, K, 3), canonical: x_c

    def __post_init__(self) -> None:
        count, points = len(self.pitch), self.keypoints.shape[1]
        single, shape = (count, 1), (count, points, 3)
        wanted = {
            "pitch": single, "yaw": single, "roll": single, "scale": single, "translation": (count, 3),
            "expression": shape, "keypoints": shape,
        }  # fmt: skip
        for name, expected in wanted.items():
            if tuple(getattr(self, name).shape) != expected:
                found = tuple(getattr(self, name).shape)
                raise ShapeError(
                    Message(
                        "{name} of the motion parameters should be {expected} and is {found}.",
                        name=name,
                        expected=expected,
                        found=found,
                    )
                )

    def __len__(self) -> int:
        return len(self.pitch)

    def __getitem__(self, rows: slice) -> MotionParameters:
        """Return a slice of the faces."""
        return MotionParameters(*(getattr(self, each.name)[rows] for each in fields(self)))

    def rotation(self) -> Tensor:
        """Return (B, 3, 3) rotations, to be multiplied from the right: (Rz Ry Rx)^T."""
        return rotation_of(self.pitch, self.yaw, self.roll)

    def transformed(self) -> Tensor:
        """Return (B, K, 3) keypoints in image coordinates."""
        return _place(self.keypoints, self.rotation(), self.expression, self.scale, self.translation)


def rotation_of(pitch: Tensor, yaw: Tensor, roll: Tensor) -> Tensor:
    """Compose (B, 3, 3) rotations from (B, 1) angles in degrees, for points that are rows."""
    x, y, z = (angle[:, 0] * (math.pi / 180) for angle in (pitch, yaw, roll))
    zero, one = torch.zeros_like(x), torch.ones_like(x)

    def matrix(*entries: Tensor) -> Tensor:
        """Stack nine (B,) entries to (B, 3, 3)."""
        return torch.stack(entries, dim=1).view(-1, 3, 3)

    around_x = matrix(one, zero, zero, zero, x.cos(), -x.sin(), zero, x.sin(), x.cos())
    around_y = matrix(y.cos(), zero, y.sin(), zero, one, zero, -y.sin(), zero, y.cos())
    around_z = matrix(z.cos(), -z.sin(), zero, z.sin(), z.cos(), zero, zero, zero, one)
    return (around_z @ around_y @ around_x).transpose(1, 2)


def relative_motion(
    source: MotionParameters,
    driving: MotionParameters,
    reference: MotionParameters,
    option: str = "expression",
    region: str = "all",
    multiplier: float | None = None,
) -> Tensor:
    """Transfer the driver's motion since the reference frame to the source (Eq. 10 and 11 of the paper).

    Args:
        source: one face, the portrait's.
        driving: B faces, the driver's.
        reference: one face, of the driver's reference frame.
        option: one of OPTIONS. The authors' "expression" multiplies the displacement from the reference by the ratio
            of two hulls, of the source's keypoints and of the transferred reference frame's. These are the same
            points, so the ratio is 1 and both options agree.
        region: one of REGIONS: the part that follows the driver; the rest is the source's.
        multiplier: gain of the displacement from the source's keypoints; None: 1.
    Returns:
        (B, K, 3) keypoints before stitching.
    Raises:
        UsageError: there is no such option or region.
        ShapeError: the arguments differ in K.
    """
    _check_words(option, region)
    _check_points(source, driving, reference)
    follows_pose, follows_expression = region in ("all", "pose"), region != "pose"
    rotation = source.rotation().expand(len(driving), 3, 3)
    translation = source.translation.expand(len(driving), 3)
    if follows_pose:
        rotation = (driving.rotation() @ reference.rotation().transpose(1, 2)) @ source.rotation()
        translation = source.translation + (driving.translation - reference.translation)
    expression = source.expression.expand_as(driving.expression)
    if follows_expression:
        moved = source.expression + (driving.expression - reference.expression)
        expression = torch.where(_points_of(region, moved), moved, expression)
    scale = source.scale * (driving.scale / reference.scale) if region == "all" else source.scale
    carried = _place(source.keypoints, rotation, expression, scale, translation)
    return carried if multiplier is None else scale_motion(source.transformed(), carried, multiplier)


def absolute_motion(source: MotionParameters, driving: MotionParameters, region: str = "all") -> Tensor:
    """Apply the driver's pose and expression to the source, with the source's scale and shape.

    Returns:
        (B, K, 3) keypoints before stitching.
    Raises:
        UsageError: there is no such region.
        ShapeError: the arguments differ in K.
    """
    _check_words("pose", region)
    _check_points(source, driving)
    with_pose = driving if region in ("all", "pose") else source
    expression = source.expression.expand_as(driving.expression)
    if region != "pose":
        taken = _points_of(region, expression) if region in ("lip", "eyes") else _absolute_points(expression)
        expression = torch.where(taken, driving.expression, expression)
    return _place(source.keypoints, with_pose.rotation(), expression, source.scale, with_pose.translation)


def scale_motion(start: Tensor, moved: Tensor, factor: float) -> Tensor:
    """Scale the motion of (B, K, 3) keypoints: start + factor (moved - start); the last step, after stitching."""
    return start + factor * (moved - start)


def _place(keypoints: Tensor, rotation: Tensor, expression: Tensor, scale: Tensor, translation: Tensor) -> Tensor:
    """Compute x = s (x_c R + delta) + t with t_z = 0.

    Args:
        keypoints: (1 or B, K, 3), x_c.
        rotation: (1 or B, 3, 3), R.
        expression: (B, K, 3), delta.
        scale: (1 or B, 1), s.
        translation: (1 or B, 3), t.
    Returns:
        (B, K, 3).
    """
    shift = translation * translation.new_tensor([1, 1, 0])
    return scale[:, None] * (keypoints @ rotation + expression) + shift[:, None]


def _points_of(region: str, like: Tensor) -> Tensor:
    """Return a (K, 1) bool mask of the points of a region; `like`: (B, K, 3)."""
    points = {"lip": LIP_POINTS, "eyes": EYE_POINTS}.get(region, range(like.shape[1]))
    chosen = torch.zeros(like.shape[1], 1, dtype=torch.bool, device=like.device)
    chosen[list(points)] = True
    return chosen


def _absolute_points(like: Tensor) -> Tensor:
    """Return a (K, 3) bool mask of the coordinates that absolute motion takes from the driver; `like`: (B, K, 3)."""
    chosen = torch.zeros(like.shape[1], 3, dtype=torch.bool, device=like.device)
    for point, axes in _ABSOLUTE.items():
        chosen[point] = torch.tensor(axes, device=like.device)
    return chosen


def _check_words(option: str, region: str) -> None:
    for word, known, kind in ((option, OPTIONS, Message("driving option")), (region, REGIONS, Message("region"))):
        if word not in known:
            raise UsageError(
                Message("There is no {kind} {word!r}.", kind=kind, word=word),
                remedy=Message("Choose one of: {names}.", names=", ".join(known)),
            )


def _check_points(*motions: MotionParameters) -> None:
    counts = {motion.keypoints.shape[1] for motion in motions}
    if len(counts) > 1:
        raise ShapeError(Message("The motions have different numbers of keypoints: {counts}.", counts=sorted(counts)))
