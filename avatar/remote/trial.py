"""The cost of a frame on this machine, measured before a host listens."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from avatar.engines.base import Driving, Engine, MeasuringEngine, Portrait
from avatar.engines.crop import cut, square_of_face
from avatar.library.library import Library
from avatar.motion.idle import load_idle
from avatar.motion.reference import neutral_frame
from avatar.portrait.source import PortraitSource, read_portrait
from avatar.remote.drivers import Drawing
from avatar.remote.load import Load
from avatar.remote.pictures import PictureEncoder
from avatar.tracking import open_tracker

AVATAR, SIDE_PX = "astronaut", 512
_WARM_UP, _FRAMES = 5, 30
_LONGEST_S = 8.0  # of engines that take seconds for a frame fewer are drawn


@dataclass(frozen=True)
class Trial:
    """Result of the measurement."""

    load: Load
    drawing: Drawing
    frame_s: float = 0.0  # from driver to image


def measure(open_engine: Callable[[], Engine]) -> Trial:
    """Draw and encode the built-in portrait and find out what a frame costs; takes two or three seconds.

    Raises:
        AvatarError: the engine cannot be opened.
    """
    with contextlib.closing(open_tracker()) as tracker:
        source = read_portrait(Library().likeness(AVATAR), tracker)
    with contextlib.closing(open_engine()) as engine:
        engine.show(engine.prepare(Portrait(source.rgb, source.faces[0], source.alpha), SIDE_PX))
        drivings = _by_parameters(engine, source) if isinstance(engine, MeasuringEngine) else _by_faces()
        engine.calibrate(next(drivings))
        first = engine.draw(next(drivings))
        encoder = PictureEncoder((first.shape[1], first.shape[0]))
        warm_s = until_s = time.perf_counter()
        drawing_s = processor_s = 0.0
        frames = 0
        for index in range(_WARM_UP + _FRAMES):
            began_s = time.perf_counter()
            if frames == 0 and (index == _WARM_UP or began_s - warm_s > _LONGEST_S / 4):
                drawing_s, processor_s, until_s = 0.0, time.process_time(), began_s + _LONGEST_S
            if frames and began_s > until_s:
                break
            frames += until_s > warm_s
            rgb = engine.draw(next(drivings))
            drawing_s += time.perf_counter() - began_s
            encoder.encode(rgb, key=index == 0)
        processor_s = time.process_time() - processor_s
        is_chip = engine.facts.device != "cpu"
        chip_ms = 1000 * drawing_s / frames if is_chip else 0.0
        load = Load(1000 * processor_s / frames, chip_ms=chip_ms)
        return Trial(load, Drawing.by(engine), drawing_s / frames)


def _by_faces() -> Iterator[Driving]:
    """Yield the reference, then the idle motion."""
    idle = load_idle()
    yield Driving(face=idle.face(neutral_frame(idle)))
    index = 0
    while True:
        yield Driving(face=idle.face(index % len(idle)))
        index += 1


def _by_parameters(engine: MeasuringEngine, source: PortraitSource) -> Iterator[Driving]:
    """Yield the portrait's own parameters as the reference, then with a head that turns."""
    face = source.faces[0]
    image = cut(source.rgb, square_of_face(face, source.rgb, engine.framing), 256)
    rest = engine.measure(Driving(face=face, image=image))
    index = 0
    while True:
        turn = np.array([0.0, 10 * math.sin(index / 5), 0.0], np.float32)
        yield Driving(measured=replace(rest, angles_deg=rest.angles_deg + turn))
        index += 1
