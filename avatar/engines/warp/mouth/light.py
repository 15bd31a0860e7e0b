"""Light in a portrait's mouth, estimated from its skin, its lips and the whites of its eyes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.mouth.frame import smooth
from avatar.frames import FloatArray, RgbImage
from avatar.tracking.regions import EYES, FACE_OVAL

LUMA = np.array([0.299, 0.587, 0.114], np.float32)

CHEEK_RIGHT, CHEEK_LEFT = (50, 36, 205, 207), (280, 266, 425, 427)  # the person's own right and left
AROUND_MOUTH = (164, 57, 287, 43, 273, 18, 83, 313)
BROW = (151, 9, 108, 337)
# Pairs of an inner point of a lip and the outer point across from it.
LIP_PAIRS = ((13, 0), (82, 37), (312, 267), (14, 17), (87, 84), (317, 314), (178, 181), (402, 405))

FULL_COLOUR = 0.22  # saturation of skin in an ordinary photograph; a lower one desaturates the mouth as well
TOOTH_WARMTH = np.array([1.035, 0.985, 0.94], np.float32)  # colour of enamel relative to a neutral white
WHITER, WHITER_THAN_SKIN = 1.22, 2.4  # luma of teeth in smiles relative to eye whites, and at most to skin
BRIGHTEST_TOOTH = 205.0  # luma beside eye whites that are darker than this
WHITER_THAN_ALL = 1.15  # luma of such teeth, at most, relative to what is bright in the picture
LIT = 40  # percentile of luma in a face above which its colours tell that of the light
FLESH = np.array([1.05, 0.72, 0.78], np.float32)  # colour of tongue and gums relative to skin
# Colours of a cartoon's mouth, independent of its skin or fur, which may be grey or green.
CARTOON_TOOTH, CARTOON_FLESH, CARTOON_DARK = (
    np.array(rgb, np.float32) for rgb in ((250, 247, 240), (216, 98, 100), (78, 22, 28))
)
CARTOON_SKIN = 150.0  # luma of skin to which these colours belong
GREY, COLOURED = 15.0, 40.0  # spread of a face's channels, in levels: of a grey image, and of a coloured one
FLAT_LEVELS, FLAT_LUMA = 5, 160.0  # so many grey levels count as one, where half of the face is darker than this
MODELLED, FLAT = 0.38, 0.5  # share of a face in its commonest level: photographs have up to 0.34, flat drawings > 0.5
LINE_TINT = np.array([0.62, 0.42, 0.48], np.float32)  # colour of the line between closed lips relative to the lips
DEPTHS = np.array([0.29, 0.145, 0.13], np.float32)  # colour of the back of the mouth relative to skin


@dataclass(frozen=True, eq=False)
class MouthLight:
    """Colours of a mouth's interior under the portrait's own light; RGB in [0, 255], float32."""

    tooth: FloatArray  # (3,), an upper incisor in full light
    flesh: FloatArray  # (3,), tongue and gums in full light
    lip: FloatArray  # (3,), the lips as in the portrait
    dark: FloatArray  # (3,), where hardly any light reaches
    skin_luma: float  # luma of the skin around the mouth, [0, 255]
    bright_luma: float  # luma that, but for eye whites, only a hundredth of the picture exceeds
    sideways: float  # relative gain of light at the right of the mouth in the image, about [-0.3, 0.3]
    colour: float  # [0, 1]: 0 for a grey image


def _luma(rgb: FloatArray) -> FloatArray:
    """Compute the luma (...) of RGB (..., 3), in the same units."""
    return np.asarray(rgb @ LUMA, np.float32)


def _patches(rgb: RgbImage, centres: FloatArray, radius: int) -> FloatArray:
    """Compute the (N, 3) mean colours of small squares around (N, 2) points of an (H, W, 3) image, clipped to it."""
    height, width = rgb.shape[:2]
    means = []
    for x, y in np.rint(centres).astype(int):
        x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)  # noqa: PLW2901
        patch = rgb[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
        means.append(patch.reshape(-1, 3).mean(axis=0))
    return np.asarray(means, np.float32)


def _sclera(rgb: RgbImage, landmarks: FloatArray) -> FloatArray | None:
    """Return the (3,) colour of the lit eye whites in an (H, W, 3) image; None where too little of them is visible."""
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


def _face(rgb: RgbImage, landmarks: FloatArray) -> FloatArray:
    """Return the part of an (H, W, 3) image that holds the face of (478, 3) landmarks, (h, w, 3) float32."""
    height, width = rgb.shape[:2]
    low = np.clip(landmarks[:468, :2].min(axis=0), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(landmarks[:468, :2].max(axis=0), low + 1, [width, height]).astype(int)
    return rgb[low[1] : high[1], low[0] : high[0]].astype(np.float32)


def _tint(rgb: FloatArray) -> FloatArray:
    """Normalise a colour (3,) to luma 1."""
    return np.asarray(rgb / max(float(_luma(rgb)), 1.0), np.float32)


def _saturation(rgb: FloatArray) -> float:
    """Return the saturation, in [0, 1], of a colour (3,) or of the range of colours (N, 3)."""
    return float((rgb.max() - rgb.min()) / max(float(rgb.max()), 1e-3))


def _muted(rgb: FloatArray, colour: float) -> FloatArray:
    """Scale the saturation of a colour (3,) by `colour` at the same luma; (3,)."""
    grey = _luma(rgb)
    return np.asarray(grey + (rgb - grey) * colour, np.float32)


def read_light(rgb: RgbImage, landmarks: FloatArray) -> MouthLight:
    """Read the colours that the interior of a portrait's mouth must have.

    Teeth are whiter than eye whites, which lids shade, but no whiter than those in full light; tongue and gums keep
    the relation to the skin that they have in photographs, as far as the image is coloured at all.

    Args:
        rgb: (H, W, 3) uint8, the portrait.
        landmarks: (478, 3) pixels.
    """
    span = float(np.linalg.norm(landmarks[263, :2] - landmarks[33, :2]))
    radius = max(int(0.03 * span), 1)
    right, left, brow = (_patches(rgb, landmarks[list(group), :2], radius) for group in (CHEEK_RIGHT, CHEEK_LEFT, BROW))
    skin = np.median(np.concatenate([right, left, brow]), axis=0).astype(np.float32)
    around = _patches(rgb, landmarks[list(AROUND_MOUTH), :2], max(radius // 2, 1))
    skin_luma = 0.6 * float(np.percentile(_luma(np.concatenate([right, left])), 60))
    skin_luma += 0.4 * float(np.percentile(_luma(around), 70))  # a moustache or a raised collar may shade the skin
    colour = float(np.clip(_saturation(skin) / FULL_COLOUR, 0, 1))

    lip_points = np.array([(landmarks[a, :2] + landmarks[b, :2]) / 2 for a, b in LIP_PAIRS], np.float32)
    lip = np.median(_patches(rgb, lip_points, max(radius // 3, 1)), axis=0).astype(np.float32)

    face = landmarks[:468, :2]
    tones = _patches(rgb, face, 0)
    black = np.percentile(tones, 1, axis=0).astype(np.float32)
    top = float(np.percentile(_luma(tones), 98))

    sclera = _sclera(rgb, landmarks)
    white = sclera if sclera is not None else skin
    bright = max(float(np.percentile(_luma(rgb[::4, ::4].astype(np.float32)), 99)), float(_luma(white)))
    level = max(0.5 * float(_luma(white)) + 0.7 * skin_luma, 1.25 * skin_luma)
    level = min(level, max(float(_luma(white)), top), 1.6 * skin_luma)
    if sclera is not None:
        most = min(WHITER_THAN_SKIN * skin_luma, WHITER_THAN_ALL * bright, BRIGHTEST_TOOTH)
        level = max(level, min(WHITER * float(_luma(sclera)), most))
    level = min(level, 240.0)
    tint = (0.4 * _tint(white) + 0.2 * _tint(skin) + 0.4) * (1 + (TOOTH_WARMTH - 1) * colour)
    strength = min(1.0, 0.42 * _saturation(skin) / max(_saturation(tint), 1e-3))  # the rims of small eyes add red
    tooth = level * _no_whiter(_muted(_tint(255 * tint), strength), rgb, landmarks)

    lit_skin = _tint(skin) * skin_luma
    black *= min(0.8, 0.3 * skin_luma / max(float(_luma(black)), 1.0))  # a flat drawing may contain no black
    dark = np.maximum(_muted(lit_skin * DEPTHS, colour), black)
    # Strong lipstick tints the estimate of the image's reds, but not the tongue.
    flesh = _muted(0.8 * lit_skin * FLESH + 0.2 * 0.8 * lip, colour)
    balance = float(_luma(left.mean(axis=0)) - _luma(right.mean(axis=0))) / max(2 * skin_luma, 1.0)
    return MouthLight(tooth, flesh, lip, dark, skin_luma, bright, float(np.clip(balance, -0.3, 0.3)), colour)


def _no_whiter(tint: FloatArray, rgb: RgbImage, landmarks: FloatArray) -> FloatArray:
    """Limit a tint (3,) to the least yellow light in the face: under an old varnish nothing is white; (3,).

    Args:
        tint: of luma 1.
        rgb: (H, W, 3) uint8, the portrait.
        landmarks: (478, 3) pixels.
    """
    face = _face(rgb, landmarks).reshape(-1, 3)
    luma = _luma(face)
    lit = face[luma >= np.percentile(luma, LIT)]
    blueness = lit[:, 2] / np.maximum(lit[:, 0], 1)
    most = float(np.percentile(blueness, 99))
    return tint if most * tint[0] >= tint[2] else _tint(lit[blueness >= most].mean(axis=0))


def line_between_lips(light: MouthLight) -> FloatArray:
    """Return the (3,) colour of the line between closed lips; the inside of a lip is darker and redder."""
    return np.asarray(_muted(LINE_TINT, light.colour) * light.lip, np.float32)


def flatness(rgb: RgbImage, landmarks: FloatArray) -> float:
    """Return 0 for a face that light models, as in photographs and paintings, to 1 for one in flat colours.

    Args:
        rgb: (H, W, 3) uint8, the portrait.
        landmarks: (478, 3), pixels of the portrait.
    """
    outline = np.clip(np.rint(cv2.convexHull(landmarks[FACE_OVAL, :2])[:, 0]), 0, np.array(rgb.shape[1::-1]) - 1)
    low, high = outline.min(axis=0).astype(int), outline.max(axis=0).astype(int) + 1
    mask = np.zeros(high[::-1] - low[::-1], np.uint8)
    cv2.fillConvexPoly(mask, (outline - low).astype(np.int32), 255)
    grey = cv2.cvtColor(np.ascontiguousarray(rgb[low[1] : high[1], low[0] : high[0]]), cv2.COLOR_RGB2GRAY)
    usual = float(np.median(grey[mask > 0])) if mask.any() else FLAT_LUMA
    grey = cv2.convertScaleAbs(grey, alpha=FLAT_LUMA / max(usual, 1.0))  # a dark photograph has fewer levels
    counts = cv2.calcHist([grey], [0], mask, [256], [0, 256])[:, 0]
    commonest = float(np.convolve(counts, np.ones(FLAT_LEVELS), "same").max()) / max(float(counts.sum()), 1.0)
    return smooth((commonest - MODELLED) / (FLAT - MODELLED))


def cartoon_light(light: MouthLight, rgb: RgbImage, landmarks: FloatArray, share: float) -> MouthLight:
    """Blend the colours towards those of a cartoon's mouth by `share`, 0 to 1; a grey image keeps its own.

    Args:
        light: the light of a person in this image.
        rgb: (H, W, 3) uint8, the portrait.
        landmarks: (478, 3) pixels.
        share: weight of the cartoon's colours.
    """
    if share <= 0:
        return light
    face = _face(rgb, landmarks)
    chroma = float(np.percentile(face.max(axis=2) - face.min(axis=2), 97))
    coloured = share * min(max((chroma - GREY) / (COLOURED - GREY), 0.0), 1.0)
    bright = min(light.skin_luma / CARTOON_SKIN, 1.0)
    return replace(
        light,
        tooth=light.tooth + share * (_muted(CARTOON_TOOTH, coloured / share) - light.tooth),
        flesh=light.flesh + coloured * (bright * CARTOON_FLESH - light.flesh),
        dark=light.dark + coloured * (bright * CARTOON_DARK - light.dark),
    )
