"""Fakes for the live pipeline: sources of one colour, an engine that paints, outputs that record."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from fakes import STRAIGHT, FakeTracker, plain
from PIL import Image

from avatar.engines.base import Checkpoint
from avatar.engines.crop import FACE_MESH
from avatar.errors import CameraError, EngineError, FaceError, OutputError
from avatar.frames import Frame, PortraitLayers, RgbImage
from avatar.live.config import LiveConfig
from avatar.live.events import EngineReady, Event
from avatar.live.motion_source import DrivingState
from avatar.live.observation import Observation
from avatar.live.pipeline import Pipeline
from avatar.live.tools import LiveTools
from avatar.portrait.source import PortraitSource
from avatar.settings import CanvasSettings, MotionSettings
from avatar.sources.base import SourceFacts
from avatar.tracking.face import Face

SKIN = (250, 5, 250)  # of the fake camera's pictures: no avatar frame may hold a pixel of it
PAINT = (10, 120, 60)  # of the fake engine's
Kind = TypeVar("Kind", bound=Event)


def camera_picture(level: int = STRAIGHT, size: tuple[int, int] = (64, 48)) -> RgbImage:
    """Build a frame in which FakeTracker finds a face turned by `level`; an eighth of it has the forbidden colour."""
    picture = plain(round(float(np.clip((8 * level - np.mean(SKIN)) / 7, 0, 255))), size)
    picture[: size[1] // 8] = SKIN
    return picture


def holds_camera(rgb: RgbImage) -> bool:
    """Return whether any pixel has approximately the forbidden colour."""
    return bool((np.abs(rgb.astype(int) - SKIN).max(axis=2) < 60).any())


def as_moment(face: Face | None, level: int = 0) -> Observation | None:
    """Build an observation of a face with a grey image."""
    return None if face is None else Observation(face, plain(level, (8, 8)))


class FakeSource:
    """Sends pictures as fast as the pipeline asks, or one per `rate`; fails and hangs when told to."""

    def __init__(self, name: str = "fake", *, rate: float = 100.0, level: int = STRAIGHT) -> None:
        self.name, self.rate, self.level = name, rate, level
        self.facts = SourceFacts(64, 48, rate)
        self.error: Exception | None = None
        self.hang = threading.Event()  # while set, read waits for `gate`
        self.gate = threading.Event()
        self.closed = False
        self._sent = 0
        self._stopping = threading.Event()

    def read(self) -> Frame:
        if self.hang.is_set():
            self.gate.wait(20)
        self._stopping.wait(1 / self.rate)
        if self._stopping.is_set():
            raise CameraError("closed", remedy="")
        if self.error is not None:
            raise self.error
        self._sent += 1
        return Frame(camera_picture(self.level), self._sent - 1, time.monotonic_ns())

    def open_again(self) -> None:
        self.closed = False
        self._stopping.clear()

    def interrupt(self) -> None:
        self._stopping.set()

    def close(self) -> None:
        self.closed = True


class FakeLiveEngine:
    """Paints every frame in PAINT; fails and waits when told to."""

    needs_face = follows_faces = True
    framing = FACE_MESH
    arrival = None
    is_inseparable = False

    def __init__(self, config: LiveConfig) -> None:
        self.ready = EngineReady(config.engine, "cpu", "fake", "")
        self.error: Exception | None = None
        self.motion: MotionSettings | None = None
        self.states: list[DrivingState] = []
        self.prepared: list[str] = []
        self.portrait: Any = None
        self.prepare_gate: threading.Event | None = None
        self.draw_gate: threading.Event | None = None
        self.drawing = threading.Event()
        self.closed = False
        self.wants_matte = False
        self.mattes = 0  # how often one was asked for

    def prepare(
        self, source: PortraitSource, config: LiveConfig, *, use_second_core: bool, checkpoint: Checkpoint
    ) -> Any:
        if self.prepare_gate is not None:
            self.prepare_gate.wait(20)
        if not source.faces:
            raise FaceError("No face.", remedy="Another.")
        self.prepared.append(config.avatar)
        return config.avatar

    def show(self, prepared: Any) -> None:
        self.portrait = prepared

    def set_motion(self, motion: MotionSettings) -> None:
        self.motion = motion

    def draw(self, state: DrivingState, frame_width_px: int, time_s: float) -> RgbImage:
        self.drawing.set()
        if self.draw_gate is not None:
            self.draw_gate.wait(20)
        if self.error is not None:
            raise self.error
        self.states.append(state)
        return plain(PAINT, (32, 32))

    def layers(self) -> PortraitLayers:
        self.mattes += self.wants_matte
        return PortraitLayers(str(self.portrait))

    def close(self) -> None:
        self.closed = True


class FakeOutput:
    """Remembers what it was sent; fails, or waits for `gate`, when told to."""

    facts = "fake output"

    def __init__(self, *, opens: bool = True) -> None:
        if not opens:
            raise OutputError("The fake output does not open.", remedy="Tell it to.")
        self.frames: list[Frame] = []
        self.error: Exception | None = None
        self.gate: threading.Event | None = None
        self.arrived = threading.Condition()
        self.closed = False
        self.threads: set[str] = set()

    def send(self, frame: Frame) -> None:
        self.threads.add(threading.current_thread().name)
        if self.gate is not None:
            self.gate.wait(20)
        if self.error is not None:
            raise self.error
        with self.arrived:
            self.frames.append(frame)
            self.arrived.notify_all()

    def close(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.closed = True

    def wait_for(self, count: int, timeout_s: float = 10.0) -> list[Frame]:
        """Wait for `count` more frames and return all frames so far."""
        with self.arrived:
            target = len(self.frames) + count
            assert self.arrived.wait_for(lambda: len(self.frames) >= target, timeout_s), "no frames came"
            return list(self.frames)


class FakePacedOutput(FakeOutput):
    """Is called at a steady rate."""

    def __init__(self, rate: float = 50.0) -> None:
        super().__init__()
        self.rate = rate
        self.calls: list[tuple[float, bool]] = []  # when, and whether it was a new frame

    def send(self, frame: Frame) -> None:
        self.calls.append((time.monotonic(), True))
        super().send(frame)

    def repeat(self) -> None:
        self.calls.append((time.monotonic(), False))


class Rig:
    """A pipeline on fakes that records all events."""

    def __init__(self, folder: Path, *, sources: dict[str, FakeSource] | None = None, **options: Any) -> None:
        self.events: list[Event] = []
        self._told = threading.Condition()
        self.listener: Callable[[Event], None] = lambda event: None
        self.sources = sources if sources is not None else {"camera": FakeSource()}
        self.engines: list[FakeLiveEngine] = []
        self.opened_sources: list[str] = []
        self.asked_of_source: list[tuple[tuple[int, int], int]] = []  # (width, height) and rate, likewise
        self.broken_engines: dict[str, Exception] = {}
        self.engine_kind: type[FakeLiveEngine] = FakeLiveEngine
        self.tracker_of: Callable[[bool], FakeTracker] = lambda smoothing: FakeTracker()
        self.on_open: Callable[[FakeLiveEngine], None] = lambda engine: None
        self.portrait, self.other, self.faceless = (folder / name for name in ("one.png", "two.png", "dark.png"))
        for path, level in ((self.portrait, STRAIGHT), (self.other, STRAIGHT + 4), (self.faceless, 0)):
            Image.fromarray(plain(level)).save(path)
        given = {"source": "camera", "avatar": str(self.portrait), "canvas": CanvasSettings(64, 36)}
        tools = LiveTools(
            open_source=self._open_source,
            open_tracker=self._open_tracker,  # type: ignore[arg-type]
            open_engine=self._open_engine,  # type: ignore[arg-type]
        )
        self.pipeline = Pipeline(LiveConfig(**{**given, **options}), on_event=self._note, tools=tools)
        self.output = FakeOutput()

    def __enter__(self) -> Rig:
        self.pipeline.add_output("fake", lambda: self.output)
        self.pipeline.start()
        return self

    def __exit__(self, *_: object) -> None:
        for source in self.sources.values():
            source.gate.set()
        for engine in self.engines:
            for gate in (engine.prepare_gate, engine.draw_gate):
                if gate is not None:
                    gate.set()
        if self.output.gate is not None:
            self.output.gate.set()
        self.pipeline.stop(5)

    def change(self, **changes: Any) -> None:
        """Go on with other values of some fields of LiveConfig."""
        self.pipeline.apply(dataclasses.replace(self.pipeline.config, **changes))

    def wait_for(self, kind: type[Kind], count: int = 1, timeout_s: float = 10.0) -> Kind:
        """Wait for the `count`th event of a kind and return it."""
        with self._told:
            assert self._told.wait_for(lambda: len(self.of(kind)) >= count, timeout_s), (
                f"no {kind.__name__} in {self.events}"
            )
        return self.of(kind)[count - 1]

    def of(self, kind: type[Kind]) -> list[Kind]:
        """Return the events of a kind so far."""
        return [event for event in list(self.events) if isinstance(event, kind)]

    @property
    def engine(self) -> FakeLiveEngine:
        """The one that was opened last."""
        return self.engines[-1]

    def _note(self, event: Event) -> None:
        with self._told:
            self.events.append(event)
            self._told.notify_all()
        self.listener(event)

    def _open_source(self, spec: str, size: tuple[int, int], rate: int) -> FakeSource:
        self.opened_sources.append(spec)
        self.asked_of_source.append((size, rate))
        if spec not in self.sources:
            raise CameraError(f"There is no {spec}.", remedy="Choose another.")
        source = self.sources[spec]
        if source.error is not None:
            raise source.error
        source.open_again()
        return source

    def _open_tracker(self, smoothing: bool) -> FakeTracker:
        return self.tracker_of(smoothing)

    def _open_engine(self, options: LiveConfig) -> FakeLiveEngine:
        if (error := self.broken_engines.get(options.engine)) is not None:
            raise error
        engine = self.engine_kind(options)
        self.engines.append(engine)
        self.on_open(engine)
        return engine


def engine_error() -> EngineError:
    return EngineError("The fake engine was told to fail.", remedy="Tell it not to.")
