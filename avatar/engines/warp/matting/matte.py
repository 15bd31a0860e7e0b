"""Estimation of the alpha matte: the fraction of each pixel that belongs to the person, down to strands of hair.

A network segments the person coarsely (person.py). Along the outline, every pixel is explained as a mixture of nearby
foreground and background colours (after Wang and Cohen, "Optimized Color Sampling for Robust Matting", 2007), with the
network as prior where the colours are ambiguous; a guided filter aligns the matte with the edges of the image. On a
plain background everything that differs from it counts as person, so that no strand is lost; on a busy one the matte
stays tight, so that the background is not dragged along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engines.base import Checkpoint, go_on
from avatar.engines.warp.fields import Mask, as_unit, blurred, distance_to, nearest, nearest_in_row, strongest
from avatar.engines.warp.headroom import Head, shrunk
from avatar.engines.warp.matting.backdrop import Backdrop
from avatar.engines.warp.matting.guided import STRIP_ROWS, enlarged, fit_local_linear, parts_with
from avatar.engines.warp.matting.person import by_shape, find_person
from avatar.frames import FloatArray, RgbImage
from avatar.tracking.regions import CHIN

WORK_SIDE = 768  # px; working resolution, from which the matte is upsampled
_CHUNK = 16384  # pixels processed at a time, so that their data fits the CPU cache
_TRIED = 3  # foreground colours that are tried with every background colour
_LENGTH, _ZERO, _ONE = np.float32(1e-4), np.float32(0), np.float32(1)


@dataclass(frozen=True, eq=False)
class MatteResult:
    """An alpha matte with its confidence."""

    alpha: FloatArray  # (H, W) in [0, 1]
    confidence: float  # [0, 1]; below 0.4 the outline is a guess from the position of the face
    source: str  # "alpha" (the image's own), "network", "colours" or "shape"


def person_matte(
    rgb: RgbImage,
    landmarks: FloatArray,
    alpha: npt.NDArray[np.uint8] | None = None,
    checkpoint: Checkpoint = go_on,
) -> FloatArray:
    """Estimate the alpha matte of the person: (H, W) float32 in [0, 1]. Arguments as in `estimate_matte`."""
    return estimate_matte(rgb, landmarks, alpha, checkpoint).alpha


def estimate_matte(
    rgb: RgbImage,
    landmarks: FloatArray,
    alpha: npt.NDArray[np.uint8] | None = None,
    checkpoint: Checkpoint = go_on,
) -> MatteResult:
    """Separate the person from the background.

    Args:
        rgb: (H, W, 3).
        landmarks: (478, 3) pixels of the person's face.
        alpha: (H, W), the image's own alpha channel; used if it is not constant.
        checkpoint: called between the steps; what it raises ends them.
    Returns:
        1 on head, hair, hat, neck, shoulders and clothes, 0 on the background, soft in hair. Never fails: if network
        and colours are of no use, it is an average head shape around the face.
    """
    if alpha is not None and alpha.shape == rgb.shape[:2] and int(alpha.min()) < 128 <= int(alpha.max()):
        return MatteResult(as_unit(alpha), 1.0, "alpha")
    head = Head.of(landmarks)
    rows, columns = head.box(rgb.shape)
    part = rgb[rows, columns]
    near = _matte_of_part(part, head.cropped(columns.start, rows.start), checkpoint)
    if part.shape == rgb.shape:
        return near
    # Far from a small head the image hardly moves, so a coarse matte suffices.
    small, scale = shrunk(rgb, WORK_SIDE)
    far = find_person(small, head.scaled(scale)).probability
    whole = np.asarray(cv2.resize(far, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_LINEAR))
    down, across = _ramp(rows, rgb.shape[0]), _ramp(columns, rgb.shape[1])
    around = whole[rows, columns]
    for top in range(0, len(down), STRIP_ROWS):
        strip = slice(top, top + STRIP_ROWS)
        around[strip] += down[strip, None] * across * (near.alpha[strip] - around[strip])
    return MatteResult(whole, near.confidence, near.source)


def _matte_of_part(rgb: RgbImage, head: Head, checkpoint: Checkpoint) -> MatteResult:
    """Estimate the matte (H, W) of an (H, W, 3) uint8 part of an image, at a resolution of at most WORK_SIDE."""
    small, scale = shrunk(rgb, WORK_SIDE)
    small_head = head.scaled(scale)
    if min(small.shape[:2]) < 16:
        return MatteResult(by_shape(rgb.shape, head), 0.2, "shape")
    coarse = find_person(small, small_head)
    checkpoint()
    alpha = refine_matte(small, coarse.probability, small_head, checkpoint)
    if scale < 1:
        alpha = _enlarge(rgb, small, alpha)
    return MatteResult(alpha, coarse.confidence, coarse.source)


def refine_matte(rgb: RgbImage, probability: FloatArray, head: Head, checkpoint: Checkpoint = go_on) -> FloatArray:
    """Refine a coarse segmentation to an alpha matte.

    Args:
        rgb: (H, W, 3) uint8.
        probability: (H, W) in [0, 1], correct except for a margin along the outline.
        head: sets the width of that margin.
        checkpoint: called between the steps; what it raises ends them.
    Returns:
        (H, W) in [0, 1].
    """
    image = as_unit(rgb)
    certain, absent = _certain_zones(probability, head)
    if absent.sum() < 50 or certain.sum() < 50:
        return np.asarray(np.clip(probability, 0, 1), np.float32)
    background = Backdrop.learn(image, absent, head.size)
    checkpoint()
    stray = _strays(image, background, certain, absent, head.size)
    checkpoint()
    if stray.any():
        absent &= ~stray
        background = Backdrop.learn(image, absent, head.size)
        probability = np.where(stray, np.maximum(probability, 0.5), probability).astype(np.float32)
    mixed, trust, least = _explain(image, certain, absent, background, probability, stray, head.size, checkpoint)
    if stray.any():
        mixed[stray], trust[stray] = _stray_alpha(image, background, head.size)[stray], 1
        checkpoint()
    radius = max(2, round(0.025 * head.size))
    fit = fit_local_linear(image, mixed, 0.05 + trust, radius, 1e-4, ~(certain | absent))
    checkpoint()
    alpha = np.clip(fit.apply(image), 0, 1)
    alpha += 0.7 * np.where(certain | absent, 0, trust) * (mixed - alpha)
    haze = 0.04 - 0.03 * background.plain
    alpha = (alpha - haze) / (0.97 - haze)
    alpha = np.maximum(alpha, least * np.where(np.maximum(probability, alpha) > 0.5, 1, background.plain))
    alpha[certain], alpha[absent] = 1, 0
    return np.asarray(np.clip(alpha, 0, 1), np.float32)


def _certain_zones(probability: FloatArray, head: Head) -> tuple[Mask, Mask]:
    """Return (H, W) masks of certain foreground and certain background; the margin is wide around hair.

    Args:
        probability: (H, W) in [0, 1].
        head: sets the width of the margin.
    """
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
    """Find strands of hair: pixels that differ from a plain background and are connected to the person.

    Args:
        image: (H, W, 3) in [0, 1].
        background: the estimated background.
        certain, absent: (H, W), certain foreground and background.
        size: size of the head, pixels.
    Returns:
        (H, W).
    """
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
    if strays.sum() > 0.25 * size * size:  # too large for hair: an object behind the person
        return np.zeros_like(strays)
    grown = cv2.dilate(strays.astype(np.uint8), np.ones((5, 5), np.uint8))
    return np.asarray((grown > 0) & absent)


def _stray_alpha(image: FloatArray, background: Backdrop, size: float) -> FloatArray:
    """Estimate the (H, W) alpha of strands in an (H, W, 3) image: 1 where they differ most from the background."""
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
    checkpoint: Checkpoint,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Estimate the alpha of uncertain pixels by colour sampling.

    Args:
        image: (H, W, 3) in [0, 1].
        certain, absent: (H, W), certain foreground and background.
        background: the estimated background.
        probability: (H, W) in [0, 1], the coarse segmentation.
        stray: (H, W), strands of hair.
        size: size of the head, pixels.
        checkpoint: called between the steps; what it raises ends them.
    Returns:
        (H, W) alpha, (H, W) confidence, which is 1 for certain pixels, and (H, W) lower bound of alpha.
    """
    alpha, trust = certain.astype(np.float32), np.ones(certain.shape, np.float32)
    least = np.zeros_like(alpha)
    soft = cv2.GaussianBlur(image, (0, 0), 1.0).reshape(-1, 3)
    persons, grounds = _Around(soft[nearest(certain)], 0.22 * size), _Around(soft[nearest(absent)], 0.10 * size)
    beside = [soft[index] for index in nearest_in_row(absent)]
    near, far = _ring(0.10 * size, 4, 0.0), _ring(0.22 * size, 4, 0.8)
    person_from = [(0.0, 0.0), near[0], far[1], *near[1:], far[0], *far[2:]]
    ground_from = [(0.0, 0.0), *_ring(0.10 * size, 3, 0.5)]
    rows, columns = np.nonzero(~(certain | absent))
    for start in range(0, len(rows), _CHUNK):
        checkpoint()
        at = y, x = rows[start : start + _CHUNK], columns[start : start + _CHUNK]
        behind = [background.colour[at], *(each[at] for each in beside), *(grounds.at(y, x, by) for by in ground_from)]
        ahead = [persons.at(y, x, by) for by in person_from]
        colour, deviation = image[at], background.deviation[at]
        alpha[at], trust[at] = _best_mixture(
            colour, ahead, behind, probability[at], stray[at], background.plain[at], deviation
        )
        least[at] = np.min([_least_alpha(colour, ground, deviation) for ground in behind], axis=0)
    return alpha, trust, least


