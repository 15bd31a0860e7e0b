"""Images of the model's intermediate results: keypoints, jacobians, deformation, occlusion map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engines.crop import scaled
from avatar.frames import FloatArray, RgbImage

TITLES = ("driver", "source", "deformation", "occlusion map")
AXIS_LENGTH = 0.09  # length of the drawn axes of a jacobian, over the image's side
_TILE_PX = 256  # everything is drawn at this size, then resized
_FULL_COLOUR = 0.35  # shift over the image's side that gets the strongest colour


@dataclass(frozen=True, eq=False)
class MotionFacts:
    """Data of one frame's panels, in host memory."""

    driving: RgbImage  # (S, S, 3), at the model's size
    source: RgbImage  # (S, S, 3)
    kp_driving: FloatArray  # (K, 2) in [-1, 1]
    kp_source: FloatArray  # (K, 2) in [-1, 1]
    kp_norm: FloatArray  # (K, 2) in [-1, 1], the driver's, transferred to the source
    jacobian_driving: FloatArray | None  # (K, 2, 2); None: the model has no jacobians
    jacobian_norm: FloatArray | None  # (K, 2, 2)
    deformation: FloatArray  # (h, w, 2) in [-1, 1]
    occlusion: FloatArray | None  # (h, w) in [0, 1]; None: the model has no occlusion map


def draw_panels(facts: MotionFacts, height_px: int) -> RgbImage:
    """Draw four panels, two by two, as (height_px, height_px, 3)."""
    count = len(facts.kp_driving)
    driver = _tile(facts.driving)
    _draw_keypoints(driver, facts.kp_driving, facts.jacobian_driving)
    source = _tile(facts.source)
    for number in range(count):
        _line(source, facts.kp_source[number], facts.kp_norm[number], colour_of(number, count))
    _draw_keypoints(source, facts.kp_norm, facts.jacobian_norm)
    occlusion = np.ones((1, 1), np.float32) if facts.occlusion is None else facts.occlusion
    grey = cv2.resize(np.rint(occlusion * 255).astype(np.uint8), (_TILE_PX, _TILE_PX))
    tiles = [driver, source, _tile(deformation_colours(facts.deformation)), np.repeat(grey[..., None], 3, axis=2)]
    for tile, title in zip(tiles, TITLES, strict=True):
        _write(tile, title)
    panels = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
    return scaled(panels, height_px, height_px)


def colour_of(number: int, count: int) -> tuple[int, int, int]:
    """Return the RGB colour of one keypoint among `count`: hues around the circle."""
    hsv = np.array([[[round(180 * number / count), 230, 255]]], np.uint8)
    red, green, blue = (int(value) for value in cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0])
    return red, green, blue


def deformation_colours(deformation: FloatArray) -> RgbImage:
    """Render (h, w, 2) positions as colours: hue = direction of the shift, saturation = its length, white = none."""
    height, width = deformation.shape[:2]
    straight = np.stack(np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height)), axis=-1)
    shift = deformation - straight
    angle = np.arctan2(shift[..., 1], shift[..., 0]) / (2 * np.pi) % 1
    length = np.clip(np.hypot(shift[..., 0], shift[..., 1]) / 2 / _FULL_COLOUR, 0, 1)
    hsv = np.stack([angle * 179, np.sqrt(length) * 255, np.full_like(angle, 255)], axis=-1)
    return np.asarray(cv2.cvtColor(np.rint(hsv).astype(np.uint8), cv2.COLOR_HSV2RGB))


def _tile(image: RgbImage) -> RgbImage:
    """Resize an (h, w, 1 or 3) image to a new (_TILE_PX, _TILE_PX, 3) tile."""
    shown = image if image.shape[2] == 3 else np.repeat(image[..., :1], 3, axis=2)
    return scaled(shown, _TILE_PX, _TILE_PX).copy()


def _draw_keypoints(tile: RgbImage, points: FloatArray, jacobian: FloatArray | None) -> None:
    """Draw keypoints (K, 2) and the two axes of each jacobian (K, 2, 2) on a tile, in place.

    The axes are scaled so that the median one has the length AXIS_LENGTH.
    """
    usual = 1.0 if jacobian is None else float(np.median(np.nan_to_num(np.linalg.norm(jacobian, axis=1)))) or 1.0
    for number, point in enumerate(points):
        colour = colour_of(number, len(points))
        if jacobian is not None:
            for axis in range(2):
                _line(tile, point, point + 2 * AXIS_LENGTH / usual * jacobian[number][:, axis], colour)
        cv2.circle(tile, _place(point), 4, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(tile, _place(point), 3, colour, -1, cv2.LINE_AA)


def _line(tile: RgbImage, start: FloatArray, end: FloatArray, colour: tuple[int, int, int]) -> None:
    """Draw a line between two positions (2,) in [-1, 1] on a (_TILE_PX, _TILE_PX, 3) tile, in place."""
    cv2.line(tile, _place(start), _place(end), (0, 0, 0), 3, cv2.LINE_AA)
    cv2.line(tile, _place(start), _place(end), colour, 1, cv2.LINE_AA)


def _place(point: FloatArray) -> tuple[int, int]:
    """Convert a position (2,) in [-1, 1] to pixels of a tile; far and NaN positions are clamped."""
    x, y = np.nan_to_num(np.clip((np.asarray(point) + 1) / 2 * (_TILE_PX - 1), -_TILE_PX, 2 * _TILE_PX))
    return round(float(x)), round(float(y))


def _write(tile: RgbImage, title: str) -> None:
    """Write a title on a (_TILE_PX, _TILE_PX, 3) tile, in place."""
    where, font = (6, _TILE_PX - 8), cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(tile, title, where, font, 0.45, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(tile, title, where, font, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
