"""Draw the pictures of the README: `python docs/make_pictures.py`, in Masque's own environment.

The portraits are the NASA photograph that scikit-image ships and the avatars that tools.gallery draws; the driver is
a mean face, posed by code.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import skimage.data
from PIL import Image

from avatar.engines.base import Driving, Engine, EngineConfig, Portrait
from avatar.engines.registry import create_engine
from avatar.library.builtin import GALLERY
from avatar.library.library import Library
from avatar.motion.expression import expression_basis
from avatar.portrait.source import read_portrait
from avatar.tracking import canonical_face, open_tracker, pose_of
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.pose import rotation_from_angles

HEAD = (64, 0, 384, 320)  # left, top, right, bottom in the photograph
MOMENTS: tuple[tuple[tuple[float, float, float], dict[str, float]], ...] = (  # yaw, pitch, roll, then blendshapes
    ((0, 0, 0), {}),
    ((22, 0, 0), {"mouthSmileLeft": -0.6, "mouthSmileRight": -0.6}),
    ((-20, 4, -6), {"jawOpen": 0.75, "mouthSmileLeft": -0.5, "mouthSmileRight": -0.5}),
    ((6, -12, 8), {"eyeBlinkLeft": 0.7, "eyeBlinkRight": 0.7, "mouthSmileLeft": -0.2, "mouthSmileRight": -0.2}),
    ((-8, 10, 4), {"browInnerUp": 0.8, "browOuterUpLeft": 0.7, "browOuterUpRight": 0.7, "jawOpen": 0.3}),
)
ANTICS = (
    ((16, 2, 4), {"jawOpen": 0.55, "mouthSmileLeft": 0.6, "mouthSmileRight": 0.6, "browInnerUp": 0.4}),
    ((-18, 2, -8), {"jawOpen": 0.7, "mouthSmileLeft": 0.4, "mouthSmileRight": 0.4}),
    ((10, -6, 6), {"eyeBlinkLeft": 0.7, "eyeBlinkRight": 0.7, "mouthSmileLeft": 0.7, "mouthSmileRight": 0.7}),
    ((-14, 4, -5), {"browInnerUp": 0.8, "browOuterUpLeft": 0.7, "browOuterUpRight": 0.7, "jawOpen": 0.45}),
    ((-20, 0, 5), {"eyeLookOutRight": 0.6, "eyeLookInLeft": 0.6, "mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}),
    ((15, 3, 8), {"jawOpen": 0.6, "mouthSmileLeft": 0.6, "mouthSmileRight": 0.6}),
)


def driver(angles_deg: tuple[float, float, float], change: dict[str, float]) -> Face:
    """Create a tracked face with this pose, and with these blendshapes added to those at rest."""
    blendshapes = np.zeros(len(BLENDSHAPES), np.float32)
    for name, value in change.items():
        blendshapes[BLENDSHAPES.index(name)] = value
    shape = canonical_face().points + np.tensordot(blendshapes, expression_basis(), axes=1)
    landmarks = (100 * shape @ rotation_from_angles(*angles_deg).T + [256, 256, 0]).astype(np.float32)
    return Face(landmarks, blendshapes, 1.0, pose_of(landmarks))


def prepared(portrait: Portrait, size_px: int | None = None) -> Engine:
    """Show a portrait, calibrated with a driver at rest."""
    engine = create_engine(EngineConfig())
    engine.show(engine.prepare(portrait, size_px))
    engine.calibrate(Driving(face=driver(*MOMENTS[0])))
    return engine


def photograph() -> None:
    """Write astronaut.jpg: the photograph, then the photograph moved."""
    rgb = np.ascontiguousarray(skimage.data.astronaut())
    engine = prepared(Portrait(rgb, open_tracker().detect(rgb)[0]), 1024)
    frames = [engine.draw(Driving(face=driver(*moment))) for moment in MOMENTS]
    left, top, right, bottom = (2 * edge for edge in HEAD)
    save([[frame[top:bottom, left:right] for frame in frames]], 260, "astronaut.jpg")


def gallery() -> None:
    """Write avatars.jpg: the drawn avatars, and below each how it looks moved."""
    tracker, library = open_tracker(), Library(Path(__file__).with_name("nobody's avatars"))
    drawn, moved = [], []
    for name, moment in zip(GALLERY, ANTICS, strict=True):
        portrait = read_portrait(library.likeness(name), tracker)
        engine = prepared(Portrait(portrait.rgb, portrait.faces[0]))
        drawn.append(portrait.rgb)
        moved.append(engine.draw(Driving(face=driver(*moment))))
    save([drawn, moved], 215, "avatars.jpg")


def save(rows: list[list[np.ndarray]], side_px: int, name: str) -> None:
    """Write rows of square images, `side_px` each, beside this file."""
    sheet = Image.new("RGB", (len(rows[0]) * side_px, len(rows) * side_px))
    for down, row in enumerate(rows):
        for across, image in enumerate(row):
            small = Image.fromarray(image).resize((side_px, side_px), Image.Resampling.LANCZOS)
            sheet.paste(small, (across * side_px, down * side_px))
    target = Path(__file__).with_name(name)
    sheet.save(target, quality=88)
    print(target)


if __name__ == "__main__":
    photograph()
    gallery()
