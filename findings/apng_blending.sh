#!/usr/bin/env bash
# Animated PNG: three libraries read the same valid file, and two of them blend frames that are partly transparent wrong.
# A frame may be laid "over" what is there. Over an opaque picture the result is opaque, whatever the frame's alpha.
# Pillow pastes instead: alpha is averaged as if it were a colour, so half-transparent green on opaque red becomes a hole
# of alpha 191 in the picture, and stays in it. FFmpeg (PyAV) blends right, unless the frame covers the whole canvas and
# is cleared afterwards: then it takes the frame for a replacement, and the picture beneath is gone while it shows.
# Why it matters: an avatar or overlay with soft edges gets see-through seams in one program and flickers in another, in
# the alpha that is handed on to OBS or a browser; looked at on a black ground, all of them seem alike.
# Seen with Pillow 13.0.0 and av 18.1.0 (FFmpeg 8); opencv-python-headless 5.0.0.93 reads all of it as specified.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    pillow==13.0.0 av==18.1.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import struct
import sys
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import PIL
from PIL import Image

SIDE = 64
RED, GREEN, BLUE = (200, 30, 30, 255), (30, 200, 30, 128), (30, 30, 200, 255)
KEEP, CLEAR, OVER = 0, 1, 1  # what becomes of a frame afterwards, and how it is laid down
print(f"Pillow {PIL.__version__}, av {av.__version__}, OpenCV {cv2.__version__}")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write(path, frames):
    """Write frames of one colour: (left, top, side, colour, afterwards, how), a tenth of a second each."""
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 6, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"acTL", struct.pack(">II", len(frames), 0))]
    count = 0
    for left, top, side, colour, afterwards, how in frames:
        place = struct.pack(">IIIIIHHBB", count, side, side, left, top, 1, 10, afterwards, how)
        pixels = zlib.compress((b"\0" + bytes(colour) * side) * side)
        first = count == 0
        parts += [chunk(b"fcTL", place)]
        parts += [chunk(b"IDAT", pixels) if first else chunk(b"fdAT", struct.pack(">I", count + 1) + pixels)]
        count += 1 if first else 2
    Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b""))


def centre(rgba):
    return tuple(int(value) for value in rgba[SIDE // 2, SIDE // 2])


def read(path):
    """Return by library the middle pixel of every frame, RGBA."""
    with Image.open(path) as image:
        by_pillow = []
        for number in range(image.n_frames):
            image.seek(number)
            by_pillow.append(centre(np.asarray(image.convert("RGBA"))))
    with av.open(path) as container:
        by_pyav = [centre(frame.to_ndarray(format="rgba")) for frame in container.decode(video=0)]
    animation = cv2.imreadanimation(path)[1]
    by_opencv = [centre(cv2.cvtColor(frame, cv2.COLOR_BGRA2RGBA)) for frame in animation.frames]
    return {"Pillow": by_pillow, "PyAV": by_pyav, "OpenCV": by_opencv}


def near(pixels, *wanted):
    return len(pixels) == len(wanted) and all(np.abs(np.subtract(*pair)).max() <= 3 for pair in zip(pixels, wanted))


start, blue = (0, 0, SIDE, RED, KEEP, 0), (0, 0, 16, BLUE, KEEP, 0)  # blue: a corner, for the middle to stay as it is
write("patch.png", [start, (16, 16, 32, GREEN, KEEP, OVER), blue])
write("whole.png", [start, (0, 0, SIDE, GREEN, CLEAR, OVER), blue])
patch, whole = read("patch.png"), read("whole.png")
mixed = (115, 115, 30)  # half green on red
print(f"Most expect: the middle is red, then {(*mixed, 255)} in the second frame, in every library.")
for title, seen in (("A green patch that stays", patch), ("Green all over, cleared afterwards", whole)):
    print(f"Seen: {title}:")
    for library, pixels in seen.items():
        print(f"    {library:7} {pixels}")
as_ever = (
    near(patch["OpenCV"], RED, (*mixed, 255), (*mixed, 255))
    and near(patch["PyAV"], RED, (*mixed, 255), (*mixed, 255))
    and near(patch["Pillow"], RED, (*mixed, 191), (*mixed, 191))
    and near(whole["OpenCV"][:2], RED, (*mixed, 255))
    and near(whole["PyAV"][:2], RED, GREEN)
    and near(whole["Pillow"][:2], RED, (*mixed, 191))
    and all(pixels[2][3] == 0 for pixels in whole.values())
)
sys.exit(0 if as_ever else 1)
PYTHON
