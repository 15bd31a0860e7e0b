"""Fit the landmark displacement of each expression coefficient: `python -m avatar.motion.fit_expressions`.

Absolute motion needs the driver's face with the portrait's expression. Over clips of many people, pose-free landmarks
are regressed on the blendshape coefficients, both relative to each person's mean, so that identity cancels out: ridge
regression (Hoerl and Kennard 1970). Each clip is also used mirrored.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from avatar.frames import FloatArray
from avatar.images.load import load_image
from avatar.motion.expression import Expression
from avatar.sources.video import open_driving
from avatar.tracking import Face, FaceTracker
from avatar.tracking.canonical import canonical_face
from avatar.tracking.face import BLENDSHAPES, MIRRORED_BLENDSHAPES

RIDGE = 0.02  # regularisation per frame; coefficients are in [0, 1]
EVERY = 3  # use every third frame of a clip: neighbours hardly differ


def mirrored(expression: Expression) -> Expression:
    """Mirror an expression."""
    shape = expression.shape[canonical_face().mirror] * np.array([-1, 1, 1], np.float32)
    return Expression(shape, expression.blendshapes[MIRRORED_BLENDSHAPES])


def fit(people: Sequence[Sequence[Expression]]) -> FloatArray:
    """Fit the displacement of the pose-free landmarks per unit of each coefficient.

    Args:
        people: the expressions of each person or clip.
    Returns:
        (52, 478, 3) float32.
    """
    coefficients, displacements = [], []
    for expressions in people:
        for side in (list(expressions), [mirrored(each) for each in expressions]):
            blendshapes = np.stack([each.blendshapes for each in side])
            shapes = np.stack([each.shape for each in side])
            coefficients.append(blendshapes - blendshapes.mean(axis=0))
            displacements.append((shapes - shapes.mean(axis=0)).reshape(len(side), -1))
    x, y = np.concatenate(coefficients).astype(np.float64), np.concatenate(displacements).astype(np.float64)
    ridge = RIDGE * len(x) * np.mean(np.var(x, axis=0)) * np.eye(x.shape[1])
    basis = np.linalg.solve(x.T @ x + ridge, x.T @ y)
    left = 1 - np.linalg.norm(y - x @ basis) ** 2 / np.linalg.norm(y) ** 2
    print(f"{len(x)} frames of {len(people)} clips; {left:.0%} of the motion explained")
    return basis.reshape(len(BLENDSHAPES), -1, 3).astype(np.float32)


def read_people(folder: Path, tracker: FaceTracker) -> Iterator[list[Expression]]:
    """Track every clip below a folder, and every NAME_neutral.jpg with its NAME_smiling.jpg."""
    for path in sorted(folder.rglob("*.mp4")):
        tracker.reset()
        with open_driving(path) as clip:
            faces = [tracker.track(frame.rgb) for frame in clip]
        yield _expressions(faces[::EVERY])
    for path in sorted(folder.rglob("*_neutral.jpg")):
        stills = [load_image(file) for file in (path, path.with_name(path.name.replace("_neutral", "_smiling")))]
        yield _expressions([next(iter(tracker.detect(still)), None) for still in stills])


def _expressions(faces: Sequence[Face | None]) -> list[Expression]:
    return [Expression.of(face) for face in faces if face is not None]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write models/expressions.safetensors."""
    from safetensors.numpy import save_file

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, help="clips, and pairs of stills")
    parser.add_argument("--model", type=Path, required=True, help="face_landmarker.task")
    parser.add_argument("--out", type=Path, default=Path("models/expressions.safetensors"))
    options = parser.parse_args(arguments)
    people = [person for person in read_people(options.folder, FaceTracker(options.model)) if len(person) > 1]
    save_file({"basis": fit(people).astype(np.float16)}, options.out, metadata={"clips": str(len(people))})


if __name__ == "__main__":
    main()
