"""Curves through a few points: outlines of what is drawn. Points are (N, 2), x to the right, y down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
PointsLike = npt.ArrayLike | Sequence[tuple[float, float]]


def smooth(points: PointsLike, *, closed: bool = False, samples: int = 24) -> Points:
    """A Catmull-Rom curve (centripetal, so that it makes no loops) through the points; (M, 2)."""
    given = np.asarray(points, np.float64)
    if closed:
        padded = np.concatenate([given[-1:], given, given[:2]])
    else:
        padded = np.concatenate([2 * given[:1] - given[1:2], given, 2 * given[-1:] - given[-2:-1]])
    pieces = [_piece(padded[index : index + 4], samples) for index in range(len(padded) - 3)]
    if not closed:
        pieces.append(given[-1:])
    return np.concatenate(pieces)


def _piece(four: Points, samples: int) -> Points:
    """From the second to the third of four points: Barry and Goldman's pyramid, knots at roots of the distances."""
    a, b, c, d = four
    steps = [max(float(np.hypot(*(q - p))) ** 0.5, 1e-9) for p, q in ((a, b), (b, c), (c, d))]
    t0, t1, t2, t3 = np.cumsum([0.0, *steps])
    t = np.linspace(t1, t2, samples, endpoint=False)[:, None]
    ab, bc, cd = (
        p * (end - t) / (end - start) + q * (t - start) / (end - start)
        for p, q, start, end in ((a, b, t0, t1), (b, c, t1, t2), (c, d, t2, t3))
    )
    abc = ab * (t2 - t) / (t2 - t0) + bc * (t - t0) / (t2 - t0)
    bcd = bc * (t3 - t) / (t3 - t1) + cd * (t - t1) / (t3 - t1)
    return np.asarray(abc * (t2 - t) / (t2 - t1) + bcd * (t - t1) / (t2 - t1))


def ellipse(x: float, y: float, rx: float, ry: float, *, turn_deg: float = 0.0, samples: int = 96) -> Points:
    """The outline of an ellipse; `turn_deg` clockwise as seen."""
    angle = np.linspace(0, 2 * np.pi, samples, endpoint=False)
    turn = np.radians(turn_deg)
    across, down = rx * np.cos(angle), ry * np.sin(angle)
    turned = (x + across * np.cos(turn) - down * np.sin(turn), y + across * np.sin(turn) + down * np.cos(turn))
    return np.stack(turned, axis=1)


def mirrored(points: PointsLike, about_x: float = 0.0) -> Points:
    """The same on the other side of an upright line, in the same order."""
    given = np.asarray(points, np.float64)
    return np.asarray(given * (-1, 1) + (2 * about_x, 0))


def shifted(points: PointsLike, x: float, y: float) -> Points:
    """The same somewhere else."""
    return np.asarray(np.asarray(points, np.float64) + np.array([x, y]))


def symmetric(half: PointsLike) -> Points:
    """A closed outline by its half at x >= 0, from the top middle to the bottom middle, smooth along the half."""
    side = smooth(half)
    return np.concatenate([side, mirrored(side)[::-1]])


def at_fractions(curve: PointsLike, fractions: npt.ArrayLike) -> Points:
    """Points at shares of the curve's length."""
    given = np.asarray(curve, np.float64)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(given, axis=0).T))])
    wanted = np.asarray(fractions, np.float64) * along[-1]
    return np.stack([np.interp(wanted, along, given[:, axis]) for axis in (0, 1)], axis=1)


def ribbon(points: PointsLike, widths: npt.ArrayLike) -> Points:
    """The outline of a stroke along a curve whose width changes; widths are spread evenly over its length."""
    given = np.asarray(points, np.float64)
    along = np.linspace(0, 1, len(given))
    wide = np.interp(along, np.linspace(0, 1, len(np.atleast_1d(widths))), np.atleast_1d(widths)) / 2
    direction = np.gradient(given, axis=0)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
    normal /= np.maximum(np.hypot(*normal.T), 1e-9)[:, None]
    return np.concatenate([given + normal * wide[:, None], (given - normal * wide[:, None])[::-1]])
