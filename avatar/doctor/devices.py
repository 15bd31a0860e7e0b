"""Cameras, the virtual camera, the encoder of recordings and the microphone."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from avatar.doctor.check import BROKEN, LACKING, OK, WARNING, Check
from avatar.errors import CameraError, OutputError
from avatar.system.message import Message, together
from avatar.system.program import how_to_install

if TYPE_CHECKING:
    from avatar.outputs.live.loopback import Loopback

_MOST_CAMERAS = 6


def look_at_cameras() -> Iterator[Check]:
    """Read one frame from each camera."""
    from avatar.sources.camera import Camera
    from avatar.sources.camera_list import list_cameras

    cameras = list_cameras()[:_MOST_CAMERAS]
    for number, info in enumerate(cameras, 1):
        began_s = time.monotonic()
        nameless = replace(info, name=f"Camera {number}", id="")
        with contextlib.closing(Camera(nameless)) as camera:
            try:
                frame = camera.read()
            except CameraError as error:
                yield Check("cameras", BROKEN, error.what, error.remedy)
                continue
        took_s = time.monotonic() - began_s
        what = Message(
            "Camera {number} sends {width} x {height}, the first picture after {seconds:.1f} s.",
            number=number, width=frame.width_px, height=frame.height_px, seconds=took_s,
        )  # fmt: skip
        yield Check("cameras", OK, what)
    if not cameras:
        remedy = "Plug one in. Without, a video or the idle motion drives: --camera idle."
        yield Check("cameras", WARNING, "No camera was found.", remedy)


def look_at_encoder() -> Iterator[Check]:
    """Tell which encoder records live video."""
    from avatar.outputs.live.h264 import X264, choose_encoder

    encoder = choose_encoder((1280, 720), 30)
    if encoder is X264:
        what = Message("Recordings are encoded by {name} on the processor; no chip's encoder works.", name=encoder.name)
    else:
        what = Message("Recordings are encoded by {name} on a chip: {chip}.", name=encoder.name, chip=encoder.chip)
    yield Check("encoder", OK, what)


def look_at_virtual_camera() -> Iterator[Check]:
    """Check whether other programs could see the avatar."""
    if find_spec("pyvirtualcam") is None:
        yield Check(
            "virtual camera",
            LACKING,
            Message("{name} is not installed.", name="pyvirtualcam"),
            how_to_install("pyvirtualcam"),
        )
    elif sys.platform == "linux":
        yield from _linux()
    else:
        from avatar.outputs.live.virtual_camera import VirtualCamera

        try:
            VirtualCamera().close()
        except OutputError as error:
            yield Check("virtual camera", WARNING, error.what, error.remedy)
        else:
            yield Check("virtual camera", OK, "The virtual camera opens.")


def _linux() -> Iterator[Check]:
    from avatar.outputs.live import loopback

    state = loopback.look()
    if not state.devices:
        yield Check("virtual camera", WARNING, _missing(state), state.remedy)
        return
    chosen = loopback.choose(state.devices)
    stuck = [node for node in state.devices if loopback.use_of(node) is loopback.Use.STUCK] if chosen is None else []
    if stuck:
        error = loopback.stuck(stuck[0].path)
        yield Check("virtual camera", WARNING, error.what, error.remedy)
    elif chosen is None:
        what = "Another program sends to every virtual camera."
        yield Check("virtual camera", WARNING, what, "Close it: OBS, or another Masque.")
    elif state.exclusive is False:
        what = "The virtual camera is there, but without exclusive_caps many programs do not list it."
        yield Check("virtual camera", WARNING, what, state.remedy)
    else:
        yield Check("virtual camera", OK, Message("{count} there and free.", count=len(state.devices)))


def _missing(state: Loopback) -> str:
    if state.forbidden:
        return Message("There is none: {count} video devices may not be opened by this user.", count=state.forbidden)
    if state.loaded:
        return "There is none: v4l2loopback is loaded but has no device."
    if state.installed:
        return "There is none: v4l2loopback is not loaded."
    return "There is none: v4l2loopback is not installed."


def look_at_sound() -> Iterator[Check]:
    """Check whether recordings can have sound and be signed."""
    from avatar.sources.microphone import list_microphones

    try:
        count = len(list_microphones())
    except OutputError as error:
        yield Check(
            "sound", WARNING, together("Recordings have no sound, and no voice drives.", error.what), error.remedy
        )
    else:
        found = {0: "No microphone was found.", 1: "One microphone was found."}
        yield Check("sound", OK, found[count] if count in found else Message("{n} microphones were found.", n=count))
    if find_spec("c2pa") is None:
        yield Check("sound", WARNING, "Recordings do not say what made them.", how_to_install("c2pa"))
