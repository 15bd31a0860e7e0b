"""A portrait as a relief: every point has a depth and a weight for the head motion, computed once per portrait."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.beyond import NOTHING_CUT, Beyond, Edges
from avatar.engines.warp.matting.scattered import thin_plate_values
from avatar.frames import FloatArray
from avatar.motion.head import HeadMotion
from avatar.motion.smoothstep import smoothstep
from avatar.tracking.face import Face
from avatar.tracking.regions import CHIN, FACE_OVAL

BEHIND_EARS = 0.25  # depth of the head's outline behind its centre, canonical units
HAIR_SLOPE = 0.6  # slope of the depth outside the face oval
NECK_LENGTH = 1.15  # length below the chin over which motion fades to zero, canonical units
BORDER_FADE = 0.8  # where an edge crops the person: length over which motion fades, as a fraction of border to face
LEAST_FADE, MOST_FADE = 0.03, 0.35  # limits of that length, as fractions of the image's shorter side
MESH_POINTS = 468  # without the irises, whose depth is that of the eyeball


@dataclass(frozen=True, eq=False)
class _Border:
    """One edge of the image that may crop the person, but not the head. Points near it are held where it does."""

    axis: int  # 0: distance is measured along x, 1: along y
    position_px: float
    reach_px: float  # distance up to which points are held
    held: FloatArray  # (length of the edge,), 1 where the person is cropped, 0 at background

    def freedom(self, points_px: FloatArray) -> FloatArray:
        """Return (Q,) weights of (Q, 2) points: 1 where they move freely, 0 where the edge holds them."""
        along = np.interp(points_px[:, 1 - self.axis], np.arange(len(self.held)), self.held)
        away = np.abs(points_px[:, self.axis] - self.position_px)
        return np.asarray(1 - along * (1 - smoothstep(away / self.reach_px)), np.float32)


@dataclass(frozen=True, eq=False)
class Relief:
    """Depth and motion weight of the points of one portrait; coordinates in pixels of the portrait."""

    centre_px: FloatArray  # (3,), the centre of rotation
    unit_px: float  # pixels per canonical unit (distance between the outer eye corners)
    axes: FloatArray  # (2, 2), rows: the head's sideways and downward directions in the image
    oval_centre_px: FloatArray  # (2,)
    oval_radii: FloatArray  # (2,), canonical units, along `axes`
    chin: float  # height of the chin below the head's centre, canonical units
    landmarks: FloatArray  # (478, 3)
    borders: tuple[_Border, ...] = ()
    beyond: Beyond = NOTHING_CUT

    @staticmethod
    def of(face: Face, matte: FloatArray | None = None) -> Relief:
        """Create the relief of a portrait from its face; with a matte (H, W), as `held` returns it."""
        pose = face.pose
        roll = np.deg2rad(pose.roll_deg)
        axes = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]], np.float32)
        oval = (face.landmarks[FACE_OVAL, :2] @ axes.T) / np.float32(pose.scale_px)
        low, high = oval.min(axis=0), oval.max(axis=0)
        middle = 0.5 * (low + high) @ axes * pose.scale_px
        chin = float((face.landmarks[CHIN, :2] - pose.centre_px[:2]) @ axes[1] / pose.scale_px)
        relief = Relief(
            centre_px=pose.centre_px,
            unit_px=pose.scale_px,
            axes=axes,
            oval_centre_px=middle.astype(np.float32),
            oval_radii=(0.5 * (high - low)).astype(np.float32),
            chin=chin,
            landmarks=face.landmarks,
        )
        return relief if matte is None else relief.held(Edges.of(matte))

    def held(self, edges: Edges) -> Relief:
        """Return the same relief, held where edges crop shoulders or neck, bounded by what others crop of the head."""
        oval_px = self.landmarks[FACE_OVAL, :2]
        beyond = Beyond.of(edges, oval_px)
        return replace(self, borders=_borders(edges, oval_px, beyond), beyond=beyond)

    def depth(self, points_px: FloatArray) -> FloatArray:
        """Return the (Q,) depths of (Q, 2) points, as the landmarks' z: the face inside its oval, the head outside."""
        back = self.centre_px[2] + np.float32(BEHIND_EARS * self.unit_px)
        oval = self.landmarks[FACE_OVAL]
        rings, depths = [], []
        for scale in (1.3, 1.7, 2.2):  # hair and ears recede from the face oval with a gentle slope
            ring = self.ring(scale)
            nearest = np.linalg.norm(ring[:, None] - oval[None, :, :2], axis=-1).argmin(axis=1)
            away = np.linalg.norm(ring - oval[nearest, :2], axis=1)
            rings.append(ring)
            depths.append(np.minimum(oval[nearest, 2] + HAIR_SLOPE * away, back))
        at = np.concatenate([self.landmarks[:MESH_POINTS, :2], *rings])
        known = np.concatenate([self.landmarks[:MESH_POINTS, 2], *depths])
        outside = smoothstep((self.oval_distance(points_px) - 1.7) / 0.5)
        depth = np.full(len(points_px), back, np.float32)
        inside = outside < 1
        shaped = thin_plate_values(at, known, points_px[inside], stiffness=2e-2)
        depth[inside] = (1 - outside[inside]) * shaped + outside[inside] * back
        return depth

    def share(self, points_px: FloatArray) -> FloatArray:
        """Return (Q,) weights of the head motion at (Q, 2) points: 1 on the head, less on the neck, 0 at held edges."""
        local = (points_px - self.centre_px[:2]) @ self.axes.T / np.float32(self.unit_px)
        neck = 1 - smoothstep((local[:, 1] - self.chin) / NECK_LENGTH)
        beside = 1 - smoothstep((np.abs(local[:, 0]) - 2.2) / 1.0)
        share = neck * beside
        for border in self.borders:
            share = share * border.freedom(points_px)
        return np.asarray(share, np.float32)

    def bounded(self, motion: HeadMotion) -> HeadMotion:
        """Limit the motion so that nothing moves into the image that the portrait does not hold; see `Beyond`."""
        return replace(motion, shift_px=self.beyond.bounded(motion.shift_px))

    def ring(self, scale: float, count: int = 36) -> FloatArray:
        """Return (count, 2) points on the face oval scaled by `scale` about its centre, in pixels."""
        angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
        around = np.stack([np.cos(angle), np.sin(angle)], axis=1) * self.oval_radii * scale * self.unit_px
        return np.asarray(around @ self.axes + self.oval_centre_px, np.float32)

    def oval_distance(self, points_px: FloatArray) -> FloatArray:
        """Return the (Q,) normalised radii of (Q, 2) points: 0 at the centre of the face, 1 on its oval."""
        local = (points_px - self.oval_centre_px) @ self.axes.T / (self.oval_radii * np.float32(self.unit_px))
        return np.asarray(np.linalg.norm(local, axis=1), np.float32)

    def move(self, points: FloatArray, share: FloatArray, expression: FloatArray, motion: HeadMotion) -> FloatArray:
        """Move points of the portrait: by expression first, then by the weighted head motion.

        Args:
            points: (Q, 3).
            share: (Q,) weights of the head motion.
            expression: (Q, 3) or (1, 3) displacements.
            motion: the head motion.
        Returns:
            (Q, 2).
        """
        shaped = (points + expression)[None]
        turn = motion.zoom * motion.rotation  # how far it moves each point: an affine map, less that point itself
        shift = self.centre_px + motion.shift_px - turn @ self.centre_px
        by = cv2.transform(shaped, np.column_stack([turn - np.eye(3), shift])[:2])
        moved = by * cv2.merge([share[None]] * 2) + cv2.transform(shaped, np.eye(2, 3))
        return np.asarray(moved[0], np.float32)


