"""One client's session on a host: reads its messages, prepares its portraits, draws its frames.

The connection's own thread reads and parses; `masque-draw-N` owns the engine and the encoder, draws the newest order
and sends its picture; `masque-prepare-N` prepares portraits. Nothing is queued: an order that was not begun is replaced
by the next one.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from avatar.engines.base import Engine, LayeredEngine
from avatar.frames import AlphaImage, Latest, RgbImage
from avatar.remote.drivers import Driver, driving_by, unpack_motion, unpack_reference
from avatar.remote.load import Budget, Load
from avatar.remote.parcel import unpack_portrait
from avatar.remote.pictures import PictureEncoder, stacked
from avatar.remote.protocol import (
    PART_BYTES,
    Declined,
    FromHost,
    Offer,
    Order,
    Part,
    Picture,
    ProtocolError,
    Ready,
    Reference,
    Refusal,
    Refused,
    Tuning,
    Want,
    close_reason,
    encode,
    read_from_client,
)
from avatar.settings import MotionSettings

if TYPE_CHECKING:
    from websockets.sync.server import ServerConnection

logger = logging.getLogger(__name__)

SILENCE_S = 15.0  # without a whole message, before a session ends; a client whose portrait is ready sends 30 a second
PORTRAITS = 5  # prepared for a session at a time; more than a client remembers
INCOMING = 2  # on their way at a time
ORDERS_PER_S, BYTES_PER_S = 150, 300_000  # of all messages but the parts of portraits, which the host asks for
OFFERS_PER_MINUTE = 40
IN_FLIGHT_S = 0.3  # pictures that were not acknowledged for so long: the link is slow, and no more are sent
IN_FLIGHT_BYTES = 512 * 1024
IN_FLIGHT = 90  # pictures


@dataclass(frozen=True, eq=False)
class _Job:
    """One frame to be drawn, with everything that it depends on."""

    order: Order
    driver: Driver
    reference: tuple[int, Driver, int]  # number, driver, width of its frame
    motion: MotionSettings
    came_ns: int


@dataclass(eq=False)
class _Incoming:
    """A portrait on its way."""

    offer: Offer
    data: bytearray


@dataclass(frozen=True, eq=False)
class _Drawable:
    """A portrait that the engine has prepared."""

    prepared: Any
    size: tuple[int, int]  # width, height


class KeptPortraits:
    """Packed portraits that clients allowed the host to keep, in memory; thread-safe."""

    def __init__(self, most_bytes: int = 128 * 2**20) -> None:
        self._lock, self._most_bytes = threading.Lock(), most_bytes
        self._kept: collections.OrderedDict[bytes, bytes] = collections.OrderedDict()

    def find(self, digest: bytes) -> bytes | None:
        """Return a portrait by its name."""
        with self._lock:
            return self._kept.get(digest)

    def keep(self, digest: bytes, data: bytes) -> None:
        """Keep a portrait, in place of the oldest ones if there is no room."""
        with self._lock:
            self._kept[digest] = data
            while sum(map(len, self._kept.values())) > self._most_bytes:
                self._kept.popitem(last=False)


class Session:
    """A session with one client, after both have proved that they know the token."""

    def __init__(
        self,
        connection: ServerConnection,
        number: int,
        engine: Engine,
        load: Load,
        kept: KeptPortraits,
        points: int = 0,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        """Begin a session.

        Args:
            connection, number: of the client.
            engine: is open; `run` closes it.
            load: is told what frames cost.
            kept: portraits that clients left here.
            points: as in Drawing.
            turn: is entered to draw, where sessions share networks and a device.
        """
        self._turn = turn or contextlib.nullcontext()
        self._connection, self._number, self._engine = connection, number, engine
        self._load, self._kept, self._points = load, kept, points
        self._jobs: Latest[_Job] = Latest()
        self._lock = threading.Lock()  # guards the drawable portraits, and what is in flight
        self._drawable: collections.OrderedDict[int, _Drawable] = collections.OrderedDict()
        self._flying: collections.OrderedDict[int, tuple[float, int]] = collections.OrderedDict()  # when, bytes
        self._incoming: dict[int, _Incoming] = {}
        self._offered: set[int] = set()
        self._preparing = 0  # portraits that came and are not settled; guarded by the lock
        self._left = threading.Event()  # nobody waits for them any more
        self._motion = MotionSettings()
        self._reference: tuple[int, Driver, int] | None = None
        self._frame = 0
        self._end: Refusal | None = None
        self.drawn = self.held = 0  # frames drawn; orders passed over because the link is slow

    @property
    def device(self) -> str:
        """Device that draws."""
        return self._engine.facts.device

    def close(self) -> None:
        """Close the engine of a session that never ran."""
        self._engine.close()

    def run(self) -> Refusal | None:
        """Serve the client until it leaves; return why it was refused, None if it left by itself."""
        from websockets.exceptions import ConnectionClosed

        drawing = threading.Thread(target=self._draw, name=f"masque-draw-{self._number}", daemon=True)
        drawing.start()
        refusal = None
        with ThreadPoolExecutor(1, f"masque-prepare-{self._number}") as preparing:
            try:
                self._read(preparing)
            except TimeoutError:
                refusal = Refusal.SLOW
            except ProtocolError as error:
                refusal = error.refusal
            except ConnectionClosed as error:
                refusal = close_reason(error)
            except OSError:
                pass
            finally:
                self._left.set()
                self._jobs.close()
                drawing.join()
        refusal = self._end or refusal
        if refusal is not None:
            self._put(Refused(refusal))
        return refusal

    def end(self, refusal: Refusal) -> None:
        """End the session; callable from any thread."""
        self._end = self._end or refusal
        self._put(Refused(refusal))
        with contextlib.suppress(Exception):
            self._connection.close()

    def _read(self, preparing: ThreadPoolExecutor) -> None:
        """Read messages. Raises: ProtocolError, TimeoutError, ConnectionClosed."""
        amount, count = Budget(BYTES_PER_S, 4 * BYTES_PER_S), Budget(ORDERS_PER_S, 2 * ORDERS_PER_S)
        offers = Budget(OFFERS_PER_MINUTE / 60, OFFERS_PER_MINUTE)
        while True:
            data = self._next()
            came_ns = time.monotonic_ns()
            message = read_from_client(data)
            if not isinstance(message, Part) and not (amount.spend(len(data)) and count.spend(1)):
                raise ProtocolError(Refusal.RATE)
            match message:
                case Order():
                    self._take_order(message, came_ns)
                case Reference(number, width_px, driver):
                    self._reference = (number, unpack_reference(driver, self._points), width_px)
                case Tuning(motion):
                    self._motion = motion
                case Offer():
                    if not offers.spend(1):
                        raise ProtocolError(Refusal.RATE)
                    self._take_offer(message, preparing)
                case Part():
                    self._take_part(message, preparing)
                case _:
                    raise ProtocolError(Refusal.ORDER)

    def _next(self) -> str | bytes:
        """Wait for the next message. Raises: TimeoutError: the client is silent, and not for want of its portrait."""
        while True:
            try:
                return self._connection.recv(SILENCE_S)
            except TimeoutError:
                with self._lock:
                    if not self._preparing:
                        raise

    def _take_order(self, order: Order, came_ns: int) -> None:
        """Keep an order to be drawn next. Raises: ProtocolError."""
        if order.frame <= self._frame:
            raise ProtocolError(Refusal.REPLAY)
        if self._reference is None or self._reference[0] != order.reference or order.portrait not in self._offered:
            raise ProtocolError(Refusal.ORDER)
        self._frame = order.frame
        with self._lock:
            for frame in [each for each in self._flying if each <= order.received]:
                del self._flying[frame]
        driver = unpack_motion(order.driver, self._reference[1], self._points)
        self._jobs.put(_Job(order, driver, self._reference, self._motion, came_ns))

    def _take_offer(self, offer: Offer, preparing: ThreadPoolExecutor) -> None:
        """Ask for an offered portrait, or take it from those that were kept. Raises: ProtocolError."""
        if offer.number in self._offered:
            raise ProtocolError(Refusal.REPLAY)
        if len(self._incoming) >= INCOMING:
            raise ProtocolError(Refusal.ORDER)
        self._offered.add(offer.number)
        if (kept := self._kept.find(offer.digest)) is not None:
            self._submit(offer, kept, preparing)
            return
        self._incoming[offer.number] = _Incoming(offer, bytearray())
        self._put(Want(offer.number, 0))

    def _take_part(self, part: Part, preparing: ThreadPoolExecutor) -> None:
        """Add the part that was asked for. Raises: ProtocolError: it is another, or the whole is not what was named."""
        incoming = self._incoming.get(part.number)
        if incoming is None or part.offset != len(incoming.data):
            raise ProtocolError(Refusal.ORDER)
        left = incoming.offer.size - part.offset
        if len(part.data) != min(PART_BYTES, left):
            raise ProtocolError(Refusal.MALFORMED)
        incoming.data += part.data
        if len(incoming.data) < incoming.offer.size:
            self._put(Want(part.number, len(incoming.data)))
            return
        del self._incoming[part.number]
        data = bytes(incoming.data)
        if hashlib.sha256(data).digest() != incoming.offer.digest:
            raise ProtocolError(Refusal.MALFORMED)
        if incoming.offer.keep:
            self._kept.keep(incoming.offer.digest, data)
        self._submit(incoming.offer, data, preparing)

    def _submit(self, offer: Offer, data: bytes, preparing: ThreadPoolExecutor) -> None:
        """Have a portrait prepared, after those that came before."""
        with self._lock:
            self._preparing += 1
        preparing.submit(self._prepare, offer, data)

    def _prepare(self, offer: Offer, data: bytes) -> None:
        """Prepare a portrait; on the preparing thread."""
        began_s = time.thread_time()
        try:
            self._go_on()
            portrait, (width, height) = unpack_portrait(data)
            portrait = replace(portrait, checkpoint=self._go_on)
            prepared = self._engine.prepare(portrait, max(width, height), use_second_core=False)
        except Exception:  # outermost frame of the job; not only of ours: what a client sent may break anything
            logger.debug("A portrait could not be prepared", exc_info=True)
            self._put(Declined(offer.number))
            return
        finally:
            self._load.leave_out(time.thread_time() - began_s)
            with self._lock:
                self._preparing -= 1
        with self._lock:
            self._drawable[offer.number] = _Drawable(prepared, (width, height))
            while len(self._drawable) > PORTRAITS:
                self._drawable.popitem(last=False)
        self._put(Ready(offer.number, width, height))

    def _draw(self) -> None:
        """Draw the newest orders; on the drawing thread, which owns engine and encoder."""
        try:
            with contextlib.closing(self._engine):
                self._draw_all()
        except Exception:  # outermost frame of the thread: nothing above would see it
            logger.debug("Drawing failed", exc_info=True)
            self.end(Refusal.FAILED)

    def _draw_all(self) -> None:
        from websockets.exceptions import ConnectionClosed

        encoder: PictureEncoder | None = None
        shown, size = 0, (0, 0)
        calibrated, motion = 0, None
        while (job := self._jobs.take()) is not None:
            order = job.order
            if self._is_choked():
                self.held += 1
                continue
            with self._lock:
                drawable = self._drawable.get(order.portrait)
                if drawable is not None:
                    self._drawable.move_to_end(order.portrait)
            if drawable is None:
                continue
            is_new = encoder is None or order.portrait != shown
            with self._turn:
                if job.motion != motion:
                    motion = job.motion
                    self._engine.set_motion(motion)
                if order.portrait != shown:
                    self._engine.show(drawable.prepared)
                    shown = order.portrait
                if job.reference[0] != calibrated:
                    calibrated, reference, width_px = job.reference
                    self._engine.calibrate(driving_by(reference, frame_width_px=width_px or None))
                image = self._engine.draw(driving_by(job.driver, weight=order.weight))
                matte = self._matte(image) if order.wants_matte else None
            if matte is not None:
                image = stacked(image, matte)
            if encoder is None or size != image.shape[1::-1]:
                size, is_new = image.shape[1::-1], True
                encoder = PictureEncoder(size)
            is_key = is_new or order.wants_key
            data = encoder.encode(image, key=is_key)
            self.drawn += 1
            self._load.note_frame()
            with self._lock:
                self._flying[order.frame] = (time.monotonic(), len(data))
            host_us = min((time.monotonic_ns() - job.came_ns) // 1000, 2**32 - 1)
            try:
                self._send(Picture(
                    order.frame, order.captured_ns, order.portrait, host_us, is_key, order.wants_matte, data
                ))  # fmt: skip
            except (ConnectionClosed, OSError):
                return

    def _matte(self, image: RgbImage) -> AlphaImage:
        """Return the person's part of the frame drawn last, (H, W, 3); all of it where they cannot be told apart."""
        matte = self._engine.matte() if isinstance(self._engine, LayeredEngine) else None
        return np.full(image.shape[:2], 255, np.uint8) if matte is None else matte

    def _is_choked(self) -> bool:
        """Return whether so much is on its way that another picture would only wait behind."""
        with self._lock:
            if not self._flying:
                return False
            oldest_s = next(iter(self._flying.values()))[0]
            amount = sum(size for _, size in self._flying.values())
            return (
                time.monotonic() - oldest_s > IN_FLIGHT_S or amount > IN_FLIGHT_BYTES or len(self._flying) > IN_FLIGHT
            )

    def _send(self, message: FromHost) -> None:
        self._connection.send(encode(message))

    def _go_on(self) -> None:
        """Raise ConnectionError if the client has left, so that its seat is free for another one."""
        if self._left.is_set():
            raise ConnectionError("the client has left")

    def _put(self, message: FromHost) -> None:
        """Send a message to a client that may have left."""
        with contextlib.suppress(Exception):
            self._send(message)
