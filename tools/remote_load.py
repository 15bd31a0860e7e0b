"""Measures drawing on a host: added latency, a bad network, and how many sessions a host holds.

    python tools/remote_load.py latency              drawn here, over loopback and (--ray) on a cluster, in turns
    python tools/remote_load.py link --minutes 10    2 % loss and 50 ms jitter
    python tools/remote_load.py sessions             more and more clients, until they get less than 25 frames a second

The host is a process of its own on this machine. The motion is the built-in one, or a template (--motion FILE.masque).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from avatar.commands.serve import SWITCH_S
from avatar.cv import cv2
from avatar.engines.base import Driving, EngineConfig, Portrait
from avatar.engines.warp.engine import WarpEngine, resized
from avatar.errors import AvatarError
from avatar.library.library import Library
from avatar.motion.idle import load_idle
from avatar.motion.reference import neutral_frame
from avatar.motion.template import load_template
from avatar.motion.track import MotionTrack
from avatar.portrait.source import read_portrait
from avatar.remote.engine import RemoteEngine
from avatar.remote.host import Host
from avatar.remote.identity import Address, KnownHost
from avatar.remote.link import Link, Wish, ask_host
from avatar.remote.load import LEAST_RATE, Load
from avatar.remote.parcel import pack_portrait
from avatar.remote.pictures import PictureDecoder
from avatar.remote.protocol import Picture
from avatar.remote.seats import OwnSeats
from avatar.remote.trial import measure
from avatar.settings import MotionSettings
from avatar.tracking import open_tracker
from avatar.tracking.face import Face
from tools.slow_link import Quality, SlowLink

TOKEN = "the-token-of-a-measurement"
AVATAR, SIDE_PX = "astronaut", 512
BAD = Quality(delay_s=0.02, jitter_s=0.05, loss=0.02)


def _host(room: int, ray: str | None, sender: Any) -> None:
    """Run a host until the other end of the pipe is closed; on a process of its own."""
    cv2.setNumThreads(1)
    sys.setswitchinterval(SWITCH_S)
    if ray is not None:
        _front(ray, sender)
        return
    load = Load(1e-3) if room else measure(WarpEngine).load  # with a given room nobody is refused for the cost
    host = Host(Address("127.0.0.1", 0), TOKEN, OwnSeats(WarpEngine, load), most=room or None)
    sender.send((host.address.port, host.room(), load.frame_ms))
    with contextlib.suppress(EOFError):
        sender.recv()
    host.close()


def _front(ray: str, sender: Any) -> None:
    """Run the front of replicas on a Ray cluster."""
    from avatar.remote.ray_seats import RaySeats

    seats = RaySeats(ray, EngineConfig(render="processor"), switch_s=SWITCH_S)
    host = Host(Address("127.0.0.1", 0), TOKEN, seats)
    sender.send((host.address.port, host.room(), seats.frame_ms))
    with contextlib.suppress(EOFError):
        sender.recv()
    host.close()
    seats.close()


@contextlib.contextmanager
def running_host(room: int = 0, ray: str | None = None) -> Iterator[tuple[int, int, float]]:
    """Start a host; yield its port, its room and the cost of a frame in ms."""
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    process = context.Process(target=_host, args=(room, ray, far), daemon=ray is None)
    process.start()
    try:
        yield near.recv()
    finally:
        near.send(None)
        process.join(10 if ray is None else 60)


def known(port: int) -> KnownHost:
    """Return the host at a port of this machine."""
    return KnownHost(Address("127.0.0.1", port), TOKEN)


def read_avatar(side_px: int = SIDE_PX) -> Portrait:
    """Return the built-in portrait at the drawn size."""
    with contextlib.closing(open_tracker()) as tracker:
        source = read_portrait(Library().likeness(AVATAR), tracker)
    rgb, face = resized(source.rgb, source.faces[0], side_px)
    return Portrait(rgb, face)


def latency(motion: MotionTrack, seconds: float, ray: str | None) -> dict[str, Any]:
    """Draw the same motion here, on a host and, if asked for, on a cluster, in turns, 10 to 15 frames a second each."""
    portrait, here, local_ms = read_avatar(), WarpEngine(), list[float]()
    reference = Driving(face=motion.face(neutral_frame(motion)), frame_width_px=motion.width_px)
    here.show(here.prepare(portrait))
    here.calibrate(reference)
    with contextlib.ExitStack() as stack:
        ports = {"host": stack.enter_context(running_host(4))[0]}
        if ray is not None:
            ports["ray"] = stack.enter_context(running_host(4, ray))[0]
        there = {name: _Distant(port, portrait, reference) for name, port in ports.items()}
        began_s, index = time.monotonic(), 0
        while time.monotonic() - began_s < seconds:
            face, index = motion.face(index % len(motion)), index + 1
            start_ns = time.monotonic_ns()
            here.draw(Driving(face=face))
            local_ms.append((time.monotonic_ns() - start_ns) * 1e-6)
            for each in there.values():
                time.sleep(0.01)
                each.ask(face)
            time.sleep(0.02)
        found = {name: each.result(_middle(local_ms)) for name, each in there.items()}
    return {"frames": index, "local_ms": _middle(local_ms)} | found


class _Distant:
    """A host that is asked for single frames, and how long each took."""

    def __init__(self, port: int, portrait: Portrait, reference: Driving) -> None:
        self._engine = RemoteEngine(Link(known(port)))
        self._engine.show(self._engine.prepare(portrait))
        self._engine.calibrate(reference)
        self._engine.draw(replace(reference, captured_ns=time.monotonic_ns()))
        self._sent, self._asked = self._engine._link.sent_bytes, 0
        self._all_ms, self._network_ms, self._host_ms = list[float](), list[float](), list[float]()

    def ask(self, face: Face) -> None:
        """Ask for a frame and wait for it."""
        start_ns, self._asked = time.monotonic_ns(), self._asked + 1
        self._engine._ask(Driving(face=face, captured_ns=start_ns))
        picture = self._engine._link.newest(1.0)
        while picture is not None and picture.captured_ns < start_ns:  # of the one before, which came too late
            picture = self._engine._link.newest(1.0)
        if picture is not None:
            self._all_ms.append((time.monotonic_ns() - start_ns) * 1e-6)
            self._network_ms.append(picture.network_ms)
            self._host_ms.append(picture.host_ms)

    def result(self, local_ms: float) -> dict[str, Any]:
        """Disconnect; return the medians and what was sent."""
        up_bytes = (self._engine._link.sent_bytes - self._sent) / max(1, self._asked)
        self._engine.close()
        return {
            "answered": len(self._all_ms), "remote_ms": _middle(self._all_ms),
            "added_ms": round(_middle(self._all_ms) - local_ms, 2), "host_ms": _middle(self._host_ms),
            "network_ms": _middle(self._network_ms), "up_kB_per_s_at_30": round(up_bytes * 30 / 1000, 1),
        }  # fmt: skip


def bad_link(motion: MotionTrack, seconds: float) -> dict[str, Any]:
    """Follow the motion at 30 frames a second over a bad network; ages are those of the frames when they are shown."""
    with running_host(4) as (port, _, _), contextlib.closing(SlowLink(port, BAD)) as slow:
        engine = RemoteEngine(Link(known(slow.port)))
        engine.show(engine.prepare(read_avatar()))
        engine.calibrate(Driving(face=motion.face(neutral_frame(motion)), frame_width_px=motion.width_px))
        ages_ms: list[float] = []
        here = index = asked = 0
        began_s = next_s = time.monotonic()
        while time.monotonic() - began_s < seconds:
            face, index = motion.face(index % len(motion)), index + 1
            arrival = engine.draw_newest(Driving(face=face, captured_ns=time.monotonic_ns()))
            asked += 1
            if arrival is not None:
                if arrival.network_ms is None:
                    here += 1
                else:
                    ages_ms.append((time.monotonic_ns() - arrival.captured_ns) * 1e-6)
            slow.upwards.clear()
            next_s = max(next_s + 1 / 30, time.monotonic())
            time.sleep(max(0.0, next_s - time.monotonic()))
        engine.close()
    return {
        "minutes": round(seconds / 60, 1), "asked": asked, "shown": len(ages_ms), "idled_here": here,
        "age_ms": _quantiles(ages_ms), "oldest_ms": round(max(ages_ms, default=0.0), 1),
    }  # fmt: skip


class CountingLink(Link):
    """A client that takes pictures without decoding them, so that many fit beside the host."""

    def __init__(self, host: KnownHost) -> None:
        super().__init__(host)
        self.ages_ms: list[float] = []

    def _keep_picture(self, wire: Any, decoder: PictureDecoder, picture: Picture) -> None:
        self.ages_ms.append((time.monotonic_ns() - picture.captured_ns) * 1e-6)
        with self._changed:
            wire.received = max(wire.received, picture.frame)


def sessions(motion: MotionTrack, seconds: float, most: int) -> dict[str, Any]:
    """Let more and more clients ask for 30 frames a second each; then ask a host that measures what it can hold."""
    portrait, steps, held = read_avatar(), [], 0
    for count in range(1, most + 1):
        with running_host(most) as (port, _, _):
            found = _crowd(known(port), portrait, motion, count, seconds)
        steps.append({"sessions": count} | found)
        print(json.dumps(steps[-1]), file=sys.stderr, flush=True)
        if found["least_rate"] < LEAST_RATE:
            break
        held = count
    with running_host() as (port, room, frame_ms):
        links = _links(known(port), portrait, room)
        refused = _refusal_of(known(port))
        for link in links:
            link.close()
    return {
        "held": held, "steps": steps, "admitted": room, "frame_ms": round(frame_ms, 1), "one_too_many": refused,
    }  # fmt: skip


def admission(motion: MotionTrack, seconds: float, ray: str) -> dict[str, Any]:
    """Fill a front of replicas with clients, and ask for one more."""
    portrait = read_avatar()
    with running_host(ray=ray) as (port, room, frame_ms):
        found = _crowd(known(port), portrait, motion, room, seconds, lambda: _refusal_of(known(port)))
    return {"admitted": room, "frame_ms": round(frame_ms, 1)} | found


def _refusal_of(host: KnownHost) -> str:
    try:
        ask_host(host)
    except AvatarError as error:
        return error.what
    return ""


def _links(host: KnownHost, portrait: Portrait, count: int) -> list[CountingLink]:
    """Connect clients and wait until the host can draw for each."""
    assert portrait.face is not None
    parcel = pack_portrait(portrait.rgb, portrait.face, None)
    links = [CountingLink(host) for _ in range(count)]
    for link in links:
        link.start()
        until_s = time.monotonic() + 60
        while not link.wait_ready(link.offer(parcel), 1) and time.monotonic() < until_s:
            time.sleep(0.05)
    return links


def _crowd(
    host: KnownHost,
    portrait: Portrait,
    motion: MotionTrack,
    count: int,
    seconds: float,
    ask: Callable[[], str] = lambda: "",
) -> dict[str, Any]:
    """Have clients follow the motion; `ask` is called in the middle."""
    links, stop = _links(host, portrait, count), threading.Event()
    reference = motion.face(neutral_frame(motion))

    def follow(link: CountingLink, start: int) -> None:
        index, next_s = start, time.monotonic() + start / 300
        while not stop.is_set():
            face, index = motion.face(index % len(motion)), index + 1
            number = next(iter(link._parcels))
            link.ask(Wish(number, MotionSettings(), reference, motion.width_px, face, 1.0, time.monotonic_ns()))
            next_s += 1 / 30
            stop.wait(max(0.0, next_s - time.monotonic()))

    threads = [threading.Thread(target=follow, args=(link, 7 * place)) for place, link in enumerate(links)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    for link in links:
        link.ages_ms.clear()
    began_s = time.monotonic()
    time.sleep(seconds / 2)
    refused = ask()
    time.sleep(seconds / 2)
    lasted_s = time.monotonic() - began_s
    ages = [list(link.ages_ms) for link in links]
    stop.set()
    for thread in threads:
        thread.join()
    for link in links:
        link.close()
    rates = [len(each) / lasted_s for each in ages]
    quantiles = _quantiles([age for each in ages for age in each])
    return {"least_rate": round(min(rates), 1), "age_ms": quantiles} | ({"one_too_many": refused} if refused else {})


def _middle(values: Sequence[float]) -> float:
    return round(float(np.median(values)), 2) if values else float("nan")


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    return {f"p{share}": round(float(np.percentile(values, share)), 1) for share in (50, 95, 99)}


def main() -> int:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("latency", "link", "sessions"))
    parser.add_argument("--motion", type=Path, help="a motion template (default: the built-in motion)")
    parser.add_argument("--minutes", type=float, default=0.25)
    parser.add_argument("--ray", metavar="ADDRESS|auto", help="against replicas on a Ray cluster (latency, sessions)")
    parser.add_argument("--most", type=int, default=16, help="sessions at most")
    args = parser.parse_args()
    motion = load_idle() if args.motion is None else load_template(args.motion)
    seconds = 60 * args.minutes
    before = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    if args.what == "latency":
        result = latency(motion, seconds, args.ray)
    elif args.what == "link":
        result = bad_link(motion, seconds)
    elif args.ray is not None:
        result = admission(motion, seconds, args.ray)
    else:
        result = sessions(motion, seconds, args.most)
    print(json.dumps(result | {"cores": os.cpu_count(), "load_before": before}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