def _borders(edges: Edges, oval_px: FloatArray, beyond: Beyond) -> tuple[_Border, ...]:
    """Create the borders at which nothing is continued, from the edges of the matte and the face oval (N, 2)."""
    height, width = len(edges.left), len(edges.top)
    low, high = oval_px.min(axis=0), oval_px.max(axis=0)
    sides = (
        (0, 0.0, low[0], edges.left, beyond.left),
        (0, width - 1.0, width - 1 - high[0], edges.right, beyond.right),
        (1, 0.0, low[1], edges.top, beyond.top),
        (1, height - 1.0, height - 1 - high[1], edges.bottom, 0),
    )
    borders = []
    for axis, position, room, cut, continued_px in sides:
        if continued_px:
            continue
        reach = float(np.clip(BORDER_FADE * room, LEAST_FADE * edges.side_px, MOST_FADE * edges.side_px))
        wide = cv2.dilate(cut.reshape(1, -1), np.ones((1, 2 * round(0.5 * reach) + 1)))
        held = cv2.GaussianBlur(wide, (0, 0), max(0.35 * reach, 1.0), borderType=cv2.BORDER_REPLICATE)
        borders.append(_Border(axis, position, reach, np.asarray(held, np.float32).reshape(-1)))
    return tuple(borders)
