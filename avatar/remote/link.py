"""A client's connection to a host: keeps itself up, sends the newest motion, and keeps the newest picture.

    engine thread -> newest order -> masque-remote-send -> host -> masque-remote (receives, decodes) -> newest picture

The thread `masque-remote` owns the connection and the decoder; `masque-remote-send` lives as long as one connection and
alone sends on it. Nothing is queued: an order that was not sent is replaced by the next one.
"""

from __future__ import annotations

import collections
import contextlib
import hmac
import logging
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from avatar.engines.base import Checkpoint, go_on
from avatar.errors import AvatarError, EngineError
from avatar.frames import AlphaImage, Latest, RgbImage
from avatar.remote import protocol
from avatar.remote.drivers import Drawing, Driver, check_faces, drawing_in, pack_motion, pack_reference
from avatar.remote.identity import Address, KnownHost, client_context, fingerprint_of
from avatar.remote.parcel import Parcel
from avatar.remote.pictures import PictureDecoder, stacked_height, unstacked
from avatar.remote.protocol import (
    PART_BYTES,
    VERSION,
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
    RefusedError,
    Tuning,
    Want,
    Welcome,
    encode,
    proof_of,
)
from avatar.settings import MotionSettings
from avatar.system.message import Message
from avatar.system.ports import quiet_logger
from avatar.system.program import require

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

logger = logging.getLogger(__name__)

CONNECT_S = 5.0  # for each step of connecting
SILENCE_S = 5.0  # without a message or an answer to a ping, a connection counts as lost
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # before connecting again, by the number of failures
REFUSED_S = 5.0  # likewise after a refusal
LOOK_S = 0.1  # between two looks at whether a portrait is still wanted
SEND_BUFFER_BYTES = 64 * 1024  # what is in it when a link stalls is outdated when it arrives
PORTRAITS = 3  # offered portraits that are remembered, as on the host
_REMEMBERED = 256  # orders whose times are remembered


@dataclass(frozen=True, eq=False)
class Wish:
    """A frame to be drawn."""

    portrait: int  # as numbered by `Link.offer`
    motion: MotionSettings
    reference: Driver
    frame_width_px: int
    driver: Driver
    weight: float
    captured_ns: int
    wants_matte: bool = False


@dataclass(frozen=True, eq=False)
class Received:
    """One picture of the host."""

    rgb: RgbImage  # (H, W, 3)
    captured_ns: int  # of the motion that it shows
    portrait: int
    network_ms: float  # from sending the motion to receiving this, without the host's part
    host_ms: float  # drawing and encoding
    reference: Driver  # of that motion
    matte: AlphaImage | None = None  # (H, W), if it was wanted


@dataclass(frozen=True, eq=False)
class _Sent:
    """An order on its way."""

    at_ns: int
    reference: Driver


@dataclass
class _Wire:
    """The state of one connection; guarded by the link's lock."""

    connection: ClientConnection
    offered: set[int] = field(default_factory=set)
    wanted: dict[int, int] = field(default_factory=dict)  # offset of the next part, by portrait
    ready: set[int] = field(default_factory=set)
    sent: collections.OrderedDict[int, _Sent] = field(default_factory=collections.OrderedDict)  # by frame
    received: int = 0
    wants_key: bool = False
    closed: bool = False