class _Around:
    """Looks up colours at some distance from pixels, clamped to the image."""

    def __init__(self, colours: FloatArray, reach: float) -> None:
        """Keep (H, W, 3) colours for look-ups up to `reach` pixels away."""
        self._reach = round(reach) + 1
        self._colours = cv2.copyMakeBorder(colours, *(self._reach,) * 4, cv2.BORDER_REPLICATE)

    def at(self, y: npt.NDArray[np.intp], x: npt.NDArray[np.intp], step: tuple[float, float]) -> FloatArray:
        """Return the (N, 3) colours at (N,) positions moved by `step`."""
        row, column = y + (self._reach + round(step[1])), x + (self._reach + round(step[0]))
        return np.asarray(self._colours[row, column])


def _least_alpha(colour: FloatArray, ground: FloatArray, deviation: FloatArray) -> FloatArray:
    """Compute the lower bound of alpha for which any foreground over `ground` gives `colour`.

    Smith and Blinn, "Blue Screen Matting", 1996: a foreground lies between black and white. Deviations that are
    typical for the background need no foreground.

    Args:
        colour, ground: (N, 3) in [0, 1].
        deviation: (N,).
    Returns:
        (N,).
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
    """Choose the pair of foreground and background colours that explains each pixel best.

    Mixture and error: Wang and Cohen 2007, Eq. 2 and 3; the distance from the expected alpha is added to the error.
    The first _TRIED foreground colours are tried with every background colour, the others with the best of those only.

    Args:
        colour: (N, 3) in [0, 1].
        persons, grounds: candidate colours, (N, 3) each.
        expected: (N,) alpha of the coarse segmentation.
        stray: (N,) strands of hair, for which the expectation is ignored.
        plain: (N,) plainness of the background.
        deviation: (N,) typical deviation of the background.
    Returns:
        (N,) alpha and (N,) confidence.
    """
    noise = np.float32((4 / 255) ** 2) + np.float32(0.15) * deviation * deviation
    inside = expected > 0.5
    pull = np.where(inside, 1 + 8 * np.square(2 * expected - 1), 0.5 + 4 * (1 - plain)) * ~stray
    mixtures = _Mixtures(expected, np.float32(1 / 3) / noise, pull.astype(np.float32))
    planes = np.ascontiguousarray(colour.T)
    person = np.stack([each.T for each in persons]) - planes  # (P, 3, N), as all colours below relative to the pixel's
    ground = np.stack([each.T for each in grounds]) - planes
    for behind in ground:
        mixtures.compare(person[:_TRIED], behind)
    chosen, first = np.divmod(mixtures.best, _TRIED)
    behind = _of_each(ground, chosen)
    mixtures.compare(person[_TRIED:], behind)
    later = mixtures.best - _TRIED * len(ground)
    before = _of_each(person, np.where(later >= 0, _TRIED + later, first))
    alpha, contrast = _mixture(before, behind)
    contrast /= 3
    needed = np.float32((25 / 255) ** 2) + 4 * deviation * deviation
    trust = np.exp(-0.25 * mixtures.cost) * contrast / (contrast + needed)
    return expected + trust * (alpha - expected), trust


class _Mixtures:
    """Comparison of pairs of colours for N pixels; all colours are relative to that of the pixel, in planes (3, N)."""

    def __init__(self, expected: FloatArray, per_error: FloatArray, pull: FloatArray) -> None:
        """Start without a pair; (N,) expected alphas, weights of the squared error, and of the deviation of alpha."""
        self._expected, self._per_error, self._pull = expected, per_error, pull
        self.cost = np.full(len(expected), np.inf, np.float32)  # (N,), of the best pair so far
        self._best = np.zeros(len(expected), np.uint8)
        self._count = 0

    @property
    def best(self) -> npt.NDArray[np.intp]:
        """The (N,) numbers of the best pairs, in the order in which they were compared."""
        return self._best.astype(np.intp)

    def compare(self, persons: FloatArray, ground: FloatArray) -> None:
        """Compare the pairs of (P, 3, N) foreground colours with a background colour (3, N) with the best so far."""
        distance = _dot(ground, ground)
        for person in persons:
            both = _dot(person, ground)
            along = distance - both
            length = along - both
            length += _dot(person, person)
            share = along / (length + _LENGTH)
            np.minimum(np.maximum(share, _ZERO, out=share), _ONE, out=share)
            cost = length  # distance - share (2 along - share length)
            cost *= share
            cost -= along
            cost -= along
            cost *= share
            cost += distance
            cost *= self._per_error
            share -= self._expected
            share *= share
            share *= self._pull
            cost += share
            # Numbers rise, so that the last one that was better is the largest; faster than copying under a mask.
            number = (cost < self.cost).view(np.uint8) * np.uint8(self._count)
            np.maximum(self._best, number, out=self._best)
            np.minimum(self.cost, cost, out=self.cost)
            self._count += 1


def _mixture(person: FloatArray, ground: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the (N,) shares of foreground colours (3, N) over background colours, and their squared distances."""
    line = person - ground
    length = _dot(line, line)
    return np.clip(-_dot(ground, line) / (length + _LENGTH), 0, 1), length


