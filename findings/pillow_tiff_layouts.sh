#!/usr/bin/env bash
# Pillow reads one and the same TIFF picture rightly or as noise, depending on whether it is compressed, without an error.
# Big-endian floats and signed 16-bit integers: right when plain, rubbish when deflated (bytes are swapped a second time,
# after libtiff did it). 16-bit colour in separate planes: right when deflated, rubbish when plain (low and high bytes
# become neighbouring pixels). Unsigned 16-bit grey is right in all of these, so a quick trial shows nothing.
# tifffile, which wrote them, reads all of them back to the bit.
# Why it matters: depth maps, masks and portraits out of editing programs come as deep TIFFs, of any byte order and
# layout; sizes and modes are as they should be, and a face detector merely finds nobody.
# Seen with Pillow 13.0.0 and tifffile 2026.3.3 on a little-endian processor.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
import PIL
import tifffile
from PIL import Image

if sys.byteorder != "little":
    sys.exit("This finding is about little-endian processors.")
print(f"Pillow {PIL.__version__}, tifffile {tifffile.__version__}")
HEIGHT, WIDTH = 32, 48
down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
GREY = (across * 1300 + down * 100).astype(np.uint16)
PICTURES = {
    "grey, 16 bits": GREY,
    "grey, float": (GREY / 65535).astype(np.float32),
    "grey, 16 bits with sign": (GREY.astype(int) - 32768).astype(np.int16),
    "colour, 16 bits": np.dstack([GREY, GREY[::-1], 65535 - GREY]),
}


def write(picture, order, planes, compression):
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        np.ascontiguousarray(np.moveaxis(picture, -1, 0)) if planes else picture,
        byteorder=order,
        photometric="rgb" if picture.ndim == 3 else "minisblack",
        planarconfig=("separate" if planes else "contig") if picture.ndim == 3 else None,
        compression=compression,
    )
    return file.getvalue()


def by_tifffile(data, planes):
    read = tifffile.imread(io.BytesIO(data))
    return np.moveaxis(read, 0, -1) if planes else read


def by_pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image), image.mode


print("Most expect: a lossless compression changes nothing in what is read, and what cannot be read is refused.")
wrong = set()
np.seterr(invalid="ignore")  # rubbish read as floats has values that are no numbers
unread = 0
for name, picture in PICTURES.items():
    for planes in (False, True) if picture.ndim == 3 else (False,):
        for order, order_name in (("<", "little-endian"), (">", "big-endian")):
            for compression, compression_name in ((None, "plain"), ("zlib", "deflated")):
                data = write(picture, order, planes, compression)
                unread += not np.array_equal(by_tifffile(data, planes), picture)
                # Pillow has no colour mode of 16 bits: it keeps the high bytes
                wanted = (picture >> 8).astype(np.uint8) if picture.ndim == 3 else picture
                read, mode = by_pillow(data)
                right = read.shape == wanted.shape and np.allclose(read.astype(float), wanted, atol=1e-6)
                case = f"{name}{' in planes' if planes else ''}, {order_name}, {compression_name}"
                if not right:
                    wrong.add(case)
                share = (np.abs(read.astype(float) - wanted) > 1e-6).mean() if read.shape == wanted.shape else 1
                print(f"Seen: {case} (mode {mode}): {'right' if right else f'WRONG in {share:.0%} of the values'}")
print(f"Seen: read wrongly by tifffile: {unread}")
known = {
    "grey, float, big-endian, deflated",
    "grey, 16 bits with sign, big-endian, deflated",
    "colour, 16 bits in planes, little-endian, plain",
    "colour, 16 bits in planes, big-endian, plain",
}
sys.exit(0 if wrong == known and not unread else 1)
PYTHON