class Link:
    """The connection to one host; thread-safe. `start` connects in the background, again and again."""

    def __init__(self, host: KnownHost, check: Callable[[Drawing], None] = check_faces) -> None:
        """Create the link to a host without connecting.

        Args:
            host: its address and what is known of it.
            check: raises EngineError if what draws there cannot be sent what it needs.
        """
        self.host, self._check = host, check
        self.device = ""  # what draws there; known once connected
        self.problem: AvatarError | None = None  # why there is no connection; None: there is one, or none was tried
        self._changed = threading.Condition()
        self._wire: _Wire | None = None
        self._wish: Wish | None = None
        self._parcels: collections.OrderedDict[int, Parcel] = collections.OrderedDict()
        self._declined: set[int] = set()
        self._portraits = self._frames = self._references = 0  # numbers given out
        self._pictures: Latest[Received] = Latest()
        self.sent_bytes = self.received_bytes = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="masque-remote", daemon=True)

    @property
    def is_up(self) -> bool:
        """True while a host is connected."""
        return self._wire is not None

    def start(self) -> None:
        """Start the thread; call once."""
        self._thread.start()

    def offer(self, parcel: Parcel) -> int:
        """Offer a portrait to the host, now and after each new connection; return its number."""
        with self._changed:
            for number, known in self._parcels.items():
                if known.digest == parcel.digest:
                    self._parcels.move_to_end(number)
                    return number
            self._portraits += 1
            self._parcels[self._portraits] = parcel
            while len(self._parcels) > PORTRAITS:
                self._parcels.popitem(last=False)
            self._changed.notify_all()
            return self._portraits

    def wait_ready(self, number: int, timeout_s: float, checkpoint: Checkpoint = go_on) -> bool:
        """Wait until the host can draw a portrait; False if it takes longer, or without a connection.

        Args:
            number: of the portrait.
            timeout_s: how long to wait.
            checkpoint: called now and then; what it raises ends the waiting.
        """
        until_s = time.monotonic() + timeout_s
        with self._changed:
            while (left_s := until_s - time.monotonic()) > 0:
                if self._changed.wait_for(lambda: self._wire is None or self._is_settled(number), min(left_s, LOOK_S)):
                    break
                checkpoint()
            return self._wire is not None and number in self._wire.ready

    def has_declined(self, number: int) -> bool:
        """Return whether the host cannot draw a portrait."""
        with self._changed:
            return number in self._declined

    def ask(self, wish: Wish) -> None:
        """Have a frame drawn, in place of one that was not asked for yet. Returns at once."""
        with self._changed:
            self._wish = wish
            if wish.portrait in self._parcels:
                self._parcels.move_to_end(wish.portrait)  # not forgotten while it is on
            self._changed.notify_all()

    def newest(self, timeout_s: float) -> Received | None:
        """Return the newest picture that was not returned before; None after `timeout_s`."""
        return self._pictures.take(timeout_s)

    def close(self) -> None:
        """Disconnect and end the threads; safe to call twice."""
        self._closing.set()
        self._pictures.close()
        with self._changed:
            wire = self._wire
            self._changed.notify_all()
        if wire is not None:
            hang_up(wire.connection)
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(2 * CONNECT_S)

    def _is_settled(self, number: int) -> bool:
        return self._closing.is_set() or number in self._declined or (
            self._wire is not None and number in self._wire.ready
        )  # fmt: skip

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            pause_s = PAUSES_S[min(failures, len(PAUSES_S) - 1)]
            failures += 1
            try:
                with connected(self.host, only_asks=False) as (connection, welcome):
                    self._check(drawing_in(welcome))
                    failures = 0
                    self._serve(connection, welcome.device)
                self.problem = lost_error(self.host)
            except RefusedError as error:
                self.problem, pause_s = error, REFUSED_S
            except AvatarError as error:
                self.problem = error
            except Exception as error:  # outermost frame of the thread: nothing above would see it
                logger.debug("The link failed", exc_info=True)
                self.problem = EngineError(Message("The host's answers make no sense: {error}.", error=error))
            self._closing.wait(pause_s)

    def _serve(self, connection: ClientConnection, device: str) -> None:
        """Use a connection until it ends. Raises: RefusedError: the host ended it."""
        wire = _Wire(connection)
        with self._changed:
            if self._closing.is_set():
                return
            self._wire, self.device, self.problem = wire, device, None
            self._declined.clear()
        sender = threading.Thread(target=self._send, args=(wire,), name="masque-remote-send", daemon=True)
        sender.start()
        try:
            self._receive(wire)
        finally:
            with self._changed:
                wire.closed, self._wire = True, None
                self._changed.notify_all()
            hang_up(connection)
            sender.join()

    def _receive(self, wire: _Wire) -> None:
        from websockets.exceptions import ConnectionClosed

        decoder = PictureDecoder()
        while True:
            try:
                data = wire.connection.recv()
            except ConnectionClosed as error:
                if (refusal := protocol.close_reason(error)) is not None:
                    raise RefusedError(refusal) from error
                return
            except OSError:
                return
            self.received_bytes += len(data)
            message = _understood(data, self.host)
            match message:
                case Refused(refusal):
                    raise RefusedError(refusal)
                case Picture():
                    self._keep_picture(wire, decoder, message)
                case Want(number, offset):
                    with self._changed:
                        if number in wire.offered and offset % PART_BYTES == 0:
                            wire.wanted[number] = offset
                        self._changed.notify_all()
                case Ready(number) | Declined(number):
                    with self._changed:
                        (wire.ready if isinstance(message, Ready) else self._declined).add(number)
                        self._changed.notify_all()
                case _:
                    raise protocol.no_masque_error(str(self.host.address))

    def _keep_picture(self, wire: _Wire, decoder: PictureDecoder, picture: Picture) -> None:
        now_ns = time.monotonic_ns()
        with self._changed:
            parcel, sent = self._parcels.get(picture.portrait), wire.sent.get(picture.frame)
        rgb, matte = None, None
        if parcel is not None and sent is not None:
            height = stacked_height(parcel.height) if picture.has_matte else parcel.height
            with contextlib.suppress(Exception):  # FFmpegError: it asks for a key frame
                rgb = decoder.decode(picture.data, (parcel.width, height))
            if rgb is not None and picture.has_matte:
                rgb, matte = unstacked(rgb, parcel.height)
        with self._changed:
            wire.received = max(wire.received, picture.frame)
            wire.wants_key = rgb is None
        if rgb is not None and sent is not None:
            host_ms = picture.host_us / 1000
            network_ms = max(0.0, (now_ns - sent.at_ns) * 1e-6 - host_ms)
            self._pictures.put(
                Received(rgb, picture.captured_ns, picture.portrait, network_ms, host_ms, sent.reference, matte)
            )

    def _send(self, wire: _Wire) -> None:
        """Send what there is to send, until the connection ends; on a thread of its own."""
        from websockets.exceptions import ConnectionClosed

        tuning: MotionSettings | None = None
        reference: Driver | None = None
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: wire.closed or self._has_work(wire))
                    if wire.closed:
                        return
                    news = self._news(wire)
                    wish = self._wish if self._wish is not None and self._wish.portrait in wire.ready else None
                    if wish is not None:
                        self._wish = None
                for message in news:
                    self._put(wire, message)
                if wish is None:
                    continue
                if wish.motion != tuning:
                    tuning = wish.motion
                    self._put(wire, Tuning(tuning))
                if wish.reference is not reference:
                    reference = wish.reference
                    self._references += 1
                    width_px = min(max(wish.frame_width_px, 0), protocol.MAX_FRAME_WIDTH_PX)
                    self._put(wire, Reference(self._references, width_px, pack_reference(reference)))
                self._put(wire, self._order(wire, wish, reference))
        except (ConnectionClosed, OSError):
            hang_up(wire.connection)  # the receiver ends, and with it the connection

    def _has_work(self, wire: _Wire) -> bool:
        can_draw = self._wish is not None and self._wish.portrait in wire.ready
        can_offer = not self._parcels.keys() <= wire.offered and not wire.offered - wire.ready - self._declined
        return can_draw or bool(wire.wanted) or can_offer

    def _news(self, wire: _Wire) -> list[Offer | Part]:
        """Return new offers and the parts that the host wants; called with the lock held."""
        news: list[Offer | Part] = []
        for number, parcel in reversed(self._parcels.items()):
            if number not in wire.offered and not wire.offered - wire.ready - self._declined:  # one after the other
                wire.offered.add(number)
                news.append(Offer(number, len(parcel.data), self.host.keep, parcel.digest))
        for number, offset in wire.wanted.items():
            if (found := self._parcels.get(number)) is not None and offset < len(found.data):
                news.append(Part(number, offset, found.data[offset : offset + PART_BYTES]))
        wire.wanted.clear()
        return news

    def _order(self, wire: _Wire, wish: Wish, reference: Driver) -> Order:
        with self._changed:
            self._frames += 1
            frame, received, wants_key = self._frames, wire.received, wire.wants_key
            wire.wants_key = False
            wire.sent[frame] = _Sent(time.monotonic_ns(), reference)
            while len(wire.sent) > _REMEMBERED:
                wire.sent.popitem(last=False)
        driver = pack_motion(wish.driver, reference)
        return Order(
            frame, wish.captured_ns, received, wish.portrait, self._references, wish.weight, wants_key,
            wish.wants_matte, driver,
        )  # fmt: skip

    def _put(self, wire: _Wire, message: protocol.FromClient) -> None:
        data = encode(message)
        wire.connection.send(data)
        self.sent_bytes += len(data)


