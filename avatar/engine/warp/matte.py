"""The head's soft outline: how much of each pixel belongs to the person, down to strands of hair.

A network says roughly where the person is (person.py). Along the outline, every pixel is explained as a mixture of a
colour of the person and a colour of the background from nearby (after Wang and Cohen, "Optimized Color Sampling for
Robust Matting", 2007), trusting the network where colours cannot tell; a guided filter makes the answer follow
the picture's edges. Before a plain background everything that differs from it is taken along, so that no strand
is left behind; before a busy one the outline stays tight, so that the background is not dragged along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engine.warp.backdrop import Backdrop
from avatar.engine.warp.fields import Mask, as_unit, blurred, distance_to, nearest, nearest_in_row, strongest
from avatar.engine.warp.guided import fit_local_linear
from avatar.engine.warp.headroom import Head, shrunk
from avatar.engine.warp.person import by_shape, find_person
from avatar.frames import FloatArray, RgbImage
from avatar.tracking.regions import CHIN

WORK_SIDE = 768  # px; the outline is found on a picture of this size and carried over to a larger one
_CHUNK = 32768  # pixels explained at a time: what they need fits the processor's cache


@dataclass(frozen=True, eq=False)
class MatteResult:
    """How much of each pixel belongs to the person, and how far to trust that."""

    alpha: FloatArray  # (H, W) in [0, 1]
    confidence: float  # [0, 1]; below 0.4 the outline is a guess from the face's place alone
    source: str  # "alpha" of the picture, "network", "colours" or "shape"


def person_matte(rgb: RgbImage, landmarks: FloatArray, alpha: npt.NDArray[np.uint8] | None = None) -> FloatArray:
    """How much of each pixel belongs to the person, see `estimate_matte`; (H, W) float32 in [0, 1]."""
    return estimate_matte(rgb, landmarks, alpha).alpha


def estimate_matte(
    rgb: RgbImage, landmarks: FloatArray, alpha: npt.NDArray[np.uint8] | None = None
) -> MatteResult:
    """Separate the person from the background.

    Args:
        rgb: (H, W, 3).
        landmarks: (478, 3) pixels of the person's face.
        alpha: (H, W), the picture's own transparency; used if it shows anything.
    Returns:
        1 on head, hair, hat, neck, shoulders and clothes, 0 on the background, soft in hair. Never fails: where neither
        network nor colours help, the usual shape of a head around the face.
    """
    if alpha is not None and alpha.shape == rgb.shape[:2] and int(alpha.min()) < 128 <= int(alpha.max()):
        return MatteResult(as_unit(alpha), 1.0, "alpha")
    head = Head.of(landmarks)
    rows, columns = head.box(rgb.shape)
    part = np.ascontiguousarray(rgb[rows, columns])
    near = _matte_of_part(part, head.cropped(columns.start, rows.start))
    if part.shape == rgb.shape:
        return near
    # Around a small head the rest of the picture hardly moves: a coarse answer will do.
    small, scale = shrunk(rgb, WORK_SIDE)
    far = find_person(small, head.scaled(scale)).probability
    whole = np.asarray(cv2.resize(far, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_LINEAR))
    ramp = _ramp(rgb.shape, rows, columns)
    whole[rows, columns] += ramp * (near.alpha - whole[rows, columns])
    return MatteResult(whole, near.confidence, near.source)


def _matte_of_part(rgb: RgbImage, head: Head) -> MatteResult:
    small, scale = shrunk(rgb, WORK_SIDE)
    small_head = head.scaled(scale)
    if min(small.shape[:2]) < 16:
        return MatteResult(by_shape(rgb.shape, head), 0.2, "shape")
    coarse = find_person(small, small_head)
    alpha = refine_matte(small, coarse.probability, small_head)
    if scale < 1:
        alpha = _enlarge(rgb, small, alpha)
    return MatteResult(alpha, coarse.confidence, coarse.source)


def refine_matte(rgb: RgbImage, probability: FloatArray, head: Head) -> FloatArray:
    """Turn a rough answer into one that follows the picture.

    Args:
        rgb: (H, W, 3).
        probability: (H, W) in [0, 1], right but for a margin along the outline.
        head: sets the width of that margin.
    Returns:
        (H, W) in [0, 1].
    """
    image = as_unit(rgb)
    certain, absent = _certain_zones(probability, head)
    if absent.sum() < 50 or certain.sum() < 50:
        return np.asarray(np.clip(probability, 0, 1), np.float32)
    background = Backdrop.learn(image, absent, head.size)
    stray = _strays(image, background, certain, absent, head.size)
    if stray.any():
        absent &= ~stray
        background = Backdrop.learn(image, absent, head.size)
        probability = np.where(stray, np.maximum(probability, 0.5), probability).astype(np.float32)
    mixed, trust, least = _explain(image, certain, absent, background, probability, stray, head.size)
    if stray.any():
        mixed[stray], trust[stray] = _stray_alpha(image, background, head.size)[stray], 1
    fit = fit_local_linear(image, mixed, 0.05 + trust, max(2, round(0.025 * head.size)), 1e-4)
    alpha = np.clip(fit.apply(image), 0, 1)
    alpha += 0.7 * np.where(certain | absent, 0, trust) * (mixed - alpha)
    haze = 0.04 - 0.03 * background.plain
    alpha = (alpha - haze) / (0.97 - haze)
    alpha = np.maximum(alpha, least * np.where(np.maximum(probability, alpha) > 0.5, 1, background.plain))
    alpha[certain], alpha[absent] = 1, 0
    return np.asarray(np.clip(alpha, 0, 1), np.float32)


def _certain_zones(probability: FloatArray, head: Head) -> tuple[Mask, Mask]:
    """Where the rough answer is beyond doubt: person, background. The margin is wide around hair, narrow below."""
    core = probability > 0.5
    outside = distance_to(core)
    inside = distance_to(~core)
    face = head.face(core.shape)
    y = np.arange(len(core), dtype=np.float32)[:, None]
    hair = np.clip((head.landmarks[CHIN, 1] + 0.2 * head.size - y) / (0.3 * head.size), 0, 1)
    thin = max(1, round(0.02 * head.size))
    inner_face = cv2.erode(face.astype(np.uint8), np.ones((2 * thin + 1, 2 * thin + 1), np.uint8)).astype(np.bool_)
    certain = ((probability > 0.9) & (inside > (0.02 + 0.05 * hair) * head.size)) | inner_face
    absent = (probability < 0.1) & (outside > (0.05 + 0.10 * hair) * head.size) & ~face
    return certain, absent


def _strays(image: FloatArray, background: Backdrop, certain: Mask, absent: Mask, size: float) -> Mask:
    """What stands out from a plain background and hangs together with the person: locks and strands of hair."""
    away = strongest(cv2.absdiff(image, background.colour))
    stands_out = (away > 3 * background.deviation + 6 / 255) & (background.plain > 0.5)
    near = distance_to(~absent) < 0.6 * size
    candidate = (absent & stands_out & near) | ~absent
    joined = cv2.morphologyEx(candidate.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    _, label = cv2.connectedComponents(joined)
    ours = np.zeros(int(label.max()) + 1, np.bool_)
    ours[label[certain]] = True
    ours[0] = False
    strays = ours[label] & absent & stands_out
    if strays.sum() > 0.25 * size * size:  # not hair but a thing behind the person
        return np.zeros_like(strays)
    grown = cv2.dilate(strays.astype(np.uint8), np.ones((5, 5), np.uint8))
    return np.asarray((grown > 0) & absent)


def _stray_alpha(image: FloatArray, background: Backdrop, size: float) -> FloatArray:
    """A strand is opaque where it differs most from the background; (H, W)."""
    away = cv2.GaussianBlur(np.linalg.norm(image - background.colour, axis=2), (3, 3), 0)
    reach = max(1, round(0.02 * size))
    most = cv2.dilate(away, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    return np.asarray(np.clip(away / np.maximum(0.9 * most, 50 / 255), 0, 1), np.float32)


def _explain(
    image: FloatArray,
    certain: Mask,
    absent: Mask,
    background: Backdrop,
    probability: FloatArray,
    stray: Mask,
    size: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Explain the pixels in doubt as mixtures.

    Returns:
        alpha (H, W), how far to trust it (H, W), 1 where there is no doubt, and the smallest alpha possible (H, W).
    """
    rows, columns = np.nonzero(~(certain | absent))
    alpha, trust = certain.astype(np.float32), np.ones(certain.shape, np.float32)
    least = np.zeros_like(alpha)
    soft = cv2.GaussianBlur(image, (0, 0), 1.0).reshape(-1, 3)
    person_near, background_near = nearest(certain), nearest(absent)
    beside = nearest_in_row(absent)
    person_from = [(0.0, 0.0), *_ring(0.10 * size, 4, 0.0), *_ring(0.22 * size, 4, 0.8)]
    background_from = [(0.0, 0.0), *_ring(0.10 * size, 3, 0.5)]
    for start in range(0, len(rows), _CHUNK):
        y, x = rows[start : start + _CHUNK], columns[start : start + _CHUNK]
        persons = [soft[_look_up(person_near, y, x, step)] for step in person_from]
        grounds = [background.colour[y, x], *(soft[index[y, x]] for index in beside)]
        grounds += [soft[_look_up(background_near, y, x, step)] for step in background_from]
        colour, deviation = image[y, x], background.deviation[y, x]
        alpha[y, x], trust[y, x] = _best_mixture(
            colour, persons, grounds, probability[y, x], stray[y, x], background.plain[y, x], deviation
        )
        least[y, x] = np.min([_least_alpha(colour, ground, deviation) for ground in grounds], axis=0)
    return alpha, trust, least


