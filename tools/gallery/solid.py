"""Solid bodies as signed distance functions, rendered orthographically by sphere tracing (Hart 1996).

Scene coordinates: x to the right of the image, y down, z towards the viewer; the camera defines the unit. A body is a
function that maps points (3, N) to signed distances (N,), negative inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.frames import FloatArray

Solid = Callable[[FloatArray], FloatArray]
Vector = tuple[float, float, float]
_NEAR, _FAR = 4.0, -4.0  # where rays start and end
_STEPS = 72
_HIT = 1.5e-3
_CHUNK = 1 << 15  # rays at a time, so that their data fits the CPU cache


def _vector(values: Sequence[float]) -> FloatArray:  # (N, 1)
    return np.asarray(values, np.float32)[:, None]


def _length(p: FloatArray) -> FloatArray:
    """Return the (N,) lengths of (3, N) vectors."""
    return np.asarray(np.sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]))


def ball(centre: Vector, radius: float) -> Solid:
    """Create a sphere."""
    at = _vector(centre)
    return lambda p: _length(p - at) - np.float32(radius)


def egg(centre: Vector, radii: Vector, *, turn: FloatArray | None = None) -> Solid:
    """Create an ellipsoid (Quilez's first-order distance); `turn` (3, 3) rotates it about its centre."""
    at, shrink = _vector(centre), np.float32(1) / _vector(radii)

    def distance(p: FloatArray) -> FloatArray:  # points (3, N) to (N,)
        q = np.asarray(p - at if turn is None else turn.T @ (p - at), np.float32) * shrink
        near = _length(q)
        return np.asarray(near * (near - 1) / np.maximum(_length(q * shrink), 1e-6), np.float32)

    return distance


def rod(start: Vector, end: Vector, radius: float, end_radius: float | None = None) -> Solid:
    """Create a capsule, or a cone with round ends."""
    a = _vector(start)
    along = _vector(end) - a
    span = np.float32((along * along).sum())
    thicker = np.float32((radius if end_radius is None else end_radius) - radius)

    def distance(p: FloatArray) -> FloatArray:  # points (3, N) to (N,)
        q = p - a
        share = np.clip((along * q).sum(axis=0) / span, 0, 1)
        return np.asarray(_length(q - share * along) - share * thicker - np.float32(radius))

    return distance


def brick(centre: Vector, half: Vector, rounding: float, *, turn: FloatArray | None = None) -> Solid:
    """Create a box with rounded edges; `half` is half its outer size, `turn` (3, 3) rotates it about its centre."""
    at, size = _vector(centre), _vector(half) - np.float32(rounding)

    def distance(p: FloatArray) -> FloatArray:  # points (3, N) to (N,)
        q = np.abs(p - at if turn is None else turn.T @ (p - at)) - size
        inside = np.minimum(np.maximum(np.maximum(q[0], q[1]), q[2]), 0)
        return np.asarray(_length(np.maximum(q, 0)) + inside - np.float32(rounding))

    return distance


def ring(centre: Vector, radius: float, thick: float, *, turn: FloatArray | None = None) -> Solid:
    """Create a torus that faces the viewer; `turn` (3, 3) rotates it about its centre."""
    at = _vector(centre)

    def distance(p: FloatArray) -> FloatArray:  # points (3, N) to (N,)
        q = p - at if turn is None else turn.T @ (p - at)
        around = np.hypot(q[0], q[1]) - np.float32(radius)
        return np.asarray(np.hypot(around, q[2]) - np.float32(thick))

    return distance


def both(*solids: Solid) -> Solid:
    """Return the union of bodies."""
    return lambda p: np.minimum.reduce([solid(p) for solid in solids])


def melted(blend: float, *solids: Solid) -> Solid:
    """Return the smooth union of bodies with fillets of about `blend` (polynomial smooth minimum, Quilez)."""

    def distance(p: FloatArray) -> FloatArray:  # points (3, N) to (N,)
        joined = solids[0](p)
        for solid in solids[1:]:
            joined = soft_min(joined, solid(p), blend)
        return joined

    return distance


def carved(body: Solid, tool: Solid, blend: float = 0.0) -> Solid:
    """Subtract a tool from a body."""
    return lambda p: -soft_min(-body(p), tool(p), blend)


def grown(body: Solid, by: float) -> Solid:
    """Offset the surface of a body outwards."""
    return lambda p: body(p) - np.float32(by)


def bumpy(body: Solid, height: Callable[[FloatArray], FloatArray]) -> Solid:
    """Displace the surface of a body by `height`, (3, N) to (N,), which should vary slowly relative to its size."""
    return lambda p: 0.8 * (body(p) - height(p))


def two_sided(body: Solid) -> Solid:
    """Return the union of a body and its mirror image across x = 0."""
    return lambda p: body(np.stack([np.abs(p[0]), p[1], p[2]]))


def soft_min(a: FloatArray, b: FloatArray, blend: float) -> FloatArray:
    """Return the smooth minimum of two (N,) distances, rounded where they differ by less than `blend`."""
    if blend <= 0:
        return np.minimum(a, b)
    h = np.maximum(np.float32(blend) - np.abs(a - b), 0) / np.float32(blend)
    return np.asarray(np.minimum(a, b) - h * h * np.float32(blend / 4), np.float32)


def turned(yaw_deg: float = 0.0, pitch_deg: float = 0.0, roll_deg: float = 0.0) -> FloatArray:
    """Compose a (3, 3) rotation: about the vertical axis, then the horizontal one, then the line of sight."""
    yaw, pitch, roll = np.radians([yaw_deg, pitch_deg, roll_deg])
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y, np.float32)


