#!/usr/bin/env bash
# The container decides how many samples a coded sound has, and copying packets to another one moves the sound.
# Opus: a second encoded by PyAV decodes to 48000 samples from WebM and Ogg. From MP4 it decodes to 48648, though that
# file states 1.0 s: FFmpeg's reader leaves the encoder's padding at the end. Copied from WebM to MP4 without decoding,
# all of it is 24 samples early: WebM keeps whole milliseconds, so 6.5 ms of lead-in became 7, and 7 are cut off.
# MP3: alone in its own file, the first sample is stamped 23 ms, though the lead-in of 1105 samples was already removed;
# copied to Matroska, it is stamped 0, and 1105 samples of lead-in are there again.
# AAC: a second copied from MP4 to Matroska starts 1024 samples late, encoded straight into Matroska it does not.
# Why it matters: loops click, lips drift from the sound, a voice laid under frames by counting samples is early or late
# by up to a frame, and which of these depends on a file name's ending and on the file's past.
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

RATE = 48000
CLICK = RATE // 2
print(f"av {av.__version__}")


def encode(codec, path):
    """Write one second of silence with a click in the middle."""
    wave = np.zeros((1, RATE), np.int16)
    wave[0, CLICK : CLICK + 10] = 30000
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave, "s16", "mono")
        frame.sample_rate, frame.pts = RATE, 0
        inner = stream.codec_context
        inner.open()
        resampler = av.AudioResampler(inner.format, "mono", RATE, inner.frame_size)
        for piece in resampler.resample(frame) + resampler.resample(None):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def copy(path, to):
    """Copy the packets as they are."""
    with av.open(path) as source, av.open(to, "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)


def decode(path):
    """Return the number of samples, where the click is, and the first frame's stamp in samples."""
    with av.open(path) as container:
        frames = list(container.decode(audio=0))
    wave = np.concatenate([frame.to_ndarray().reshape(-1).astype(np.float64) for frame in frames])
    loud = np.flatnonzero(abs(wave) > 0.3 * abs(wave).max())
    return wave.size, int(loud[0]), round(frames[0].time * RATE)


print(f"Most expect: {RATE} samples, the click at {CLICK}, the first stamp 0, in every container, encoded or copied.")
seen = {}
for codec, own, others in (
    ("libopus", "webm", ("ogg", "mp4")),
    ("libmp3lame", "mp3", ("mkv",)),
    ("aac", "mp4", ("mkv",)),
):
    encode(codec, f"own.{own}")
    seen[codec, own] = decode(f"own.{own}")
    for other in others:
        encode(codec, f"fresh.{other}")
        seen[codec, other] = decode(f"fresh.{other}")
        copy(f"own.{own}", f"copy.{other}")
        seen[codec, f"{own} to {other}"] = decode(f"copy.{other}")
for (codec, where), (size, click, stamp) in seen.items():
    print(f"Seen: {codec:10} {where:11}: {size} samples, click at {click} ({click - CLICK:+d}), first stamp {stamp}")


def moved(codec, where, than):
    return seen[codec, where][1] - seen[codec, than][1]


as_ever = (
    seen["libopus", "webm"][0] == seen["libopus", "ogg"][0] == RATE
    and seen["libopus", "mp4"][0] == RATE + 648
    and moved("libopus", "mp4", "webm") == 0
    and moved("libopus", "webm to mp4", "webm") == -24
    and seen["libmp3lame", "mp3"][0] == RATE
    and seen["libmp3lame", "mp3"][2] == 1105
    and seen["libmp3lame", "mp3 to mkv"][2] == 0
    and moved("libmp3lame", "mp3 to mkv", "mp3") == 1105
    and moved("libmp3lame", "mkv", "mp3") == 0
    and moved("aac", "mkv", "mp4") == 0
    and moved("aac", "mp4 to mkv", "mp4") == 1024
)
sys.exit(0 if as_ever else 1)
PYTHON
