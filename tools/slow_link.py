"""A bad network between two programs of this machine: a TCP proxy with delay, jitter, loss and cuts.

What TCP carries is never lost; a lost packet shows as a pause, in which everything behind it waits for the repetition.
"""

from __future__ import annotations

import collections
import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

CHUNK_BYTES = 1400  # a packet


@dataclass(frozen=True)
class Quality:
    """Faults of a network, in each direction."""

    delay_s: float = 0.0
    jitter_s: float = 0.0  # added at random, from 0 to this
    loss: float = 0.0  # share of the packets that are lost
    repeat_s: float = 0.2  # until a lost packet is sent again; Linux waits at least so long


class SlowLink:
    """A proxy to one port of this machine; thread-safe."""

    def __init__(self, port: int, quality: Quality | None = None, seed: int = 0) -> None:
        """Start listening; `port` of the proxy itself is chosen by the system."""
        self._target, self.quality, self._random = port, quality or Quality(), random.Random(seed)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._is_cut = self._is_stalled = self._closing = False
        self.upwards = bytearray()  # everything that clients sent
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    def cut(self) -> None:
        """Break all connections and let none begin."""
        with self._lock:
            self._is_cut = True
            found = list(self._open)
        for each in found:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def stall(self, on: bool) -> None:
        """Carry nothing, as a network does that has gone without a word; False: carry on with all that waited."""
        self._is_stalled = on

    def restore(self) -> None:
        """Let connections begin again."""
        with self._lock:
            self._is_cut = False

    def close(self) -> None:
        """End everything."""
        self._closing = True
        self.cut()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()  # wakes the thread that listens
        for each in self._threads:
            each.join(5)
        self._listening.close()

    def _begin(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name="slow-link", daemon=True)
        self._threads = [*(each for each in self._threads if each.is_alive()), thread]
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            if self._closing:
                near.close()
                return
            with self._lock:
                is_cut = self._is_cut
            if is_cut:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
            for one, other, is_up in ((near, far, True), (far, near, False)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                direction = _Direction(self, one, other, is_up)
                self._begin(direction.read)
                self._begin(direction.write)

    def due_s(self, now_s: float, before_s: float) -> float:
        """Return when a packet arrives that is sent now, after one that arrives at `before_s`."""
        quality = self.quality
        with self._lock:
            late_s = quality.delay_s + self._random.random() * quality.jitter_s
            late_s += quality.repeat_s if self._random.random() < quality.loss else 0.0
        return max(now_s + late_s, before_s)

    def note(self, data: bytes) -> None:
        """Keep what a client sent."""
        with self._lock:
            self.upwards += data

    @property
    def is_stalled(self) -> bool:
        """True while nothing is carried."""
        return self._is_stalled and not self._closing

    def forget(self, *ended: socket.socket) -> None:
        """Close sockets."""
        with self._lock:
            self._open -= set(ended)
        for each in ended:
            each.close()


class _Direction:
    """One direction of one connection: a thread that reads, and one that writes when it is time."""

    def __init__(self, link: SlowLink, source: socket.socket, target: socket.socket, is_up: bool) -> None:
        self._link, self._source, self._target, self._is_up = link, source, target, is_up
        self._changed = threading.Condition()
        self._waiting: collections.deque[tuple[float, bytes]] = collections.deque()
        self._room = threading.Semaphore(200)  # packets on their way: a network holds no more

    def read(self) -> None:
        """Take packets from one side, each with the time at which it arrives."""
        due_s = 0.0
        with contextlib.suppress(OSError):
            while data := self._source.recv(CHUNK_BYTES):
                if self._is_up:
                    self._link.note(data)
                self._room.acquire()
                due_s = self._link.due_s(time.monotonic(), due_s)
                self._put(due_s, data)
        self._put(due_s, b"")

    def _put(self, due_s: float, data: bytes) -> None:
        with self._changed:
            self._waiting.append((due_s, data))
            self._changed.notify()

    def write(self) -> None:
        """Give packets to the other side when it is time."""
        with contextlib.suppress(OSError):
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting)
                    due_s, data = self._waiting.popleft()
                self._room.release()
                time.sleep(max(0.0, due_s - time.monotonic()))
                while self._link.is_stalled:
                    time.sleep(0.01)
                if not data:
                    break
                self._target.sendall(data)
        for each in (self._source, self._target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._link.forget(self._source, self._target)
