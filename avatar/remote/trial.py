"""The cost of a frame on this machine, measured before a host listens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from avatar.engines.base import Driving, Engine, Portrait
from avatar.library.library import Library
from avatar.motion.idle import load_idle
from avatar.motion.reference import neutral_frame
from avatar.portrait.source import read_portrait
from avatar.remote.load import Load
from avatar.remote.pictures import PictureEncoder
from avatar.tracking import open_tracker

AVATAR, SIDE_PX = "astronaut", 512
_WARM_UP, _FRAMES = 5, 30


def measure(open_engine: Callable[[], Engine]) -> Load:
    """Draw and encode the built-in portrait and return what a frame costs; takes two or three seconds.

    Raises:
        AvatarError: the engine cannot be opened.
    """
    with contextlib.closing(open_tracker()) as tracker:
        source = read_portrait(Library().likeness(AVATAR), tracker)
    idle = load_idle()
    with contextlib.closing(open_engine()) as engine:
        engine.show(engine.prepare(Portrait(source.rgb, source.faces[0], source.alpha), SIDE_PX))
        engine.calibrate(Driving(face=idle.face(neutral_frame(idle))))
        first = engine.draw(Driving(face=idle.face(0)))
        encoder = PictureEncoder((first.shape[1], first.shape[0]))
        drawing_s = processor_s = 0.0
        for index in range(_WARM_UP + _FRAMES):
            if index == _WARM_UP:
                drawing_s, processor_s = 0.0, time.process_time()
            began_s = time.perf_counter()
            rgb = engine.draw(Driving(face=idle.face(index)))
            drawing_s += time.perf_counter() - began_s
            encoder.encode(rgb, key=index == 0)
        processor_s = time.process_time() - processor_s
        is_chip = engine.facts.device != "cpu"
        return Load(1000 * processor_s / _FRAMES, chip_ms=1000 * drawing_s / _FRAMES if is_chip else 0.0)
