#!/usr/bin/env bash
# PyAV opens an AVIF picture that is stored in tiles, and gives one tile for the picture, without an error.
# HEIF and AVIF allow a picture to be a grid of separately coded tiles; phones store their photographs that way. FFmpeg
# describes the grid in a "stream group", which PyAV does not show: there, each tile is a video stream of its own, and
# "the best video stream" is the upper left corner. Width, height and frame count all look like those of a small picture.
# Why it matters: whoever reads portraits or backgrounds with the library that reads their clips works on a corner of
# the photograph, in which there may be a bit of wall and no face. Pillow and OpenCV open the same file whole.
# The four tiles are coded by Pillow; the script only writes the boxes around them.
# Seen with av 18.1.0 (FFmpeg 8), beside Pillow 13.0.0 and opencv-python-headless 4.14.0.94.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    av==18.1.0 pillow==13.0.0 opencv-python-headless==4.14.0.94 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import io
import struct
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import PIL
from PIL import Image

TILE = 64
COLOURS = ((200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30))
TILES = range(2, 6)  # item numbers; 1 is the grid
print(f"av {av.__version__}, Pillow {PIL.__version__}, OpenCV {cv2.__version__}")


def coded(colour):
    file = io.BytesIO()
    Image.new("RGB", (TILE, TILE), colour).save(file, "AVIF", quality=90)
    return file.getvalue()


def children(data, start, end):
    while start < end:
        size, kind = struct.unpack_from(">I4s", data, start)
        yield kind, start, start + size
        start += size


def inside(data, *path):
    """Return where the contents of a box lie, given the names of the boxes around it."""
    start, end = 0, len(data)
    for name in path:
        start, end = next((first + 8, last) for kind, first, last in children(data, start, end) if kind == name)
        start += 4 if name == b"meta" else 0
    return start, end


def box(kind, *contents):
    data = b"".join(contents)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def full(kind, version, flags, *contents):
    return box(kind, struct.pack(">I", version << 24 | flags), *contents)


def item(number, kind, flags=0):
    return full(b"infe", 2, flags, struct.pack(">HH4sB", number, 0, kind, 0))


def assemble():
    """Return an AVIF file whose picture is a grid of two by two tiles."""
    tiles = [coded(colour) for colour in COLOURS]
    first, last = inside(tiles[0], b"meta", b"iprp", b"ipco")
    kept = {kind: tiles[0][start:end] for kind, start, end in children(tiles[0], first, last)}
    bodies = [struct.pack(">BBBBHH", 0, 0, 1, 1, 2 * TILE, 2 * TILE)]
    for data in tiles:
        start, end = inside(data, b"mdat")
        bodies.append(data[start:end])
    size, tile_size = (full(b"ispe", 0, 0, struct.pack(">II", side, side)) for side in (2 * TILE, TILE))
    properties = box(b"ipco", size, tile_size, kept[b"av1C"], kept[b"pixi"], kept[b"colr"])
    whole = struct.pack(">HB3B", 1, 3, 1, 4, 5)
    parts = [struct.pack(">HB4B", number, 4, 2, 0x80 | 3, 4, 5) for number in TILES]
    head = box(b"ftyp", b"avif", bytes(4), b"avifmif1miafMA1B")

    def upto_data(offset):
        places = []
        for number, body in enumerate(bodies, 1):
            places.append(struct.pack(">HHHII", number, 0, 1, offset, len(body)))
            offset += len(body)
        return head + full(
            b"meta", 0, 0,
            full(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
            full(b"pitm", 0, 0, struct.pack(">H", 1)),
            full(b"iloc", 0, 0, struct.pack(">BBH", 0x44, 0, 5), *places),
            full(b"iinf", 0, 0, struct.pack(">H", 5), item(1, b"grid"), *(item(n, b"av01", 1) for n in TILES)),
            full(b"iref", 0, 0, box(b"dimg", struct.pack(">HH4H", 1, 4, *TILES))),
            box(b"iprp", properties, full(b"ipma", 0, 0, struct.pack(">I", 5), whole, *parts)),
        )  # fmt: skip

    return upto_data(len(upto_data(0)) + 8) + box(b"mdat", *bodies)


def names(rgb):
    """Return which of the four colours stand in the corners of an image."""
    corners = (rgb[y, x].astype(int) for y in (8, -8) for x in (8, -8))
    return [int(np.argmin([abs(corner - colour).sum() for colour in np.array(COLOURS)])) + 1 for corner in corners]


path = Path("tiled.avif")
path.write_bytes(assemble())
with Image.open(path) as opened:
    by_pillow = np.asarray(opened.convert("RGB"))
by_opencv = cv2.imread(str(path))[:, :, ::-1]
with av.open(path) as container:
    count = len(container.streams.video)
    best = container.streams.best("video")
    frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(best)]
print("Most expect: every library gives the picture, 128 by 128 in four colours, or says that it cannot.")
print(f"Seen: Pillow: {by_pillow.shape}, colours in the corners {names(by_pillow)}")
print(f"Seen: OpenCV: {by_opencv.shape}, colours in the corners {names(by_opencv)}")
print(f"Seen: PyAV: {count} video streams; of the best one {len(frames)} frame, {frames[0].shape}, {names(frames[0])}")
as_ever = (
    by_pillow.shape == by_opencv.shape == (128, 128, 3)
    and names(by_pillow) == names(by_opencv) == [1, 2, 3, 4]
    and count == 4
    and [frame.shape for frame in frames] == [(64, 64, 3)]
    and names(frames[0]) == [1, 1, 1, 1]
)
sys.exit(0 if as_ever else 1)
PYTHON
