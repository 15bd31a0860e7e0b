"""A host on this machine with a small portrait, and clients that behave and misbehave."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from fakes import FakeTracker
from motion_samples import make_face

from avatar.engines.base import Driving, Engine, Portrait
from avatar.engines.warp.engine import WarpEngine
from avatar.frames import RgbImage
from avatar.remote import protocol
from avatar.remote.drivers import Drawing
from avatar.remote.host import Host
from avatar.remote.identity import Address, KnownHost
from avatar.remote.load import Load
from avatar.remote.protocol import Hello, encode, proof_of, read_from_host
from avatar.remote.relay import Relay
from avatar.remote.seats import OwnSeats
from avatar.tracking import open_tracker
from avatar.tracking.face import Face

TOKEN = "a-token-of-the-tests-0123456789"
SIDE = 160
REFERENCE = make_face()


class Studio:
    """A running host, what it tells, and everything that was opened on it."""

    def __init__(
        self,
        *,
        tls: Any = None,
        most: int | None = 8,
        frame_ms: float = 1.0,
        behind: Host | None = None,
        draws: Callable[[], Engine] = WarpEngine,
        port: int = 0,
    ) -> None:
        """A host that draws, or one that passes on to another behind it."""
        self.lines: list[str] = []
        self._told = threading.Condition()
        seats: OwnSeats | SeatsBehind
        if behind is None:
            with contextlib.closing(draws()) as engine:
                drawing = Drawing.by(engine)
            seats = OwnSeats(draws, Load(frame_ms), drawing)
        else:
            seats = SeatsBehind(behind)
        self.host = Host(Address("127.0.0.1", port), TOKEN, seats, tls=tls, most=most, tell=self._tell)

    def _tell(self, line: str) -> None:
        with self._told:
            self.lines.append(line)
            self._told.notify_all()

    def wait_for(self, part: str) -> str:
        """Wait for a line of the log that holds `part`."""
        with self._told:
            assert self._told.wait_for(lambda: any(part in line for line in self.lines), 20), (part, self.lines)
            return next(line for line in self.lines if part in line)

    def known(self, **changes: Any) -> KnownHost:
        return dataclasses.replace(KnownHost(self.host.address, TOKEN), **changes)


class SeatsBehind:
    """The seats of another host, as a front has them on replicas."""

    def __init__(self, host: Host) -> None:
        self._host, self.left = host, 0
        self.drawing = host._seats.drawing

    def count(self) -> int:
        return 8

    def take(self, connection: Any, number: int) -> Relay:
        return Relay(connection, number, KnownHost(self._host.address, TOKEN), self._leave)

    def _leave(self) -> None:
        self.left += 1


@contextlib.contextmanager
def studio(**options: Any) -> Iterator[Studio]:
    opened = Studio(**options)
    try:
        yield opened
    finally:
        opened.host.close()


class PortraitTracker(FakeTracker):
    """Finds the face of a real portrait; in camera pictures it sees one as every fake does."""

    def detect(self, rgb: RgbImage) -> list[Face]:
        with contextlib.closing(open_tracker()) as tracker:
            return tracker.detect(rgb)


def portrait(seed: int = 0, side: int = SIDE) -> Portrait:
    """Somebody on a smooth picture."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    waves = [128 + 90 * np.sin((rows * (1 + channel) + columns * (2 + seed)) / 23) for channel in range(3)]
    scale = 38 * side / SIDE
    return Portrait(np.stack(waves, axis=2).astype(np.uint8), make_face(scale=scale, centre=(side / 2, side / 2)))


def driven(yaw: float = 0.0) -> Driving:
    return Driving(face=make_face(yaw=yaw), captured_ns=time.monotonic_ns())


def psnr(one: RgbImage, other: RgbImage) -> float:
    """Compare the luma, in dB: H.264 has less of the colours anyway, here as in every output."""
    lumas = [image.astype(np.float64) @ (0.2126, 0.7152, 0.0722) for image in (one, other)]
    return 10 * math.log10(255**2 / max(float(np.mean((lumas[0] - lumas[1]) ** 2)), 1e-9))


@contextlib.contextmanager
def raw_client(host: Host, *, token: str = TOKEN, greets: bool = True) -> Iterator[Any]:
    """A client that says whatever it is told; with `greets` the first messages are as they should be."""
    from websockets.sync.client import connect

    with connect(f"ws://{host.address}/", proxy=None, max_size=2**24, close_timeout=1) as connection:
        if greets:
            challenge = read_from_host(connection.recv(10))
            assert isinstance(challenge, protocol.Challenge)
            connection.send(hello(challenge, token))
            assert isinstance(read_from_host(connection.recv(10)), protocol.Welcome)
        yield connection


def hello(challenge: protocol.Challenge, token: str = TOKEN) -> bytes:
    nonce = secrets.token_bytes(32)
    return encode(Hello(protocol.VERSION, False, nonce, proof_of(token, "client", challenge.nonce + nonce, "")))


def refusal_of(connection: Any) -> protocol.Refusal:
    """Read until the host refuses."""
    while True:
        message = read_from_host(connection.recv(10))
        if isinstance(message, protocol.Refused):
            return message.refusal


def until(true: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    """Wait for something and return it."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if found := true():
            return found
        time.sleep(0.01)
    raise AssertionError("it never came true")


def payloads(stream: bytes) -> list[bytes]:
    """The payloads of a client's WebSocket messages; HTTP requests and what keeps a connection alive are left out."""
    found, at = [], 0
    while at + 2 <= len(stream):
        if stream[at : at + 4] == b"GET ":
            at = stream.index(b"\r\n\r\n", at) + 4
            continue
        length, head = stream[at + 1] & 127, 2
        if stream[at] not in (0x82, 0x88, 0x89, 0x8A):  # the rest of a connection that was cut
            at += 1
            continue
        if length >= 126:
            extra = 2 if length == 126 else 8
            length, head = int.from_bytes(stream[at + 2 : at + 2 + extra], "big"), 2 + extra
        mask = np.frombuffer(stream[at + head : at + head + 4], np.uint8)
        body = np.frombuffer(stream[at + head + 4 : at + head + 4 + length], np.uint8)
        if len(mask) == 4:
            payload = (body ^ np.resize(mask, len(body))).tobytes()
            if stream[at] == 0x82:
                found.append(payload)
        at += head + 4 + length
    return found


def unmasked(stream: bytes) -> bytes:
    """All of those in a row."""
    return b"".join(payloads(stream))
