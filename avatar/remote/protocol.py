"""The messages between a host that draws and the machine with the camera: bounded, versioned, nothing pickled.

Every WebSocket message is one of these: a byte that names its kind, then fields of fixed sizes, little-endian; only the
last field may vary in length. A host begins with `Challenge`, a client answers with `Hello`, and each of both proves
that it knows the token without sending it (HMAC, RFC 2104), bound to both nonces and to the host's certificate.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import hmac
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from avatar.errors import EngineError
from avatar.motion.parameters import MAX_POINTS
from avatar.settings import MotionSettings
from avatar.system.message import Message

if TYPE_CHECKING:
    from websockets.exceptions import ConnectionClosed

VERSION = 2
PORT = 8974
MAGIC = b"MASQ"
NONCE_BYTES = PROOF_BYTES = DIGEST_BYTES = 32

MAX_UP_BYTES = 68 * 1024  # of one message of a client: a part of a portrait and its head
MAX_DOWN_BYTES = 4 * 2**20  # of one message of a host: a key frame
PART_BYTES = 64 * 1024
MAX_PORTRAIT_BYTES = 48 * 2**20  # packed; a canvas of 8.8 megapixels has 27 MB
MAX_DRIVER_BYTES = 12 * 1024  # of a packed face, or of the parameters of MAX_POINTS keypoints
ENGINES = ("warp", "liveportrait")  # that a host may draw with; their places are part of the protocol
MAX_TUNING_BYTES = 2048
MAX_FRAME_WIDTH_PX = 65535
TOO_LARGE = 1009  # RFC 6455, 7.4.1
MAX_DEVICE_BYTES = 200


def _require(sound: bool) -> None:
    if not sound:
        raise ValueError("out of range")


class Refusal(enum.IntEnum):
    """Reason for which a host ends a session; the numbers are part of the protocol."""

    VERSION = 1
    TOKEN = 2
    FULL = 3
    MALFORMED = 4
    ORDER = 5
    REPLAY = 6
    RATE = 7
    SLOW = 8
    ENDING = 9
    FAILED = 10
    SIZE = 11


_ERRORS = {  # for the client's user
    Refusal.VERSION: EngineError(
        "The host runs another version of Masque.", remedy="Install the same version on both machines."
    ),
    Refusal.TOKEN: EngineError(
        "The host does not accept this token.", remedy="Give --token what `serve` shows with --show-token."
    ),
    Refusal.FULL: EngineError(
        "The host is full: with another session it would be too slow for all.", remedy="Wait, or use another host."
    ),
    Refusal.MALFORMED: EngineError(
        "The host could not read a message.", remedy="Install the same version on both machines."
    ),
    Refusal.ORDER: EngineError(
        "The host got messages in a wrong order.", remedy="Install the same version on both machines."
    ),
    Refusal.REPLAY: EngineError(
        "The host got a message twice.", remedy="Connect again; if it happens again, somebody may interfere."
    ),
    Refusal.RATE: EngineError("The host was sent too much.", remedy="Lower the camera's rate."),
    Refusal.SLOW: EngineError("The host waited too long for a message.", remedy="Check the network."),
    Refusal.ENDING: EngineError("The host ends.", remedy="Start it again, or use another host."),
    Refusal.FAILED: EngineError("The host could not draw.", remedy="Look at what it says, and start it again."),
    Refusal.SIZE: EngineError(
        "The host got a message that is too large.", remedy="Install the same version on both machines."
    ),
}


class ProtocolError(Exception):
    """The other side broke the protocol."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.name)
        self.refusal = refusal


def close_reason(error: ConnectionClosed) -> Refusal | None:
    """Return why a connection was closed, where the WebSocket library says so: a message over its limit."""
    ends = [end for end in (error.rcvd, error.sent) if end is not None]
    return Refusal.SIZE if any(end.code == TOO_LARGE for end in ends) else None


class RefusedError(EngineError):
    """The host refuses a session, or ends it."""

    def __init__(self, refusal: Refusal) -> None:
        told = _ERRORS[refusal]
        super().__init__(told.what, remedy=told.remedy)
        self.refusal = refusal


@dataclass(frozen=True)
class Challenge:
    """The first message of a host."""

    version: int
    nonce: bytes


@dataclass(frozen=True)
class Hello:
    """The first message of a client."""

    version: int
    only_asks: bool  # asks whether a session would be accepted, without beginning one
    nonce: bytes
    proof: bytes