def ask_host(host: KnownHost) -> Drawing:
    """Ask a host whether it would accept a session; return what draws there.

    Raises:
        EngineError: it is not there, not the one that is known, or refuses.
    """
    with connected(host, only_asks=True) as (_, welcome):
        return drawing_in(welcome)


def fingerprint_at(address: Address) -> str:
    """Return the fingerprint of the certificate that is shown at an address, before anything of it is believed.

    Returns:
        64 hexadecimal digits; empty on this machine where the host speaks in the clear.
    Raises:
        EngineError: nothing answers there, or nothing that encrypts.
    """
    host = KnownHost(address, "")
    try:
        with socket.create_connection((address.host, address.port), CONNECT_S) as sock:
            try:
                with client_context().wrap_socket(sock) as secured:
                    return fingerprint_of(secured.getpeercert(binary_form=True) or b"")
            except ssl.SSLError as error:
                if address.is_here:
                    return ""
                raise protocol.no_masque_error(str(address)) from error
    except OSError as error:
        raise _unreachable(host, error) from error


@contextlib.contextmanager
def connected(host: KnownHost, *, only_asks: bool) -> Iterator[tuple[ClientConnection, Welcome]]:
    """Connect to a host and prove that both know the token; yield the connection and its answer.

    Raises:
        EngineError: it is not there, not the one that is known, or refuses.
    """
    require("websockets", "A remote host")
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    try:
        opened = connect(
            f"ws://{host.address}/", sock=_open_socket(host), compression=None, max_size=protocol.MAX_DOWN_BYTES,
            proxy=None, open_timeout=CONNECT_S, close_timeout=1, ping_interval=SILENCE_S / 2, ping_timeout=SILENCE_S,
            user_agent_header=None, max_queue=8, logger=quiet_logger(__name__),
        )  # fmt: skip
        with opened as connection:
            try:
                yield connection, _introduce(connection, host, only_asks=only_asks)
            finally:
                hang_up(connection)
    except (OSError, WebSocketException, EOFError) as error:  # a TimeoutError is an OSError
        logger.debug("No connection", exc_info=True)
        raise _unreachable(host, error) from error


