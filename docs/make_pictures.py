"""Draw the pictures of the README: `python docs/make_pictures.py`, in Masque's own environment.

The portrait is the NASA photograph that scikit-image ships; the driver is nobody, a mean face moved by numbers.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import skimage.data
from PIL import Image

from avatar.engine.warp.engine import WarpEngine, WarpOptions
from avatar.frames import Frame
from avatar.motion.expression import expression_basis
from avatar.tracking import canonical_face, open_tracker, pose_of
from avatar.tracking.face import BLENDSHAPES, Face
from avatar.tracking.pose import rotation_from_angles

TARGET = Path(__file__).with_name("astronaut.jpg")
HEAD = (64, 0, 384, 320)  # left, top, right, bottom in the photograph
MOMENTS = (  # yaw, pitch, roll, then blendshapes
    ((0, 0, 0), {}),
    ((22, 0, 0), {"mouthSmileLeft": -0.6, "mouthSmileRight": -0.6}),
    ((-20, 4, -6), {"jawOpen": 0.75, "mouthSmileLeft": -0.5, "mouthSmileRight": -0.5}),
    ((6, -12, 8), {"eyeBlinkLeft": 0.7, "eyeBlinkRight": 0.7, "mouthSmileLeft": -0.2, "mouthSmileRight": -0.2}),
    ((-8, 10, 4), {"browInnerUp": 0.8, "browOuterUpLeft": 0.7, "browOuterUpRight": 0.7, "jawOpen": 0.3}),
)


def driver(angles_deg: tuple[float, float, float], change: dict[str, float]) -> Face:
    """A tracked face with this pose and with these blendshapes more than at rest."""
    blendshapes = np.zeros(len(BLENDSHAPES), np.float32)
    for name, value in change.items():
        blendshapes[BLENDSHAPES.index(name)] = value
    shape = canonical_face().points + np.tensordot(blendshapes, expression_basis(), axes=1)
    landmarks = (100 * shape @ rotation_from_angles(*angles_deg).T + [256, 256, 0]).astype(np.float32)
    return Face(landmarks, blendshapes, 1.0, pose_of(landmarks))


def main() -> None:
    """Write astronaut.jpg: the photograph, then the photograph moved."""
    engine = WarpEngine(open_tracker(), WarpOptions(size=1024))
    engine.set_source(Frame(np.ascontiguousarray(skimage.data.astronaut()), 0, 0))
    engine.calibrate_face(driver(*MOMENTS[0]))
    frames = [engine.animate_face(driver(*moment), float(index)) for index, moment in enumerate(MOMENTS)]
    left, top, right, bottom = (2 * edge for edge in HEAD)
    pictures = (Image.fromarray(frame[top:bottom, left:right]) for frame in frames)
    heads = [picture.resize((260, 260), Image.Resampling.LANCZOS) for picture in pictures]
    sheet = Image.new("RGB", (len(heads) * 260, 260))
    for index, head in enumerate(heads):
        sheet.paste(head, (index * 260, 0))
    sheet.save(TARGET, quality=88)
    print(TARGET)


if __name__ == "__main__":
    main()