@dataclass(frozen=True)
class Camera:
    """An orthographic camera along z with a square image."""

    side_px: int
    unit_px: float  # pixels per unit of the scene
    x_px: float  # position of the scene's origin
    y_px: float

    def scaled(self, by: float) -> Camera:
        """Return the same view with an image `by` times as large."""
        half = 0.5
        return Camera(
            round(self.side_px * by), self.unit_px * by, (self.x_px + half) * by - half, (self.y_px + half) * by - half
        )

    def pixels(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Project scene points (N, 2) or (N, 3) to pixels (N, 2)."""
        return np.asarray(points, np.float64)[..., :2] * self.unit_px + (self.x_px, self.y_px)

    def plane(self) -> FloatArray:
        """Return the scene x and y of every pixel; (side, side, 2)."""
        at = np.arange(self.side_px, dtype=np.float32)
        x, y = (
            (at - np.float32(self.x_px)) / np.float32(self.unit_px),
            (at - np.float32(self.y_px)) / np.float32(self.unit_px),
        )
        return np.stack(np.meshgrid(x, y), axis=-1)


@dataclass(frozen=True, eq=False)
class Seen:
    """Geometry buffers of a rendered scene, (H, W, ...)."""

    hit: npt.NDArray[np.bool_]
    points: FloatArray  # (H, W, 3), on the far plane where nothing was hit
    normals: FloatArray  # (H, W, 3), unit vectors; towards the viewer where nothing was hit
    part: npt.NDArray[np.intp]  # (H, W), index of the body, -1 = none
    open_sky: FloatArray  # (H, W) in [0, 1]: ambient occlusion, 1 = free
    lit: FloatArray  # (H, W) in [0, 1]: visible fraction of the key light


def look(parts: Sequence[Solid], camera: Camera, light: Vector) -> Seen:
    """Trace the bodies. `light` is the direction towards the key light."""
    plane = np.ascontiguousarray(camera.plane().reshape(-1, 2).T)
    count = plane.shape[1]
    part = np.full(count, -1, np.intp)
    points = np.concatenate([plane, np.full((1, count), _FAR, np.float32)])
    normals = np.zeros((3, count), np.float32)
    normals[2] = 1
    sky, lit = np.ones(count, np.float32), np.ones(count, np.float32)
    towards = _vector(light) / np.float32(np.linalg.norm(light))
    scene = both(*parts)
    for start in range(0, count, _CHUNK):
        found, at = _trace(scene, plane[:, start : start + _CHUNK])
        index = np.flatnonzero(found) + start
        if len(index) == 0:
            continue
        at = np.ascontiguousarray(at[:, found])
        facing = _normals(scene, at)
        points[:, index], normals[:, index] = at, facing
        part[index] = np.argmin([body(at) for body in parts], axis=0)
        sky[index] = _occlusion(scene, at, facing)
        lit[index] = _shadow(scene, at + facing * np.float32(8e-3), towards)
    shape = (camera.side_px, camera.side_px)
    where, facing = (np.ascontiguousarray(values.T).reshape(*shape, 3) for values in (points, normals))
    part = part.reshape(shape)
    return Seen(part >= 0, where, facing, part, sky.reshape(shape), lit.reshape(shape))


def _trace(scene: Solid, plane: FloatArray) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    """March rays from (2, N) positions along z; returns (N,) hits and (3, N) points."""
    at = np.concatenate([plane, np.full((1, plane.shape[1]), _NEAR, np.float32)])
    found = np.zeros(plane.shape[1], np.bool_)
    active = np.arange(plane.shape[1])
    for _ in range(_STEPS):
        distance = scene(at[:, active])
        arrived = distance < _HIT
        found[active[arrived]] = True
        at[2, active] -= np.where(arrived, 0, 0.9 * distance)
        active = active[~arrived & (at[2, active] > _FAR)]
        if len(active) == 0:
            break
    return found, at


_TETRAHEDRON = np.array([(1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)], np.float32)


def _normals(scene: Solid, at: FloatArray, reach: float = 3e-3) -> FloatArray:
    """Return (3, N) unit normals at (3, N) surface points."""
    slope = np.zeros_like(at)
    for step in _TETRAHEDRON:
        slope += step[:, None] * scene(at + step[:, None] * np.float32(reach))
    return np.asarray(slope / np.maximum(_length(slope), 1e-9), np.float32)


def _occlusion(scene: Solid, at: FloatArray, facing: FloatArray) -> FloatArray:
    """Compute (N,) ambient occlusion at (3, N) points with normals (3, N) from nearby distances (Quilez)."""
    missing = np.zeros(at.shape[1], np.float32)
    for step, weight in ((0.03, 1.0), (0.08, 0.7), (0.16, 0.45), (0.3, 0.3), (0.5, 0.2)):
        missing += np.float32(weight / step) * np.maximum(step - scene(at + facing * np.float32(step)), 0)
    return np.asarray(np.exp(-0.75 * missing), np.float32)


def _shadow(scene: Solid, at: FloatArray, towards: FloatArray, softness: float = 6.0) -> FloatArray:
    """Compute the (N,) visible fractions of a large light from (3, N) points: soft shadows (Quilez)."""
    share, way = np.ones(at.shape[1], np.float32), np.full(at.shape[1], 0.03, np.float32)
    for _ in range(28):
        distance = scene(at + towards * way)
        share = np.minimum(share, np.maximum(softness * distance / way, 0))
        way += np.clip(distance, 0.02, 0.2)
    return np.asarray(share * share * (3 - 2 * share))