def _open_socket(host: KnownHost) -> socket.socket:
    """Open a socket, encrypted and to the known certificate if there is one. Raises: OSError, EngineError."""
    sock = socket.create_connection((host.address.host, host.address.port), CONNECT_S)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if not host.fingerprint:
            return sock
        secured = client_context().wrap_socket(sock)
        sock = secured
        found = fingerprint_of(secured.getpeercert(binary_form=True) or b"")
        if not hmac.compare_digest(found, host.fingerprint):
            raise EngineError(
                Message("The host at {address} shows another certificate than is known.", address=str(host.address)),
                remedy="Compare its fingerprint with what `serve` shows there; if it differs, somebody is in between.",
            )
        return secured
    except BaseException:
        sock.close()
        raise


def _introduce(connection: ClientConnection, host: KnownHost, *, only_asks: bool) -> Welcome:
    """Exchange the first messages; return the host's answer. Raises: EngineError, TimeoutError, WebSocketException."""
    challenge = _understood(connection.recv(CONNECT_S), host)
    if isinstance(challenge, Refused):
        raise RefusedError(challenge.refusal)
    if not isinstance(challenge, protocol.Challenge):
        raise protocol.no_masque_error(str(host.address))
    nonces = challenge.nonce + (own := secrets.token_bytes(protocol.NONCE_BYTES))
    proof = proof_of(host.token, "client", nonces, host.fingerprint)
    connection.send(encode(protocol.Hello(VERSION, only_asks, own, proof)))
    answer = _understood(connection.recv(CONNECT_S), host)
    if isinstance(answer, Refused):
        raise RefusedError(answer.refusal)
    if not isinstance(answer, Welcome):
        raise protocol.no_masque_error(str(host.address))
    if not hmac.compare_digest(answer.proof, proof_of(host.token, "host", nonces, host.fingerprint)):
        raise protocol.no_masque_error(str(host.address))
    return answer


def _understood(data: object, host: KnownHost) -> FromHost:
    """Parse a message of the host. Raises: EngineError: it is none."""
    try:
        return protocol.read_from_host(data)
    except ProtocolError as error:
        if error.refusal is Refusal.VERSION:
            raise RefusedError(Refusal.VERSION) from error
        raise protocol.no_masque_error(str(host.address)) from error


def _unreachable(host: KnownHost, error: Exception) -> EngineError:
    from websockets.exceptions import WebSocketException

    if isinstance(error, WebSocketException | EOFError):
        return protocol.no_masque_error(str(host.address))
    why = "it does not answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or error
    return EngineError(
        Message("The host at {address} cannot be reached: {why}.", address=str(host.address), why=why),
        remedy="Check that `serve` runs there, and that no firewall is between.",
    )


def lost_error(host: KnownHost) -> EngineError:
    """Return the error for a connection that ended."""
    return EngineError(Message("The connection to the host at {address} was lost.", address=str(host.address)))


def hang_up(connection: ClientConnection) -> None:
    """End a connection at once: its socket may be full, so that a closing message would wait."""
    with contextlib.suppress(OSError):
        # Below TLS, whose own method would let a message of another thread out in the clear.
        socket.socket.shutdown(connection.socket, socket.SHUT_RDWR)
