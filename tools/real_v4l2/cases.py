"""Test cases that run inside the virtual machine; prints a line of JSON for each. Needs root of that machine.

Every case runs in a process forked after all imports, because importing is slow there.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import fcntl
import json
import multiprocessing
import os
import shlex
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyvirtualcam
from window_outputs import WindowOutputs

from avatar.cv import cv2
from avatar.doctor import devices as doctor
from avatar.errors import AvatarError
from avatar.frames import Frame
from avatar.outputs.live import loopback
from avatar.outputs.live.virtual_camera import VirtualCamera
from avatar.sources.camera_list import list_cameras

MODULES = Path("/run/modules")
OURS = "/dev/video10"
RECOMMENDED = " ".join(shlex.split(loopback.OPTIONS)[1:])  # what README tells people to type
NOT_EXCLUSIVE = "video_nr=10 exclusive_caps=0 card_label=Other"
CASE_S = 100
SMALL, OTHER = (320, 180), (640, 360)
SIZES = ((320, 180), (640, 360), (426, 240))
QUERYCTRL, S_CTRL, NEXT_CTRL = 0xC0445624, 0xC008561C, 0x80000000

fork = multiprocessing.get_context("fork")
CASES: list[tuple[str, str, Callable[[], str]]] = []  # name, options of the module, what to do
Case = Callable[[], str]


class WrongError(Exception):
    """An unexpected result."""


def case(name: str, options: str = RECOMMENDED) -> Callable[[Case], Case]:
    """Make a function a case: it returns what it saw, and raises WrongError."""

    def note(function: Case) -> Case:
        CASES.append((name, options, function))
        return function

    return note


# programs beside ours


def read_frames(device: int, pipe: Any) -> None:
    """Act as a calling app: open the device on request, read frames, and report them until the pipe is closed."""
    pipe.send("here")
    if pipe.recv() == "close":
        return
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    count, mean = 0, None
    pipe.send(capture.isOpened() and capture.read()[0])
    while True:
        done, bgr = capture.read()
        if done:
            count, mean = count + 1, [round(float(value)) for value in bgr[40:-40, 40:-40].mean(axis=(0, 1))[::-1]]
        if pipe.poll():
            if pipe.recv() == "close":
                break
            pipe.send((count, mean))
    capture.release()


@contextlib.contextmanager
def beside(function: Callable[..., None], *arguments: Any) -> Iterator[Any]:
    """Run another program; yields the end of a pipe to it."""
    ours, theirs = fork.Pipe()
    process = fork.Process(target=run_another, args=(function, *arguments, theirs), daemon=True)
    process.start()
    try:
        assert ours.poll(30), "the other program does not answer"
        ours.recv()
        yield ours
    finally:
        with contextlib.suppress(OSError):
            ours.send("close")
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join(5)


def run_another(function: Callable[..., None], *arguments: Any) -> None:
    """Run a function in the child process, after closing inherited files, which would keep our devices open."""
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if link.readlink().name.startswith("video"):
                os.close(int(link.name))
    function(*arguments)


def look(reader: Any) -> None:
    """Make a reader, forked before our threads were started, open the device."""
    reader.send("open")
    if not (reader.poll(30) and reader.recv()):
        raise WrongError("the call does not get a picture")


def seen(pipe: Any) -> tuple[int, list[int] | None]:
    """Return how many frames a reader has, and the mean colour of the newest."""
    pipe.send("?")
    return pipe.recv() if pipe.poll(20) else (-1, None)


def send_raw(size: tuple[int, int], pipe: Any) -> None:
    """Send frames as another program that uses pyvirtualcam alone: without STREAMON."""
    camera = pyvirtualcam.Camera(*size, 30, device=OURS)
    told = False
    while not pipe.poll():
        camera.send(np.full((size[1], size[0], 3), 90, np.uint8))
        if not told:
            told = True
            pipe.send("sends")
        time.sleep(0.03)
    camera.close()


def send_for_ever(pipe: Any) -> None:
    """Send frames as Masque does, until the process is killed."""
    camera = VirtualCamera(SMALL)
    camera.repeat()
    pipe.send(os.getpid())
    while True:
        camera.repeat()
        time.sleep(0.03)


def leave_stuck() -> None:
    """Write one frame without STREAMON and exit, which leaves the device of 0.12.7 without either capability."""
    camera = pyvirtualcam.Camera(320, 180, 30, device=OURS)
    camera.send(np.zeros((180, 320, 3), np.uint8))
    camera.close()


# what cases do


def send_some(size: tuple[int, int], colour: tuple[int, int, int] = (200, 40, 20), count: int = 8) -> None:
    with contextlib.closing(VirtualCamera(size)) as camera:
        for number in range(count):
            camera.send(Frame(np.full((size[1], size[0], 3), colour, np.uint8), number, 0))
            time.sleep(0.03)


@contextlib.contextmanager
def sending(camera: VirtualCamera) -> Iterator[None]:
    """Send frames in the background; the camera stays open."""
    stopping = threading.Event()

    def send() -> None:
        while not stopping.wait(0.03):
            camera.send(Frame(np.full((180, 320, 3), (200, 40, 20), np.uint8), 0, 0))

    camera.repeat()  # before it, a device is no camera yet
    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def doctor_says() -> str:
    return "; ".join(f"{check.state}: {check.what}" for check in doctor.look_at_virtual_camera())


def refusal(work: Callable[[], Any]) -> str:
    try:
        work()
    except AvatarError as error:
        return f"{error.what} {error.remedy}"
    return ""


@case("colours arrive")
def colours() -> str:
    with beside(read_frames, 10) as reader, contextlib.closing(VirtualCamera(SMALL)) as camera, sending(camera):
        look(reader)
        time.sleep(1)
        count, mean = seen(reader)
    if count < 5 or mean is None or max(abs(a - b) for a, b in zip(mean, (200, 40, 20), strict=True)) > 8:
        raise WrongError(f"{count} frames, mean {mean}")
    return f"{count} frames, mean {mean}"


@case("12 starts of two sizes")
def starts() -> str:
    failed = [refusal(lambda n=n: send_some((SMALL, OTHER)[n % 2])) for n in range(12)]  # type: ignore[misc]
    if any(failed):
        raise WrongError(f"{sum(map(bool, failed))} of 12 fail: {next(filter(None, failed))}")
    return "all send"


@case("6 starts while a call keeps the camera open")
def starts_with_reader() -> str:
    failed: list[str] = []
    with beside(read_frames, 10) as reader, contextlib.closing(VirtualCamera(SMALL)) as first:
        with sending(first):
            look(reader)
        first.close()
        counts = [seen_while_sending(reader, failed) for _ in range(6)]
    if any(failed) or 0 in counts:
        raise WrongError(f"new frames seen {counts}; {next(filter(None, failed), '')}")
    return f"new frames seen after each: {counts}"


def seen_while_sending(reader: Any, failed: list[str]) -> int:
    failed.append(refusal(lambda: send_some(SMALL, count=12)))
    before = getattr(seen_while_sending, "before", 0)
    reader.send("?")
    # the reader waits in read() between two of our starts: it answers once frames come again
    answer = reader.recv() if reader.poll(12) else (before, None)
    seen_while_sending.before = answer[0]  # type: ignore[attr-defined]
    return int(answer[0] - before)


@case("a start after Masque was killed")
def killed() -> str:
    with beside(send_for_ever):
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)
            child.join(5)
    if said := refusal(lambda: send_some(SMALL)):
        raise WrongError(said)
    return "sends"


def window_sending() -> WindowOutputs:
    return WindowOutputs(Path("/run/tmp/rig"), SMALL)


def switch_on(window: WindowOutputs) -> None:
    if not (window.switch_on() and window.goes_on()):
        raise WrongError(f"the camera does not start: {window.problem}")


def check_changes(ended: list[str], count: int, saw: str) -> str:
    if ended:
        raise WrongError(f"{len(ended)} of {count} end the camera: {ended[0]} {saw}")
    return f"it goes on; {saw}"


@case("48 changes of fit, label, mirror")
def changes() -> str:
    with window_sending() as window:
        switch_on(window)
        return check_changes(window.change_at_random(7, 48), 48, "")


@case("100 changes, of the size too")
def all_changes() -> str:
    with window_sending() as window:
        switch_on(window)
        ended = window.change_at_random(7, 100, SIZES)
    return check_changes(ended, 100, f"{len(window.notices)} notices")


@case("100 changes while a call looks")
def changes_with_reader() -> str:
    with beside(read_frames, 10) as reader, window_sending() as window:
        switch_on(window)
        look(reader)
        before = seen(reader)[0]
        ended = window.change_at_random(7, 100, SIZES)
        saw = seen(reader)[0] - before
        facts = window.captures.state.camera_facts or "off"
    said = f"{facts}; the call saw {saw} frames; {len(window.notices)} notices"
    return check_changes([*ended, *([] if saw > 0 else ["the call saw nothing"])], 100, said)


@case("a size that a call holds")
def held() -> str:
    with beside(read_frames, 10) as reader, window_sending() as window:
        switch_on(window)
        look(reader)
        window.session.change("canvas", width_px=640, height_px=360)
        window.until(lambda: bool(window.notices), 8)
        window.work(0.3)
        goes_on = window.goes_on()
        facts, size = window.captures.state.camera_facts or "off", window.session.settings.canvas
    said = f"{window.notices}; {facts}, {size.width_px} x {size.height_px} set"
    if not goes_on or not any("held" in notice for notice in window.notices):
        raise WrongError(said)
    return said


@case("10 times off and on at once")
def off_and_on() -> str:
    failed = []
    with window_sending() as window:
        switch_on(window)
        for _ in range(10):
            window.captures.set_camera(False)
            if not window.switch_on():
                failed.append(window.problem)
                window.switch_on()
    if failed:
        raise WrongError(f"{len(failed)} of 10 fail: {failed[0]}")
    return "all send"


@case("after a program that left the device stuck")
def stuck() -> str:
    leave_stuck()
    node = next(node for node in loopback.look().devices if str(node.path) == OURS)
    doctor_said, said = doctor_says(), refusal(lambda: send_some(SMALL))
    facts = f"captures {node.captures}, takes {node.takes}; doctor: {doctor_said}; start: {said or 'sends'}"
    if said or "program sends" in doctor_said:
        raise WrongError(facts)
    return facts


@case("while another program sends")
def taken() -> str:
    with beside(send_raw, (320, 180)):
        doctor_said, said = doctor_says(), refusal(lambda: send_some(SMALL))
    facts = f"doctor: {doctor_said}; start: {said or 'sends'}"
    if "program" not in said or "program sends" not in doctor_said:
        raise WrongError(facts)
    return facts


@case("our device, which may not be opened, among the cameras")
def forbidden() -> str:
    list_cameras()
    codecs.lookup("ascii")  # imports what this user may not read any more in a moment
    Path(OURS).chmod(0)
    os.setresgid(65534, 65534, 65534)
    os.setgroups([])
    os.setresuid(65534, 65534, 65534)
    names = [camera.name for camera in list_cameras()]
    if names:
        raise WrongError(str(names))
    return "not listed"


@case("not exclusive: what doctor says", NOT_EXCLUSIVE)
def not_exclusive() -> str:
    said = doctor_says()
    if "exclusive_caps" not in said:
        raise WrongError(said)
    return said


@case("not exclusive: while another program sends", NOT_EXCLUSIVE)
def two_senders() -> str:
    return taken()


@case("not exclusive: while a call looks and nobody sends", NOT_EXCLUSIVE)
def nobody_sends() -> str:
    with beside(read_frames, 10) as reader, contextlib.closing(VirtualCamera(SMALL)) as camera:
        with sending(camera):
            look(reader)
        camera.close()
        said = refusal(lambda: send_some(SMALL))
    if said:
        raise WrongError(said)
    return "sends"


@case("not exclusive: the camera that is taken when none was chosen", NOT_EXCLUSIVE)
def usual_camera() -> str:
    from avatar.commands import live

    first = live._first_camera()
    if first != "idle":
        raise WrongError(f"{first}; listed: {[camera.name for camera in list_cameras()]}")
    return f"idle; listed: {[camera.name for camera in list_cameras()]}"


@case("two devices, ours exclusive", "video_nr=3,10 exclusive_caps=0,1 card_label=Other,Masque devices=2")
def ours_exclusive() -> str:
    said = doctor_says()
    if "exclusive_caps" in said:
        raise WrongError(said)
    return said


@case("two devices, ours not exclusive", "video_nr=3,10 exclusive_caps=1,0 card_label=Other,Masque devices=2")
def other_exclusive() -> str:
    said = doctor_says()
    if "exclusive_caps" not in said:
        raise WrongError(said)
    return said


@case("webcam beside it", "vivid")
def webcam() -> str:
    from avatar.commands import live
    from avatar.sources.camera import Camera

    listed = list_cameras()
    first = live._first_camera()
    camera = next(camera for camera in listed if camera.id == first)
    with contextlib.closing(Camera(camera, size=(640, 360))) as source:
        frame = source.read()
    return f"{[camera.name for camera in listed]}; {camera.name} sends {frame.width_px} x {frame.height_px}"


@case("HDMI input without signal", "vivid")
def no_signal() -> str:
    from avatar.sources.camera import Camera

    hdmi = list_cameras()[-1]
    set_signal(hdmi.index, 1)
    with contextlib.closing(Camera(hdmi, size=(640, 360))) as source:
        said = refusal(lambda: [source.read() for _ in range(5)])
    listed = [str(camera) for camera in list_cameras()]
    doctor_said = "; ".join(check.what for check in doctor.look_at_cameras())
    facts = f"read: {said or 'delivers'}; doctor: {doctor_said}; list: {listed}"
    if "signal" not in said:
        raise WrongError(facts)
    return facts


@case("HDMI input that loses its signal", "vivid")
def loses_signal() -> str:
    from avatar.sources.camera import Camera

    hdmi = list_cameras()[-1]
    set_signal(hdmi.index, 0)
    with contextlib.closing(Camera(hdmi, size=(640, 360))) as source:
        source.read()
        set_signal(hdmi.index, 1)
        until_s, said = time.monotonic() + 8, ""
        while not said and time.monotonic() < until_s:
            said = refusal(source.read)
    set_signal(hdmi.index, 0)
    with contextlib.closing(Camera(hdmi, size=(640, 360))) as source:
        back = refusal(source.read) or "delivers again"
    if "signal" not in said or back != "delivers again":
        raise WrongError(f"{said or 'delivers'}; then {back}")
    return f"{said}; then {back}"


def set_signal(number: int, mode: int) -> None:
    """Set what vivid has at its HDMI input: 0 a signal, 1 none, 2 one that it cannot lock on."""
    device = os.open(f"/dev/video{number}", os.O_RDWR)
    try:
        control = bytearray(68)  # struct v4l2_queryctrl: id, type, name, ...
        while not control[8:].startswith(b"DV Timings Signal Mode"):
            struct.pack_into("=I", control, 0, struct.unpack_from("=I", control)[0] | NEXT_CTRL)
            fcntl.ioctl(device, QUERYCTRL, control, True)
        fcntl.ioctl(device, S_CTRL, struct.pack("=Ii", struct.unpack_from("=I", control)[0], mode))
    finally:
        os.close(device)


# the module


def load(options: str) -> None:
    name = "v4l2loopback"
    if options == "vivid":
        # a webcam and an HDMI input, and nothing but capture
        name, options = "vivid", "n_devs=2 node_types=0x1,0x1 num_inputs=1,1 input_types=0x0,0x3 num_outputs=0,0"
    for module in (MODULES / f"{name}.order").read_text().split():
        if not Path(f"/sys/module/{module}").is_dir():
            extra = shlex.split(options) if module == name else []
            subprocess.run(["/bin/busybox", "insmod", str(MODULES / f"{module}.ko"), *extra], check=True)
    wait_for(lambda: any(Path("/dev").glob("video*")))


def unload() -> None:
    for name in ("v4l2loopback", "vivid"):
        if Path(f"/sys/module/{name}").is_dir():
            wait_for(
                lambda name=name: subprocess.run(  # type: ignore[misc]
                    ["/bin/busybox", "rmmod", name], stderr=subprocess.DEVNULL, check=False
                ).returncode == 0
            )  # fmt: skip


def wait_for(true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 10
    while not true() and time.monotonic() < until_s:
        time.sleep(0.05)


def run(function: Case, pipe: Any) -> None:
    """Run a case in the child process and report its result."""
    try:
        pipe.send((True, function()))
    except WrongError as wrong:
        pipe.send((False, str(wrong)))
    except BaseException as error:
        traceback.print_exc()
        pipe.send((False, f"{type(error).__name__}: {error}"))
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    for name, options, function in CASES:
        if args.only not in name:
            continue
        unload()
        load(options)
        ours, theirs = fork.Pipe()
        child = fork.Process(target=run, args=(function, theirs))
        child.start()
        theirs.close()
        try:
            ok, saw = ours.recv() if ours.poll(CASE_S) else (False, f"no end within {CASE_S} s")
        except EOFError:
            ok, saw = False, "the process died"
        if child.is_alive():
            child.join(2)
            subprocess.run(["/usr/bin/pkill", "-KILL", "-P", str(child.pid)], check=False)
            child.kill()
        child.join(5)
        print("\nCASE " + json.dumps({"name": name, "ok": ok, "saw": saw}), flush=True)


if __name__ == "__main__":
    main()