def _of_each(colours: FloatArray, number: npt.NDArray[np.intp]) -> FloatArray:
    """Take for each of N pixels the colour of its number (N,) from (C, 3, N); (3, N)."""
    return np.asarray(np.take_along_axis(colours, number[None, None], axis=0)[0])


def _dot(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the (N,) dot products of the columns of two (3, N) arrays."""
    total = first[0] * second[0]
    total += first[1] * second[1]
    total += first[2] * second[2]
    return np.asarray(total)


def _ring(radius: float, count: int, phase: float) -> list[tuple[float, float]]:
    angles = phase + np.arange(count) * (2 * np.pi / count)
    return [(float(radius * np.cos(angle)), float(radius * np.sin(angle))) for angle in angles]


def _enlarge(rgb: RgbImage, small: RgbImage, alpha: FloatArray) -> FloatArray:
    """Upsample a matte (h, w) to the size of the large image: edge-aware where it is soft, bilinear elsewhere.

    Args:
        rgb: (H, W, 3) uint8, the large image.
        small: (h, w, 3) uint8, the image that the matte was estimated on.
        alpha: (h, w).
    Returns:
        (H, W).
    """
    height, width = rgb.shape[:2]
    soft = ((alpha > 0.02) & (alpha < 0.98)).astype(np.float32)
    soft = blurred(np.asarray(cv2.dilate(soft, np.ones((3, 3), np.uint8))), 1.0)
    wanted = cv2.dilate((soft > 0).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_)
    fit = fit_local_linear(as_unit(small), alpha, np.ones_like(alpha), 2, 1e-5, wanted)
    both = np.dstack([alpha, soft])
    large = np.empty((height, width), np.float32)
    for top in range(0, height, STRIP_ROWS):
        strip = rgb[top : top + STRIP_ROWS]
        plain, share = cv2.split(enlarged(both, (width, height), top, len(strip)))
        for _, columns in parts_with(share > 0, STRIP_ROWS):
            edge_aware = np.clip(fit.apply_large(strip, (width, height), top, columns), 0, 1)
            plain[:, columns] += share[:, columns] * (edge_aware - plain[:, columns])
        large[top : top + STRIP_ROWS] = np.clip(plain, 0, 1)
    return large


def _ramp(part: slice, length: int) -> FloatArray:
    """Return (N,) weights for N positions on an axis: 1 inside, falling to 0 at the ends that are not image borders."""
    count = part.stop - part.start
    position = np.arange(count, dtype=np.float32) + 0.5
    from_start = position if part.start > 0 else np.full(count, np.inf, np.float32)
    from_stop = count - position if part.stop < length else np.full(count, np.inf, np.float32)
    return np.asarray(np.clip(np.minimum(from_start, from_stop) / (0.1 * count), 0, 1), np.float32)
