"""Clips with simultaneous flashes and beeps, and the detection of both in a result."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

DARK, BRIGHT = 110, 220  # both show a face to FakeTracker
BEEP_S = 0.06
MARKS_S = (0.4, 1.2)


def make_flashes(
    path: Path,
    *,
    seconds: float = 1.6,
    marks_s: Sequence[float] = MARKS_S,
    rate: int = 25,
    times_ms: Sequence[int] | None = None,
    pictures_from_s: float = 0.0,
    sound: str | None = "aac",
    sound_hz: int = 48_000,
    layout: str = "mono",
    sound_from_s: float = 0.0,
    sound_to_s: float | None = None,
    cut_s: float = 0.0,
    silent_tracks: int = 0,
    codec: str = "libx264",
    bframes: int = 2,
    container: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip.

    Args:
        marks_s: when it flashes and beeps.
        times_ms: of the frames; without, `rate` sets them.
        pictures_from_s, sound_from_s, sound_to_s: where pictures and sound begin and end.
        cut_s: cut away at the beginning by an edit list, as phones do (MP4).
        silent_tracks: sound tracks before the one that beeps.
        options: for the container.
    """
    with av.open(str(path), "w", format=container, options=options or {}) as output:
        base = Fraction(1, 1000) if times_ms is not None else Fraction(1, rate)
        video: Any = output.add_stream(codec, rate=rate, options={"bf": str(bframes), "g": "250"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        video.codec_context.time_base = video.time_base = base
        count = silent_tracks + 1 if sound else 0
        tracks: list[Any] = [output.add_stream(sound, rate=sound_hz, layout=layout) for _ in range(count)]
        packets = _pictures(video, base, seconds, marks_s, times_ms, pictures_from_s)
        for number, track in enumerate(tracks):
            beeps = marks_s if number == len(tracks) - 1 else ()
            packets += _sound(track, sound_hz, layout, sound_from_s, sound_to_s or seconds, beeps)
        for packet in sorted(packets, key=lambda each: float((each.dts or 0) * each.time_base)):
            shift = round(cut_s / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            output.mux(packet)
    return path


def _pictures(
    stream: Any, base: Fraction, seconds: float, marks_s: Sequence[float], times_ms: Sequence[int] | None, from_s: float
) -> list[Any]:
    packets = []
    ticks = list(times_ms) if times_ms is not None else list(range(round(seconds / base)))
    for number, tick in enumerate(ticks):
        time_s = float(tick * base)
        if time_s < from_s - 1e-9:
            continue
        ends_s = float(ticks[number + 1] * base) if number + 1 < len(ticks) else seconds
        level = BRIGHT if any(time_s - 1e-6 <= mark < ends_s - 1e-6 for mark in marks_s) else DARK
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
        frame = frame.reformat(format=stream.pix_fmt)
        frame.pts, frame.time_base = tick, base
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]


def _sound(stream: Any, hz: int, layout: str, from_s: float, to_s: float, marks_s: Sequence[float]) -> list[Any]:
    first, count = round(from_s * hz), round(to_s * hz)
    wave = np.zeros(count, np.float32)
    for mark in marks_s:
        at = np.arange(round(BEEP_S * hz))
        start = round(mark * hz)
        piece = wave[start : start + len(at)]
        piece += 0.5 * np.sin(at[: len(piece)] * 2 * np.pi * 1000 / hz).astype(np.float32)
    packets = []
    channels = 1 if layout == "mono" else 2
    for start in range(first, count, 1024):
        block = np.repeat(wave[None, start : start + 1024], channels, axis=0)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = hz, start, Fraction(1, hz)
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]


def flashes_s(path: Path) -> list[float]:
    """Return the start times of flashes."""
    with av.open(str(path)) as file:
        return [
            float(frame.pts * frame.time_base)
            for frame in file.decode(video=0)
            if frame.to_ndarray(format="gray").mean() > (DARK + BRIGHT) / 2
        ]


def beeps_s(path: Path, track: int = 0) -> list[float]:
    """Return the start times of beeps."""
    times: list[float] = []
    last_s = -1.0
    for start_s, hz, samples in _heard(path, track):
        for at in np.flatnonzero(np.abs(samples) > 0.15):
            time_s = start_s + at / hz
            if time_s > last_s + 0.2:
                times.append(time_s)
            last_s = time_s
    return times


def _heard(path: Path, track: int) -> list[tuple[float, int, npt.NDArray[np.float32]]]:
    with av.open(str(path)) as file:
        return [
            (float(frame.pts * frame.time_base), frame.sample_rate, frame.to_ndarray()[0])
            for frame in file.decode(audio=track)
        ]


def length_s(path: Path, kind: str) -> float:
    """Return the duration of the "video" or "audio" stream."""
    with av.open(str(path)) as file:
        frames = list(file.decode(**{kind: 0}))
    first, last = frames[0], frames[-1]
    return float((last.pts + last.duration - first.pts) * first.time_base)
