"""Fit how the light on a face changes with a smile: `python -m tools.fit_shading FOLDER [--people tune] [--out FILE]`.

FOLDER holds pairs of photographs as `tools.evaluate.pairs` takes them. Each photograph is drawn as the other without
any shading; what is left between the result and the truth, as log gains over the mean face, is regressed on the amount
of smile and its product with the portrait's own contrast, through the origin and with ridges, for smiles that come and
that go. Both sides of the face count as one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.portrait import WarpPortrait
from avatar.engines.warp.scene import Scene
from avatar.engines.warp.shading import (
    COLUMNS,
    DARKEST,
    LEFT,
    ROWS,
    STEP,
    TOP,
    face_grid,
    mean_face_positions,
    own_contrast,
)
from avatar.frames import FloatArray, RgbImage
from avatar.images.load import load_image
from avatar.motion.expression import Expression, transfer
from avatar.motion.head import HeadMotion, head_motion
from avatar.tracking import Face, find_faces, open_tracker
from avatar.tracking.canonical import canonical_face
from avatar.tracking.regions import CHEEKS, EYES, FACE_OVAL, LOWER_LIP, MOUTH_CORNERS, UPPER_LIP
from tools.evaluate.pairs import STATES, people_in

POINTS = np.unique(np.concatenate([MOUTH_CORNERS[[0, 4]], CHEEKS, [205, 425, 50, 280]]))  # corners and cheeks
RIDGE = 4.0  # people whose change is none
CONTRAST_RIDGE = 0.03  # the same, times their squared contrast
MOST = 0.35  # log gain: more is something that has moved, not light
BLUR, SMOOTH = 0.012, 1.0  # of the images, in units of the mean face; of the field, in its points
GRID_PX = 8  # of the portrait, in which the mapping to the mean face is exact


@dataclass(frozen=True, eq=False)
class Pair:
    """One photograph, prepared to be drawn as another of the same person."""

    towards: str  # the state of the other
    rgb: RgbImage  # (H, W, 3)
    face: Face
    truth_rgb: RgbImage  # (H, W, 3), the other
    truth: Face
    prepared: WarpPortrait
    displacement: FloatArray  # (478, 3) of the landmarks, canonical frame
    motion: HeadMotion

    @staticmethod
    def of(rgb: RgbImage, face: Face, truth_rgb: RgbImage, truth: Face, towards: str) -> Pair:
        """Prepare a photograph (H, W, 3) with a face to be drawn as another one."""
        source, driving = Expression.of(face), Expression.of(truth)
        prepared = WarpPortrait.of(rgb, face)
        motion = prepared.deformation.relief.bounded(head_motion(face, face, truth))
        moved = transfer(source, source, driving) - source.shape
        return Pair(towards, rgb, face, truth_rgb, truth, prepared, moved, motion)

    def drawn(self, *, creep: bool = True) -> tuple[Scene, RgbImage]:
        """Draw it as the other, without shading; return what the frame shows, and the frame (H, W, 3)."""
        pose = self.face.pose
        expression_px = np.asarray(self.displacement * np.float32(pose.scale_px) @ pose.rotation.T, np.float32)
        scene = self.prepared.scene(expression_px, self.motion, creep=creep)
        frame = self.prepared.layers.compose(scene.look_up)
        self.prepared.layers.openings.draw(frame, scene, shaded=False)
        return scene, frame


@dataclass(frozen=True, eq=False)
class Change:
    """Change that light alone would have to make to one photograph drawn as another."""

    towards: str
    displacement: FloatArray  # (N, 3) of POINTS, canonical frame
    gains: FloatArray  # (ROWS, COLUMNS, 3) mean log gains
    seen: FloatArray  # (ROWS, COLUMNS) bool as float
    contrast: FloatArray  # (ROWS, COLUMNS) of the first photograph


def pairs(folder: Path, people: Sequence[str]) -> Iterator[Pair]:
    """Prepare every person in both directions; photographs without a face are left out."""
    tracker = open_tracker()
    for person in people:
        images = {state: load_image(folder / f"{person}_{state}.jpg") for state in STATES}
        faces = {state: next(iter(find_faces(image, tracker)), None) for state, image in images.items()}
        for away, towards in (STATES, STATES[::-1]):
            portrait, truth = faces[away], faces[towards]
            if portrait is not None and truth is not None:
                yield Pair.of(images[away], portrait, images[towards], truth, towards)
    tracker.close()


def change(pair: Pair) -> Change:
    """Draw one photograph as the other, without shading, and compare."""
    scene, drawn = pair.drawn()
    sigma = BLUR * pair.face.pose.scale_px
    before, after = (
        np.log(cv2.GaussianBlur(each.astype(np.float32), (0, 0), sigma) + DARKEST) for each in (drawn, pair.truth_rgb)
    )
    counts = _skin(scene.target, pair.truth.landmarks, drawn.shape)
    positions, grid = scene.look_up.pixels(1), face_grid(pair.face)
    at = _on_mean_face(pair.face.landmarks, positions)
    gains, seen = _gathered(np.clip(after - before, -MOST, MOST), at, counts)
    contrast = grid.sample(own_contrast(pair.rgb, pair.face, grid), positions)
    return Change(
        pair.towards, pair.displacement[POINTS], gains, seen, _gathered(contrast[..., None], at, counts)[0][..., 0]
    )


def fit(found: Sequence[Change]) -> dict[str, np.ndarray]:
    """Return what `SmileFields` reads: points, direction, and the fields smiling, relaxing, and of contrast."""
    direction = np.mean([each.displacement * (1 if each.towards == "smiling" else -1) for each in found], axis=0)
    mirror = canonical_face().mirror
    across = np.searchsorted(POINTS, mirror[POINTS])
    direction = 0.5 * (direction + direction[across] * [-1, 1, 1])
    fields = {}
    for name, towards in (("smiling", "smiling"), ("relaxing", "neutral")):
        chosen = [each for each in found if each.towards == towards]
        plain, contrast = _regressed(chosen, [abs(_amount(each, direction)) for each in chosen])
        fields[name], fields[f"{name}_contrast"] = plain, contrast
    return {"points": POINTS.astype(np.int32), "direction": direction.astype(np.float32), **fields}


def _amount(change: Change, direction: np.ndarray) -> float:
    """Return the units of smile of a change; `direction` (N, 3): one unit's displacement of POINTS."""
    return float(np.sum(change.displacement * direction) / np.sum(direction**2))


