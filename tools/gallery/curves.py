"""Smooth curves through a few points, used as outlines. Points are (N, 2), x to the right, y down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
PointsLike = npt.ArrayLike | Sequence[tuple[float, float]]


def smooth(points: PointsLike, *, closed: bool = False, samples: int = 24) -> Points:
    """Sample a centripetal Catmull-Rom curve, which has no loops, through (N, 2) points; (M, 2)."""
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
    """Sample the segment between the second and third of (4, 2) points by Barry and Goldman's pyramid; (samples, 2)."""
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
    """Return the (samples, 2) outline of an ellipse, rotated clockwise by `turn_deg`."""
    angle = np.linspace(0, 2 * np.pi, samples, endpoint=False)
    turn = np.radians(turn_deg)
    across, down = rx * np.cos(angle), ry * np.sin(angle)
    turned = (x + across * np.cos(turn) - down * np.sin(turn), y + across * np.sin(turn) + down * np.cos(turn))
    return np.stack(turned, axis=1)


def mirrored(points: PointsLike, about_x: float = 0.0) -> Points:
    """Mirror (N, 2) points about a vertical line, preserving their order."""
    given = np.asarray(points, np.float64)
    return np.asarray(given * (-1, 1) + (2 * about_x, 0))


def shifted(points: PointsLike, x: float, y: float) -> Points:
    """Translate (N, 2) points."""
    return np.asarray(np.asarray(points, np.float64) + np.array([x, y]))


def symmetric(half: PointsLike) -> Points:
    """Build a closed outline from its half at x >= 0, given from the top centre to the bottom centre."""
    side = smooth(half)
    return np.concatenate([side, mirrored(side)[::-1]])


def at_fractions(curve: PointsLike, fractions: npt.ArrayLike) -> Points:
    """Return the points at given fractions of the curve's length."""
    given = np.asarray(curve, np.float64)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(given, axis=0).T))])
    wanted = np.asarray(fractions, np.float64) * along[-1]
    return np.stack([np.interp(wanted, along, given[:, axis]) for axis in (0, 1)], axis=1)


def ribbon(points: PointsLike, widths: npt.ArrayLike) -> Points:
    """Return the outline of a stroke of varying width along a curve; widths are spread evenly over its length."""
    given = np.asarray(points, np.float64)
    along = np.linspace(0, 1, len(given))
    wide = np.interp(along, np.linspace(0, 1, len(np.atleast_1d(widths))), np.atleast_1d(widths)) / 2
    direction = np.gradient(given, axis=0)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
    normal /= np.maximum(np.hypot(*normal.T), 1e-9)[:, None]
    return np.concatenate([given + normal * wide[:, None], (given - normal * wide[:, None])[::-1]])