def _least_alpha(colour: FloatArray, ground: FloatArray, deviation: FloatArray) -> FloatArray:
    """The smallest alpha with which any foreground before `ground` can give `colour`; for N pixels, (N,).

    Smith and Blinn, "Blue Screen Matting", 1996: a foreground lies between black and white. Deviations that are usual
    for the background need no foreground.
    """
    above = colour - ground
    excess = np.abs(above) - (deviation + 0.5 / 255)[:, None]
    share = excess / np.clip(np.where(above > 0, 1 - ground, ground), 0.1, 1)
    return np.asarray(np.maximum(np.maximum(share[:, 0], share[:, 1]), share[:, 2]), np.float32)


def _best_mixture(
    colour: FloatArray,
    persons: list[FloatArray],
    grounds: list[FloatArray],
    expected: FloatArray,
    stray: Mask,
    plain: FloatArray,
    deviation: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Of all pairs of colours take the one that mixes to the pixel best; for N pixels, alpha and trust, (N,) each.

    Mixture and its error: Wang and Cohen 2007, Eq. 2 and 3; to the error comes the distance from what is expected.
    """
    noise = (4 / 255) ** 2 + 0.15 * deviation * deviation
    per_error = 1 / (3 * noise)
    inside = expected > 0.5
    pull = np.where(inside, 1 + 8 * np.square(2 * expected - 1), 0.5 + 4 * (1 - plain)) * ~stray
    best = np.full(len(colour), np.inf, np.float32)
    alpha, contrast = expected.copy(), np.zeros_like(best)
    planes, person_planes = _planes(colour), [_planes(person) for person in persons]
    for ground in map(_planes, grounds):
        above = planes - ground
        distance = _dot(above, above)
        for person in person_planes:
            line = person - ground
            length, along = _dot(line, line), _dot(above, line)
            share = np.clip(along / (length + np.float32(1e-4)), 0, 1)
            error = distance - share * (2 * along - share * length)
            cost = error * per_error + pull * np.square(share - expected)
            better = cost < best
            np.copyto(best, cost, where=better)
            np.copyto(alpha, share, where=better)
            np.copyto(contrast, length, where=better)
    contrast /= 3
    needed = (25 / 255) ** 2 + 4 * deviation * deviation
    trust = np.exp(-0.25 * best) * contrast / (contrast + needed)
    return expected + trust * (alpha - expected), trust


def _planes(colours: FloatArray) -> FloatArray:
    """(N, 3) as (3, N): sums over three long rows are several times as fast as over many short ones."""
    return np.ascontiguousarray(colours.T)


def _dot(first: FloatArray, second: FloatArray) -> FloatArray:
    """Of the columns of (3, N) each; (N,)."""
    return np.asarray(first[0] * second[0] + first[1] * second[1] + first[2] * second[2])


def _look_up(
    index: npt.NDArray[np.intp], y: npt.NDArray[np.intp], x: npt.NDArray[np.intp], step: tuple[float, float]
) -> npt.NDArray[np.intp]:
    height, width = index.shape
    return index[np.clip(y + round(step[1]), 0, height - 1), np.clip(x + round(step[0]), 0, width - 1)]


def _ring(radius: float, count: int, phase: float) -> list[tuple[float, float]]:
    angles = phase + np.arange(count) * (2 * np.pi / count)
    return [(float(radius * np.cos(angle)), float(radius * np.sin(angle))) for angle in angles]


def _enlarge(rgb: RgbImage, small: RgbImage, alpha: FloatArray) -> FloatArray:
    """Carry the matte over to the large picture: along its own edges where soft, plainly elsewhere."""
    size = (rgb.shape[1], rgb.shape[0])
    fit = fit_local_linear(as_unit(small), alpha, np.ones_like(alpha), 2, 1e-5)
    plain = np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR))
    soft = ((alpha > 0.02) & (alpha < 0.98)).astype(np.float32)
    soft = blurred(np.asarray(cv2.dilate(soft, np.ones((3, 3), np.uint8))), 1.0)
    soft = np.asarray(cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR))
    return np.asarray(np.clip(plain + soft * (np.clip(fit.apply_large(rgb), 0, 1) - plain), 0, 1), np.float32)


def _ramp(shape: tuple[int, ...], rows: slice, columns: slice) -> FloatArray:
    """1 inside the box, falling to 0 at those of its sides that are not the picture's; (rows, columns)."""

    def side(part: slice, length: int) -> FloatArray:
        count = part.stop - part.start
        position = np.arange(count, dtype=np.float32) + 0.5
        from_start = position if part.start > 0 else np.full(count, np.inf, np.float32)
        from_stop = count - position if part.stop < length else np.full(count, np.inf, np.float32)
        return np.asarray(np.clip(np.minimum(from_start, from_stop) / (0.1 * count), 0, 1), np.float32)

    return np.asarray(side(rows, shape[0])[:, None] * side(columns, shape[1])[None])
