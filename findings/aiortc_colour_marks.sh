#!/usr/bin/env bash
# aiortc sends the numbers of a decoded frame as they are and drops what they mean.
# PyAV's frames know their colour space and range. VP8 carries BT.601 of limited range only. aiortc converts frames whose
# format is not yuv420p, by asking PyAV for that format, which keeps a full range that is marked as such; everything else
# goes out unread. A clip decoded by PyAV, so most HD clips, arrives with shifted greens and reds; the full-range
# picture of a webcam (Motion JPEG) arrives with more contrast, shadows and lights off by 10 to 14 of 255 levels.
# The same frames converted to RGB24 first arrive right.
# Why it matters: a program that draws an avatar in RGB and passes clips or the camera on as they come shows two skins for
# one face in one call, and nothing of it can be seen at the sender's end.
# Seen with aiortc 1.16.0 and av 18.1.0, through aiortc's own VP8 encoder and decoder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check aiortc==1.16.0 av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import fractions
import sys

import aiortc
import av
import numpy as np
from aiortc.codecs import depayload
from aiortc.codecs.vpx import Vp8Decoder, Vp8Encoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av.video.reformatter import ColorRange, Colorspace

VP8 = RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90000, payloadType=96)
print(f"aiortc {aiortc.__version__}, av {av.__version__}")


def shown(frame):
    return frame.to_ndarray(format="rgb24")[32, 32].astype(int)


def send(frame):
    """Encode a frame to packets as for a call, decode them as the other side does, and return the colour there."""
    frame.pts, frame.time_base = 0, fractions.Fraction(1, 90000)
    payloads, timestamp = Vp8Encoder().encode(frame, force_keyframe=True)
    data = b"".join(depayload(VP8, payload) for payload in payloads)
    return shown(Vp8Decoder().decode(JitterFrame(data=data, timestamp=timestamp))[0])


def decoded_clip(colour):
    """Write an H.264 clip of one colour, marked BT.709 as HD video is, and return its first frame as PyAV decodes it."""
    space = int(Colorspace.ITU709)
    with av.open("clip.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace = space
        picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), colour, np.uint8), "rgb24")
        frame = picture.reformat(format="yuv420p", dst_colorspace=space)
        frame.colorspace, frame.pts = space, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open("clip.mp4") as container:
        return next(container.decode(video=0))


def decoded_jpeg(colour):
    """Write one picture as Motion JPEG, the usual format of webcams, and return it as PyAV decodes it."""
    with av.open("camera.avi", "w") as container:
        stream = container.add_stream("mjpeg", rate=10, options={"qmin": "1", "qmax": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p"
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), colour, np.uint8), "rgb24")
        container.mux(stream.encode(frame.reformat(format="yuvj420p")))
        container.mux(stream.encode(None))
    with av.open("camera.avi") as container:
        return next(container.decode(video=0))


print("Most expect: the other side sees what PyAV shows here, but for the loss of coding, which is 2 or so.")
wrong, right = {}, {}
for name, make, colour in (
    ("clip, green", decoded_clip, (0, 200, 0)),
    ("clip, skin", decoded_clip, (224, 172, 140)),
    ("camera, shadow", decoded_jpeg, (60, 60, 60)),
    ("camera, light", decoded_jpeg, (200, 200, 200)),
):
    frame = make(colour)
    kind = f"{frame.format.name}, colour space {frame.colorspace}, range {frame.color_range}"
    here, there = shown(frame), send(frame)
    by_rgb = send(av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), "rgb24"))
    wrong[name], right[name] = abs(there - here).max(), abs(by_rgb - here).max()
    print(f"Seen: {name} ({kind}): here {here.tolist()}, there {there.tolist()}; sent as RGB24 {by_rgb.tolist()}")
as_ever = (
    max(right.values()) <= 4
    and wrong["clip, green"] >= 20
    and 7 <= wrong["camera, shadow"] <= 13
    and 10 <= wrong["camera, light"] <= 18
)
print(f"Off by, sent as decoded: { {name: int(value) for name, value in wrong.items()} }")
sys.exit(0 if as_ever else 1)
PYTHON
