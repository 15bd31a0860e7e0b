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
from motion_samples import make_face

from avatar.engines.base import Driving, Portrait
from avatar.engines.warp.engine import WarpEngine
from avatar.frames import RgbImage
from avatar.remote import protocol
from avatar.remote.host import Host
from avatar.remote.identity import Address, KnownHost
from avatar.remote.load import Load
from avatar.remote.protocol import Hello, encode, proof_of, read_from_host
from avatar.remote.relay import Relay
from avatar.remote.seats import OwnSeats

TOKEN = "a-token-of-the-tests-0123456789"
SIDE = 160
REFERENCE = make_face()


class Studio:
    """A running host, what it tells, and everything that was opened on it."""

    def __init__(
        self, *, tls: Any = None, most: int | None = 8, frame_ms: float = 1.0, behind: Host | None = None
    ) -> None:
        """A host that draws, or one that passes on to another behind it."""
        self.lines: list[str] = []
        self._told = threading.Condition()
        seats = OwnSeats(WarpEngine, Load(frame_ms)) if behind is None else SeatsBehind(behind)
        self.host = Host(Address("127.0.0.1", 0), TOKEN, seats, tls=tls, most=most, tell=self._tell)

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
