#!/usr/bin/env bash
# PyAV's AudioResampler mixes channels with other gains when integers are involved at the end than when floats are.
# Stereo to mono: two equal channels of 0.5 become 0.5 in 16-bit integers and 0.71 in floats; full scale becomes 1.41.
# 5.1 to stereo: speech in the centre arrives 7.7 dB apart. From mono to stereo and back, integers lose half, floats none.
# FFmpeg scales a mix down so that it cannot overflow, but does so only where the result is integer. It goes by the
# result's format: integers in and floats out is loud, floats in and integers out is quiet.
# Why it matters: the format follows from the codec (AAC takes floats, FLAC integers, Opus either), so one
# voice is recorded 3 dB apart in two kinds of file, and is clipped in one of them. Level meters, voice detection and
# lips driven by loudness shift with the format of a stream.
# Seen with av 18.1.0 (FFmpeg 8).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import av
import numpy as np

RATE = 48000
STEREO, CENTRE = np.array([[1.0], [1.0]]), np.array([[0.0], [0.0], [1.0], [0.0], [0.0], [0.0]])
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
print(f"av {av.__version__}")


def frame_of(wave, sample_format, layout):
    scaled = (wave * 32767).astype(np.int16) if sample_format == "s16p" else wave.astype(np.float32)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(scaled), sample_format, layout)
    frame.sample_rate = RATE
    return frame


def mixed(frame, sample_format, layout):
    """Change format and layout only, and return the frames joined, as PyAV gives them."""
    resampler = av.AudioResampler(sample_format, layout, RATE)
    return [*resampler.resample(frame), *resampler.resample(None)]


def peak(frames, sample_format):
    wave = np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.float64)
    return round(float(abs(wave).max()) / (32767 if sample_format == "s16p" else 1), 3)


def level(wave, layout, into, start, end):
    return peak(mixed(frame_of(wave, start, layout), end, into), end)


def there_and_back(sample_format):
    wide = mixed(frame_of(TONE[None], sample_format, "mono"), sample_format, "stereo")
    return peak([back for frame in wide for back in mixed(frame, sample_format, "mono")], sample_format)


print("Most expect: the level depends on the sound and on the layouts, not on how a sample is stored.")
seen = {}
for start, end in (("s16p", "s16p"), ("fltp", "s16p"), ("s16p", "fltp"), ("fltp", "fltp")):
    down = level(STEREO * TONE, "stereo", "mono", start, end)
    centre = level(CENTRE * TONE, "5.1", "stereo", start, end)
    seen[start, end] = down, centre
    print(f"Seen: {start} to {end}: tone of 0.5 in both channels, to mono {down}; in the centre of 5.1, to stereo {centre}")
round_trip = {name: there_and_back(name) for name in ("s16p", "fltp")}
print(f"Seen: tone of 0.5 from mono to stereo and back: {round_trip}")
full = level(STEREO * TONE * 2, "stereo", "mono", "fltp", "fltp")
print(f"Seen: full scale in both channels, floats to mono: {full}")


def near(pair, *wanted):
    return bool(np.allclose(pair, wanted, atol=0.005))


as_ever = (
    near(seen["s16p", "s16p"], 0.5, 0.146)
    and near(seen["fltp", "s16p"], 0.5, 0.146)
    and near(seen["s16p", "fltp"], 0.707, 0.354)
    and near(seen["fltp", "fltp"], 0.707, 0.354)
    and near((round_trip["s16p"], round_trip["fltp"]), 0.354, 0.5)
    and near((full,), 1.414)
)
sys.exit(0 if as_ever else 1)
PYTHON
