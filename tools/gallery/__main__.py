"""Command line of the gallery: `python -m tools.gallery [NAME...]` writes models/avatars/NAME/, a minute for each."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from avatar.frames import RgbImage
from avatar.images.load import load_image
from avatar.library import record as library_record
from avatar.library.builtin import GALLERY, MADE_HERE
from avatar.library.importing import describe
from avatar.library.record import Avatar
from avatar.tracking.face import Face
from tools.gallery.design import FaceDesign
from tools.gallery.paint import finished
from tools.gallery.solid import Camera

FILE = "picture.jpg"
QUALITY = 86  # of the JPEG, with full colour resolution: none is larger than 150 kB


@dataclass(frozen=True, eq=False)
class Drawing:
    """A rendered avatar."""

    rgb: RgbImage
    face: Face


def draw(name: str, scale: float = 2.0) -> Drawing:
    """Render the avatar of a name in GALLERY with `scale` times oversampling."""
    module = importlib.import_module(f"tools.gallery.{name.lower()}")
    camera: Camera = module.CAMERA
    design: FaceDesign = module.FACE
    return Drawing(finished(module.draw(scale), camera.side_px), design.face(camera))


def write(name: str, folder: Path) -> Avatar:
    """Render an avatar into a folder of its own. Raises OSError."""
    drawing = draw(name)
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    Image.fromarray(drawing.rgb).save(packed, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    (place / FILE).write_bytes(packed.getvalue())
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    source = f"{GALLERY[name]}, drawn by tools.gallery"
    avatar = Avatar(name, place, FILE, digest, source=source, licence="CC0-1.0")
    describe(avatar, load_image(avatar.image_path), drawing.face)
    return library_record.read(place)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: render the named avatars, or all; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.gallery", description="Draw the built-in avatars.")
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"of {', '.join(GALLERY)} (default: all)")
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, default=MADE_HERE)
    args = parser.parse_args(argv)
    if unknown := sorted(set(args.names) - set(GALLERY)):
        parser.error(f"there is no drawing called {unknown[0]}")
    for name in args.names or GALLERY:
        avatar = write(name, args.output)
        print(f"{avatar.image_path}: {avatar.image_path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