@dataclass(frozen=True)
class Offer:
    """A portrait that may be drawn, named by what it is; sent in parts if the host wants it."""

    number: int  # by which later messages name it; the client's choice
    size: int  # in bytes, packed
    keep: bool  # the host may keep it after the session
    digest: bytes  # SHA-256 of the packed portrait

    def __post_init__(self) -> None:
        _require(1 <= self.size <= MAX_PORTRAIT_BYTES)


@dataclass(frozen=True)
class Part:
    """The part of an offered portrait that the host asked for."""

    number: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Reference:
    """The reference of all following motion; see `drivers.pack_reference`."""

    number: int
    frame_width_px: int  # 0: unknown
    driver: bytes

    def __post_init__(self) -> None:
        _require(self.frame_width_px <= MAX_FRAME_WIDTH_PX)


@dataclass(frozen=True)
class Tuning:
    """The motion transfer from the next frame on."""

    motion: MotionSettings


@dataclass(frozen=True)
class Order:
    """One frame to be drawn."""

    frame: int  # increases from message to message
    captured_ns: int  # on the client's clock; comes back with the picture
    received: int  # the newest frame that the client has; 0: none
    portrait: int
    reference: int
    weight: float  # 0..1, of the motion
    wants_key: bool  # the client cannot decode the next picture unless it is a key frame
    wants_matte: bool  # the client puts another background behind the person
    driver: bytes  # against the reference, see `drivers.pack_motion`

    def __post_init__(self) -> None:
        _require(0.0 <= self.weight <= 1.0)  # nor NaN


@dataclass(frozen=True)
class Welcome:
    """The session begins."""

    proof: bytes
    engine: int  # that draws, by its place in ENGINES
    points: int  # keypoints of the parameters that travel; 0: faces travel
    extractor: bytes  # SHA-256 of the network that the client has to measure them with; zeros: none
    device: str  # what draws, for the user

    def __post_init__(self) -> None:
        _require(self.engine < len(ENGINES) and self.points <= MAX_POINTS)
        _require((self.points > 0) == (ENGINES[self.engine] != "warp"))


@dataclass(frozen=True)
class Refused:
    """The session ends, or does not begin."""

    refusal: Refusal


@dataclass(frozen=True)
class Want:
    """The next part of an offered portrait is wanted."""

    number: int
    offset: int


@dataclass(frozen=True)
class Ready:
    """An offered portrait can be drawn."""

    number: int
    width: int
    height: int


@dataclass(frozen=True)
class Declined:
    """An offered portrait cannot be drawn."""

    number: int


@dataclass(frozen=True)
class Picture:
    """One drawn frame as H.264: exactly the packet of one frame."""

    frame: int
    captured_ns: int
    portrait: int
    host_us: int  # from the order's arrival until this was sent
    is_key: bool
    has_matte: bool  # below the image, see `pictures.stacked`
    data: bytes


FromClient = Hello | Offer | Part | Reference | Tuning | Order
FromHost = Challenge | Welcome | Refused | Want | Ready | Declined | Picture


@dataclass(frozen=True)
class _Form:
    """Bytes of a kind of message after its number: the fields in their order, the last one of varying length."""

    kind: int
    fields: struct.Struct
    last_bytes: tuple[int, int] | None = None  # least and most; None: all have fixed sizes


_FORMS: dict[type, _Form] = {
    Challenge: _Form(1, struct.Struct("<H32s")),
    Hello: _Form(2, struct.Struct("<H?32s32s")),
    Offer: _Form(3, struct.Struct("<II?32s")),
    Part: _Form(4, struct.Struct("<II"), (1, PART_BYTES)),
    Reference: _Form(5, struct.Struct("<II"), (1, MAX_DRIVER_BYTES)),
    Tuning: _Form(6, struct.Struct("<"), (1, MAX_TUNING_BYTES)),
    Order: _Form(7, struct.Struct("<IQIIIf??"), (1, MAX_DRIVER_BYTES)),
    Welcome: _Form(8, struct.Struct("<32sBH32s"), (0, MAX_DEVICE_BYTES)),
    Refused: _Form(9, struct.Struct("<"), (1, 1)),
    Want: _Form(10, struct.Struct("<II")),
    Ready: _Form(11, struct.Struct("<IHH")),
    Declined: _Form(12, struct.Struct("<I")),
    Picture: _Form(13, struct.Struct("<IQII??"), (1, MAX_DOWN_BYTES)),
}
_TYPES = {form.kind: kind for kind, form in _FORMS.items()}
_VERSION = struct.Struct("<H")


