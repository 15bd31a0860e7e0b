"""What light falls into the mouth of a portrait, read from its skin, its lips and the whites of its eyes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage
from avatar.tracking.regions import EYES

LUMA = np.array([0.299, 0.587, 0.114], np.float32)

CHEEK_RIGHT, CHEEK_LEFT = (50, 36, 205, 207), (280, 266, 425, 427)  # of the person: right is left in the picture
AROUND_MOUTH = (164, 57, 287, 43, 273, 18, 83, 313)
BROW = (151, 9, 108, 337)
# An inner point of a lip beside the outer one across from it.
LIP_PAIRS = ((13, 0), (82, 37), (312, 267), (14, 17), (87, 84), (317, 314), (178, 181), (402, 405))

FULL_COLOUR = 0.22  # saturation of skin in an ordinary photograph; less of it mutes the mouth as well
TOOTH_WARMTH = np.array([1.03, 1.0, 0.915], np.float32)  # enamel beside a neutral white
FLESH = np.array([1.05, 0.72, 0.78], np.float32)  # tongue and gums beside skin, in the same light
# Of a cartoon, whatever colour its skin or fur is: it may be grey or green.
CARTOON_TOOTH, CARTOON_FLESH, CARTOON_DARK = (
    np.array(rgb, np.float32) for rgb in ((250, 247, 240), (216, 98, 100), (78, 22, 28))
)
CARTOON_SKIN = 150.0  # luma of a skin in whose light they look so
GREY, COLOURED = 15.0, 40.0  # levels between a face's channels: a picture without colour, and one with
DEPTHS = np.array([0.29, 0.145, 0.13], np.float32)  # the back of the mouth beside skin


@dataclass(frozen=True, eq=False)
class MouthLight:
    """Colours of a mouth's interior under the portrait's own light; RGB in [0, 255], float32."""

    tooth: FloatArray  # (3,), an upper incisor in full light
    flesh: FloatArray  # (3,), tongue and gums in full light
    lip: FloatArray  # (3,), the lips as they are
    dark: FloatArray  # (3,), where hardly any light comes
    skin_luma: float  # of the skin in the mouth's light, [0, 255]
    sideways: float  # light at the picture's right of the mouth against its middle, about [-0.3, 0.3]
    colour: float  # [0, 1]: 0 for a grey picture


def _luma(rgb: FloatArray) -> FloatArray:
    return np.asarray(rgb @ LUMA, np.float32)


def _patches(rgb: RgbImage, centres: FloatArray, radius: int) -> FloatArray:
    """(N, 3) mean colours of small squares round (N, 2) points, cut at the picture's border."""
    height, width = rgb.shape[:2]
    means = []
    for x, y in np.rint(centres).astype(int):
        x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)  # noqa: PLW2901
        patch = rgb[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
        means.append(patch.reshape(-1, 3).mean(axis=0))
    return np.asarray(means, np.float32)


def _sclera(rgb: RgbImage, landmarks: FloatArray) -> FloatArray | None:
    """(3,) colour of the lit part of the eye whites; None where there is too little of them."""
    found = []
    for eye in EYES:
        points, centre = landmarks[eye.contour, :2], landmarks[eye.iris, :2]
        low, high = np.floor(points.min(axis=0)).astype(int), np.ceil(points.max(axis=0)).astype(int) + 1
        low, high = np.maximum(low, 0), np.minimum(high, (rgb.shape[1], rgb.shape[0]))
        if np.any(high - low < 2):
            continue
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        cv2.fillPoly(mask, [np.rint(points - low).astype(np.int32)], 255)
        radius = np.linalg.norm(landmarks[eye.iris_rim, :2] - centre, axis=1).mean()
        rows, columns = np.indices(mask.shape)
        away = np.hypot(columns + low[0] - centre[0], rows + low[1] - centre[1])
        found.append(rgb[low[1] : high[1], low[0] : high[0]][(mask > 0) & (away > 1.2 * radius)])
    pixels = np.concatenate(found).astype(np.float32) if found else np.zeros((0, 3), np.float32)
    if len(pixels) < 12:
        return None
    luma = _luma(pixels)
    return np.asarray(pixels[luma >= np.percentile(luma, 55)].mean(axis=0), np.float32)


def _tint(rgb: FloatArray) -> FloatArray:
    """A colour at luma 1."""
    return np.asarray(rgb / max(float(_luma(rgb)), 1.0), np.float32)


def _saturation(rgb: FloatArray) -> float:
    return float((rgb.max() - rgb.min()) / max(float(rgb.max()), 1e-3))


def _muted(rgb: FloatArray, colour: float) -> FloatArray:
    """A colour with its saturation scaled by `colour` at the same luma."""
    grey = _luma(rgb)
    return np.asarray(grey + (rgb - grey) * colour, np.float32)


def read_light(rgb: RgbImage, landmarks: FloatArray) -> MouthLight:
    """Read the colours that the interior of a portrait's mouth must have.

    Teeth are never whiter than the eye whites or the brightest skin; tongue and gums keep the relation to
    the skin that they have in photographs, as far as the picture is coloured at all.

    Args:
        rgb: the portrait.
        landmarks: (478, 3) pixels of it.
    """
    span = float(np.linalg.norm(landmarks[263, :2] - landmarks[33, :2]))
    radius = max(int(0.03 * span), 1)
    right, left, brow = (
        _patches(rgb, landmarks[list(group), :2], radius) for group in (CHEEK_RIGHT, CHEEK_LEFT, BROW)
    )
    skin = np.median(np.concatenate([right, left, brow]), axis=0).astype(np.float32)
    around = _patches(rgb, landmarks[list(AROUND_MOUTH), :2], max(radius // 2, 1))
    skin_luma = 0.6 * float(np.percentile(_luma(np.concatenate([right, left])), 60))
    skin_luma += 0.4 * float(np.percentile(_luma(around), 70))  # shaded by a moustache or a raised collar
    colour = float(np.clip(_saturation(skin) / FULL_COLOUR, 0, 1))

    lip_points = np.array([(landmarks[a, :2] + landmarks[b, :2]) / 2 for a, b in LIP_PAIRS], np.float32)
    lip = np.median(_patches(rgb, lip_points, max(radius // 3, 1)), axis=0).astype(np.float32)

    face = landmarks[:468, :2]
    tones = _patches(rgb, face, 0)
    black = np.percentile(tones, 1, axis=0).astype(np.float32)
    top = float(np.percentile(_luma(tones), 98))

    sclera = _sclera(rgb, landmarks)
    white = sclera if sclera is not None else skin
    level = max(0.5 * float(_luma(white)) + 0.7 * skin_luma, 1.25 * skin_luma)
    level = min(level, max(float(_luma(white)), top), 1.6 * skin_luma, 240.0)
    tint = (0.4 * _tint(white) + 0.2 * _tint(skin) + 0.4) * (1 + (TOOTH_WARMTH - 1) * colour)
    strength = min(1.0, 0.42 * _saturation(skin) / max(_saturation(tint), 1e-3))  # small eyes are red at the rims
    tooth = level * _muted(_tint(255 * tint), strength)

    lit_skin = _tint(skin) * skin_luma
    black *= min(0.8, 0.3 * skin_luma / max(float(_luma(black)), 1.0))  # a flat drawing has no black to go by
    dark = np.maximum(_muted(lit_skin * DEPTHS, colour), black)
    # Strong lipstick or painted lips say something about the picture's reds, but the tongue wears none.
    flesh = _muted(0.8 * lit_skin * FLESH + 0.2 * 0.8 * lip, colour)
    balance = float(_luma(left.mean(axis=0)) - _luma(right.mean(axis=0))) / max(2 * skin_luma, 1.0)
    return MouthLight(tooth, flesh, lip, dark, skin_luma, float(np.clip(balance, -0.3, 0.3)), colour)


def cartoon_light(light: MouthLight, rgb: RgbImage, landmarks: FloatArray, share: float) -> MouthLight:
    """The colours of a cartoon's mouth instead, by a share of 0 to 1; a picture without colours keeps its own.

    Args:
        light: of a person in this picture.
        rgb: the portrait.
        landmarks: (478, 3) pixels of it.
    """
    if share <= 0:
        return light
    height, width = rgb.shape[:2]
    low = np.clip(landmarks[:468, :2].min(axis=0), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(landmarks[:468, :2].max(axis=0), low + 1, [width, height]).astype(int)
    face = rgb[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    chroma = float(np.percentile(face.max(axis=2) - face.min(axis=2), 97))
    coloured = share * min(max((chroma - GREY) / (COLOURED - GREY), 0.0), 1.0)
    bright = min(light.skin_luma / CARTOON_SKIN, 1.0)
    return replace(
        light,
        tooth=light.tooth + share * (_muted(CARTOON_TOOTH, coloured / share) - light.tooth),
        flesh=light.flesh + coloured * (bright * CARTOON_FLESH - light.flesh),
        dark=light.dark + coloured * (bright * CARTOON_DARK - light.dark),
    )
