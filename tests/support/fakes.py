"""Fakes: generated clips, a tracker that reads the face from a colour, an engine that paints one."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from motion_samples import make_face

from avatar.engines.base import Driving, DrivingInput, EngineFacts, Portrait
from avatar.errors import EngineError
from avatar.frames import AlphaImage, RgbImage
from avatar.outputs.files.writer import AbortsUnlessCommitted
from avatar.settings import MotionSettings
from avatar.tracking.face import Face

NO_FACE = 16  # a picture this dark shows no face to FakeTracker
STRAIGHT = 128  # a picture this bright shows one that looks straight ahead


def plain(level: int | tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> RgbImage:
    """A picture of one colour; size is (width, height)."""
    picture = np.empty((size[1], size[0], 3), np.uint8)
    picture[:] = level
    return picture


def make_clip(
    path: Path,
    pictures: Sequence[RgbImage] | None = None,
    *,
    rate: int = 25,
    ticks: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: float | None = None,
    sound: str | None = None,
    sound_s: float | None = None,
    tags: Mapping[str, int | Fraction] | None = None,
    codec_options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    container: str | None = None,
) -> Path:
    """Write a clip; without pictures, twelve greys around STRAIGHT.

    Args:
        ticks: presentation times in units of `time_base` (default 1/1000 s); without, `rate` sets them.
        sound: codec of a tone as long as the pictures, or `sound_s` long.
        tags: stream attributes by their name in FFmpeg (color_trc, sample_aspect_ratio, ...).
    """
    pictures = pictures if pictures is not None else [plain(STRAIGHT - 12 + 2 * n) for n in range(12)]
    base = time_base or (Fraction(1, 1000) if ticks is not None else Fraction(1, rate))
    with av.open(str(path), "w", format=container, container_options=container_options or {}) as output:
        video: Any = output.add_stream(codec, rate=rate, options=codec_options or {})
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = pix_fmt
        video.codec_context.time_base = video.time_base = base
        for name, value in (tags or {}).items():
            setattr(video.codec_context, name, value)
        if rotation is not None:
            video.set_display_rotation(rotation)
        audio: Any = output.add_stream(sound, rate=48_000, layout="mono") if sound else None
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = (ticks[number] if ticks is not None else number), base
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if audio is not None:
            length_s = sound_s or len(pictures) / rate
            _add_tone(output, audio, round(length_s * 48_000))
    return path


def make_sound(path: Path) -> Path:
    """A file with sound only."""
    with av.open(str(path), "w") as output:
        _add_tone(output, output.add_stream("aac", rate=48_000, layout="mono"), 24_000)
    return path


def _add_tone(output: Any, stream: Any, samples: int) -> None:
    wave = (0.3 * np.sin(np.arange(samples) * 0.05)).astype(np.float32)
    for start in range(0, samples, 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


class FakeTracker:
    """Sees one face in every picture that is not dark; the brighter the picture, the further it is turned."""

    def __init__(self) -> None:
        self.closed = False

    def track(self, rgb: RgbImage, time_s: float | None = None) -> Face | None:
        level = float(rgb.mean())
        return None if level < 2 * NO_FACE else make_face(yaw=(level - STRAIGHT) / 4)

    def detect(self, rgb: RgbImage) -> list[Face]:
        face = self.track(rgb)
        return [] if face is None else [face]

    def reset(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class FakeEngine:
    """Paints a picture of the source's size: as bright as the driver is turned, NO_FACE while it is not seen."""

    wants = DrivingInput.FACE
    facts = EngineFacts("warp", "cpu", "float32")
    notes: tuple[str, ...] = ()

    def __init__(self, fail_at: int | None = None) -> None:
        self.fail_at = fail_at
        self.source: RgbImage | None = None
        self.alpha: AlphaImage | None = None
        self.face: Face | None = None
        self.reference: Face | None = None
        self.seen: list[float | None] = []  # yaw of each driving face
        self.closed = False

    def prepare(self, portrait: Portrait, size_px: int | None = None, *, use_second_core: bool = True) -> Portrait:
        return portrait

    def show(self, prepared: Portrait) -> None:
        self.source, self.face, self.alpha = prepared.rgb, prepared.face, prepared.alpha

    def set_motion(self, motion: MotionSettings) -> None:
        pass

    def calibrate(self, driving: Driving) -> None:
        self.reference = driving.face

    def draw(self, driving: Driving) -> RgbImage:
        assert self.source is not None
        if len(self.seen) == self.fail_at:
            raise EngineError("The fake engine was told to fail.", remedy="Tell it not to.")
        face = driving.face
        self.seen.append(None if face is None else face.pose.yaw_deg)
        level = NO_FACE if face is None else round(STRAIGHT + 4 * face.pose.yaw_deg)
        return np.full_like(self.source, level)

    def close(self) -> None:
        self.closed = True


class FakeWriter(AbortsUnlessCommitted):
    """Keeps what it is given; fails at one frame, or waits there for `gate`."""

    def __init__(
        self, error: BaseException | None = None, fail_at: int = 0, gate: threading.Event | None = None
    ) -> None:
        self.error, self.fail_at, self.gate = error, fail_at, gate
        self.entered = threading.Event()
        self.written: list[tuple[RgbImage, float]] = []
        self.notes: list[str] = []
        self.aborted = False

    def write(self, rgb: RgbImage, time_s: float) -> None:
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(5)
        if self.error is not None and len(self.written) == self.fail_at:
            raise self.error
        self.written.append((rgb, time_s))

    def commit(self, end_s: float | None = None) -> None:
        raise AssertionError("not part of these tests")

    def abort(self) -> None:
        self.aborted = True
