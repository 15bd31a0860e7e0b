"""A driver in one frame as bytes: a tracked face, or for engines that measure images the parameters found in one.

Parameters are float32, a few hundred bytes: no image can be made of them but by drawing somebody with them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.engines.base import Driving, Engine, MeasuringEngine
from avatar.errors import EngineError
from avatar.motion.parameters import MAX_SIZE, Measured
from avatar.remote import faces
from avatar.remote.protocol import ENGINES, ProtocolError, Refusal, Welcome
from avatar.system.message import Message
from avatar.tracking.face import Face

Driver = Face | Measured
_OPENINGS = 3  # of eyes and lips, behind the other numbers


@dataclass(frozen=True)
class Drawing:
    """Engine of a host, and what its clients have to send for it."""

    engine: str = ENGINES[0]
    points: int = 0  # keypoints of the parameters; 0: faces travel
    extractor: bytes = bytes(32)  # SHA-256 of the network that measures them; zeros: none

    @staticmethod
    def by(engine: Engine) -> Drawing:
        """Return that of an open engine. Raises: ValueError: it draws from images and cannot measure them before."""
        name = engine.facts.engine
        if isinstance(engine, MeasuringEngine):
            return Drawing(name, engine.points, engine.extractor_digest)
        if engine.wants.is_image or name not in ENGINES:
            raise ValueError("the driver's images do not travel")
        return Drawing(name)


def drawing_in(welcome: Welcome) -> Drawing:
    """Return what a host says that it draws with."""
    return Drawing(ENGINES[welcome.engine], welcome.points, welcome.extractor)


class OtherEngineError(EngineError):
    """A host draws with another engine than the one for which the client was opened."""

    def __init__(self, drawing: Drawing) -> None:
        super().__init__(
            Message("The host draws with {engine} now.", engine=drawing.engine),
            remedy=Message("Nothing: the avatar follows again in a moment."),
        )
        self.drawing = drawing


def check_faces(drawing: Drawing) -> None:
    """Raise OtherEngineError unless faces are what a host is to be sent."""
    if drawing.points:
        raise OtherEngineError(drawing)


def check_parameters(drawing: Drawing, points: int, extractor: bytes) -> None:
    """Raise EngineError unless a host is to be sent the parameters that this extractor measures."""
    if not drawing.points:
        raise OtherEngineError(drawing)
    if (drawing.points, drawing.extractor) != (points, extractor):
        raise EngineError(
            Message("The host draws with other weights of {engine} than those here.", engine=drawing.engine),
            remedy="Give --model here what `serve` was given there, or leave it out on both machines.",
        )


def pack_reference(driver: Driver) -> bytes:
    """Pack a driver as a whole, exactly."""
    return faces.pack_reference(driver) if isinstance(driver, Face) else _pack_parameters(driver)


def pack_motion(driver: Driver, reference: Driver) -> bytes:
    """Pack a driver against a reference of the same kind; parameters are packed exactly, and by themselves."""
    if isinstance(driver, Face) and isinstance(reference, Face):
        return faces.pack_motion(driver, reference)
    assert isinstance(driver, Measured)
    return _pack_parameters(driver)


def unpack_reference(data: bytes, points: int) -> Driver:
    """Unpack a driver; `points` as in Drawing. Raises: ProtocolError: it is none, or out of all proportion."""
    return _unpack_parameters(data, points) if points else faces.unpack_reference(data)


def unpack_motion(data: bytes, reference: Driver, points: int) -> Driver:
    """Unpack a driver that was packed against the reference. Raises: ProtocolError: likewise."""
    return faces.unpack_motion(data, reference) if isinstance(reference, Face) else _unpack_parameters(data, points)


def driving_by(driver: Driver, *, frame_width_px: int | None = None, weight: float = 1.0) -> Driving:
    """Return the driving input of an engine."""
    if isinstance(driver, Face):
        return Driving(face=driver, frame_width_px=frame_width_px, weight=weight)
    return Driving(measured=driver, weight=weight)


def _pack_parameters(measured: Measured) -> bytes:
    """Pack 10 + 3 K float32: angles, translation, scale, expression, openings."""
    return np.concatenate([np.ravel(getattr(measured, name)) for name in _sizes(0)]).astype("<f4").tobytes()


def _unpack_parameters(data: bytes, points: int) -> Measured:
    """Unpack the parameters of `points` keypoints. Raises: ProtocolError: others, or numbers that cannot be."""
    sizes = _sizes(points)
    if len(data) != 4 * sum(sizes.values()):
        raise ProtocolError(Refusal.MALFORMED)
    values = np.frombuffer(data, "<f4").astype(np.float32)
    known = values if np.isfinite(values[-_OPENINGS:]).any() else values[:-_OPENINGS]  # unknown: all of them NaN
    if not (np.isfinite(known).all() and np.abs(known).max() <= MAX_SIZE):
        raise ProtocolError(Refusal.MALFORMED)
    if known is not values and not np.isnan(values[-_OPENINGS:]).all():
        raise ProtocolError(Refusal.MALFORMED)
    parts = dict(zip(sizes, np.split(values, np.cumsum(list(sizes.values()))[:-1]), strict=True))
    return Measured(**parts | {"expression": parts["expression"].reshape(points, 3)})


def _sizes(points: int) -> dict[str, int]:
    """Return how many numbers each field of Measured has, in their order on the way."""
    return {"angles_deg": 3, "translation": 3, "scale": 1, "expression": 3 * points, "openings": _OPENINGS}