def _regressed(found: Sequence[Change], amounts: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Regress gains on amounts of smile: (ROWS, COLUMNS, 3) per unit, and (ROWS, COLUMNS, 1) per unit of contrast."""
    squares, products = np.zeros((ROWS, COLUMNS, 3)), np.zeros((ROWS, COLUMNS, 6))
    for each, amount in zip(found, amounts, strict=True):
        for side in (slice(None), slice(None, None, -1)):
            seen, contrast = each.seen[:, side, None], each.contrast[:, side, None]
            gains = amount * each.gains[:, side] * seen
            squares += amount**2 * seen * np.concatenate([np.ones_like(contrast), contrast, contrast**2], axis=2)
            products += np.concatenate([gains, contrast * gains], axis=2)
    squares, products = (
        np.dstack([cv2.GaussianBlur(plane, (0, 0), SMOOTH) for plane in np.moveaxis(sums, 2, 0)])
        for sums in (squares, products)
    )
    mass, mixed, own = np.moveaxis(squares + 2 * np.array([RIDGE, 0, CONTRAST_RIDGE]), 2, 0)[..., None]
    first, second = products[..., :3], products[..., 3:]
    determinant = mass * own - mixed**2
    plain = (own * first - mixed * second) / determinant
    contrast = (mass * second - mixed * first) / determinant
    return plain.astype(np.float16), contrast.mean(axis=2, keepdims=True).astype(np.float16)


def _skin(target: FloatArray, truth: FloatArray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the (H, W) mask of the face without eyes and the inside of the mouth, as drawn and in truth."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(target[FACE_OVAL, :2]).astype(np.int32)), 1)
    return np.asarray((cv2.erode(mask, np.ones((7, 7), np.uint8)) > 0) & ~openings(target, truth, shape))


def openings(target: FloatArray, truth: FloatArray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the (H, W) mask of eyes and the inside of the mouth, by (478, 3) landmarks as drawn and in truth."""
    holes = np.zeros(shape[:2], np.uint8)
    for landmarks in (target, truth):
        lips = np.concatenate([UPPER_LIP[3], LOWER_LIP[3][::-1]])
        gap_px = float(np.linalg.norm(landmarks[UPPER_LIP[3][4], :2] - landmarks[LOWER_LIP[3][4], :2]))
        outlines = [eye.contour for eye in EYES] + ([lips] if gap_px > 2 else [])
        for outline in outlines:
            cv2.fillPoly(holes, [np.rint(landmarks[outline, :2]).astype(np.int32)], 1)
    return np.asarray(cv2.dilate(holes, np.ones((3, 3), np.uint8)) > 0)


def _on_mean_face(landmarks: FloatArray, positions: FloatArray) -> FloatArray:
    """Return (H, W, 2) positions on the mean face of (H, W, 2) positions in the portrait."""
    height, width = positions.shape[:2]
    rows, columns = np.mgrid[0 : height + GRID_PX : GRID_PX, 0 : width + GRID_PX : GRID_PX].astype(np.float32)
    queries = np.stack([columns.ravel(), rows.ravel()], axis=1)
    exact = mean_face_positions(landmarks, queries).reshape(*rows.shape, 2)
    return np.asarray(cv2.remap(exact, positions / GRID_PX, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _gathered(values: FloatArray, at: FloatArray, counts: np.ndarray) -> tuple[FloatArray, FloatArray]:
    """Average (H, W, C) values over the pixels that fall on each point of a field, where (H, W) `counts` is true."""
    column, row = np.rint((at - np.array([LEFT, TOP], np.float32)) / STEP).astype(np.intp).transpose(2, 0, 1)
    used = counts & (column >= 0) & (column < COLUMNS) & (row >= 0) & (row < ROWS)
    index = (row * COLUMNS + column)[used]
    size = ROWS * COLUMNS
    count = np.bincount(index, minlength=size)
    sums = [np.bincount(index, values[..., channel][used], size) for channel in range(values.shape[2])]
    means = np.stack(sums, axis=1) / np.maximum(count, 1)[:, None]
    return means.reshape(ROWS, COLUMNS, -1).astype(np.float32), (count > 0).reshape(ROWS, COLUMNS).astype(np.float32)


def run(fitted: Callable[[Iterable[Pair]], dict[str, np.ndarray]], out: str, arguments: Sequence[str] | None) -> None:
    """Fit to the people that the command line names, and write the result; `out`: its name without one there."""
    from safetensors.numpy import save_file

    parser = argparse.ArgumentParser(description=f"Write {out}.")
    parser.add_argument("folder", type=Path, help="of NAME_neutral.jpg and NAME_smiling.jpg")
    parser.add_argument("--people", choices=("all", "tune", "report"), default="tune", help="which of them, by name")
    parser.add_argument("--out", type=Path, default=Path(out))
    options = parser.parse_args(arguments)
    people = people_in(options.folder, options.people)
    save_file(fitted(pairs(options.folder, people)), options.out, metadata={"people": str(len(people))})


def main(arguments: Sequence[str] | None = None) -> None:
    """Write models/smile-shading.safetensors."""
    run(lambda found: fit([change(pair) for pair in found]), "models/smile-shading.safetensors", arguments)


if __name__ == "__main__":
    main()
