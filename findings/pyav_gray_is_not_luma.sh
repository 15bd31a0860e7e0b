#!/usr/bin/env bash
# PyAV: asking a decoded frame for "gray" does not give the brightness that the video stores.
# A YUV frame has brightness as a plane of its own, so gray looks like a copy of it, stretched to the full range. For a
# frame marked BT.709, as most HD video is, FFmpeg's scaler computes RGB from all three planes and weighs it
# again by the weights of BT.601, the default for the target. Pure green comes out 34 of 255 levels darker than stored,
# red 21 brighter. The same pixels marked BT.601 come out as stored.
# Why it matters: motion, cuts, exposure and faces are found on gray frames. Thresholds that fit one camera's clips are
# off for another's by colour alone; comparing the first plane with a gray frame of the same video shows "changes".
# Seen with av 18.1.0 (FFmpeg 8).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys

import av
import numpy as np
from av.video.reformatter import Colorspace

print(f"av {av.__version__}")
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "mid-grey": (128, 128, 128)}


def write(path, colour, space):
    """Write a short H.264 video of one colour, converted by and marked as one colour space."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace = space
        picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), colour, np.uint8), "rgb24")
        for count in range(3):
            frame = picture.reformat(format="yuv420p", dst_colorspace=space)
            frame.colorspace, frame.pts = space, count
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def look(path):
    """Return the stored brightness in the full range, the gray that PyAV gives, the mark and the colour shown."""
    with av.open(path) as container:
        frame = next(container.decode(video=0))
        stored = int(np.frombuffer(frame.planes[0], np.uint8)[0])
        gray = int(frame.to_ndarray(format="gray")[32, 32])
        return round((stored - 16) * 255 / 219), gray, frame.colorspace, frame.to_ndarray(format="rgb24")[32, 32].tolist()


print("Most expect: gray is the stored brightness, stretched from 16..235 to 0..255, whatever the colours.")
off = {}
for name, colour in COLOURS.items():
    for label, space in (("BT.709", int(Colorspace.ITU709)), ("BT.601", int(Colorspace.ITU601))):
        write("clip.mp4", colour, space)
        stored, gray, marked, rgb = look("clip.mp4")
        off[name, label] = gray - stored
        print(f"Seen: {name:8} {label} (marked {marked}, shown as {rgb}): stored {stored}, gray {gray}, {gray - stored:+d}")
as_ever = (
    all(abs(off[name, "BT.601"]) <= 3 for name in COLOURS)
    and abs(off["mid-grey", "BT.709"]) <= 3
    and 18 <= off["red", "BT.709"] <= 26
    and -38 <= off["green", "BT.709"] <= -28
    and 6 <= off["blue", "BT.709"] <= 14
)
sys.exit(0 if as_ever else 1)
PYTHON