def encode(message: FromClient | FromHost) -> bytes:
    """Return the bytes of a message."""
    form = _FORMS[type(message)]
    values = [getattr(message, each.name) for each in dataclasses.fields(message)]
    last = b"" if form.last_bytes is None else _as_bytes(values.pop())
    magic = MAGIC if isinstance(message, Challenge | Hello) else b""
    return bytes([form.kind]) + magic + form.fields.pack(*values) + last


def read_from_client(data: object) -> FromClient:
    """Parse a message of a client. Raises: ProtocolError: it is none, or too large."""
    message = _read(data, MAX_UP_BYTES)
    if not isinstance(message, FromClient):
        raise ProtocolError(Refusal.MALFORMED)
    return message


def read_from_host(data: object) -> FromHost:
    """Parse a message of a host. Raises: ProtocolError: it is none, or too large."""
    message = _read(data, MAX_DOWN_BYTES)
    if not isinstance(message, FromHost):
        raise ProtocolError(Refusal.MALFORMED)
    return message


def is_kind(data: object, kind: type[FromHost]) -> bool:
    """Return whether bytes begin like a kind of message, without parsing them."""
    return isinstance(data, bytes) and data[:1] == bytes([_FORMS[kind].kind])


def _read(data: object, most_bytes: int) -> FromClient | FromHost:
    if not isinstance(data, bytes) or not 1 <= len(data) <= most_bytes:
        raise ProtocolError(Refusal.MALFORMED)
    try:
        return _parsed(data)
    except (struct.error, ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ProtocolError(Refusal.MALFORMED) from error


def _parsed(data: bytes) -> FromClient | FromHost:
    """Parse a message. Raises: struct.error, ValueError, ProtocolError."""
    kind = _TYPES.get(data[0])
    if kind is None:
        raise ValueError("an unknown kind of message")
    body = data[1:]
    if kind in (Challenge, Hello):
        body = _same_version(body)
    form = _FORMS[kind]
    values = list(form.fields.unpack_from(body))
    last = body[form.fields.size :]
    least, most = form.last_bytes or (0, 0)
    if not least <= len(last) <= most:
        raise ValueError("a wrong length")
    if form.last_bytes is not None:
        values.append(_READERS.get(kind, bytes)(last))
    message: FromClient | FromHost = kind(*values)
    return message


def _same_version(body: bytes) -> bytes:
    """Return a first message after its magic. Raises: ProtocolError: another version, which may go on differently."""
    if body[: len(MAGIC)] != MAGIC:
        raise ProtocolError(Refusal.MALFORMED)
    body = body[len(MAGIC) :]
    if _VERSION.unpack_from(body)[0] != VERSION:
        raise ProtocolError(Refusal.VERSION)
    return body


def _as_bytes(value: bytes | str | Refusal | MotionSettings) -> bytes:
    """Return the last field of a message as bytes."""
    match value:
        case bytes():
            return value
        case str():
            return value.encode()[:MAX_DEVICE_BYTES]
        case Refusal():
            return bytes([value])
        case MotionSettings():
            return json.dumps(dataclasses.asdict(value)).encode()


def _motion(data: bytes) -> MotionSettings:
    """Parse the motion transfer: JSON with exactly its fields."""
    values, usual = json.loads(data.decode()), dataclasses.asdict(MotionSettings())
    if not isinstance(values, dict) or values.keys() != usual.keys():
        raise ValueError("other fields")
    if any(type(values[name]) is not type(like) for name, like in usual.items()):
        raise ValueError("another type")
    return MotionSettings(**values)


_READERS: dict[type, Callable[[bytes], Any]] = {  # of last fields that are not bytes
    Tuning: _motion,
    Welcome: bytes.decode,
    Refused: lambda data: Refusal(data[0]),
}


def proof_of(token: str, who: str, nonces: bytes, fingerprint: str) -> bytes:
    """Return what proves the knowledge of the token, (32,) bytes.

    Args:
        token: the secret.
        who: "client" or "host", so that neither can send back what the other sent.
        nonces: of the host, then of the client.
        fingerprint: of the host's certificate as its sender sees it; empty without TLS. Who is in between has another.
    """
    said = b"\0".join((b"masque", str(VERSION).encode(), who.encode(), fingerprint.encode())) + b"\0" + nonces
    return hmac.new(token.encode(), said, hashlib.sha256).digest()


def no_masque_error(address: str) -> EngineError:
    """Return the error for an address where something else answers."""
    return EngineError(
        Message("At {address} there is no Masque host, or a part of the connection is changed.", address=address),
        remedy="Check the address; a host beyond this machine also needs its fingerprint.",
    )
