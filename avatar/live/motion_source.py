"""The motion source of the portrait: the tracked face, the idle motion, or a transition between the two."""

from __future__ import annotations

from dataclasses import dataclass

from avatar.frames import RgbImage
from avatar.live.calibration import Calibration
from avatar.live.observation import Observation
from avatar.motion.blend import blend, carry
from avatar.motion.overlay import ExpressionOverlay, expression_of
from avatar.motion.presence import HOLD_S
from avatar.motion.reference import neutral_frame
from avatar.motion.smoothstep import smoothstep
from avatar.motion.track import MotionTrack
from avatar.tracking.face import Face

EASE_S = 0.7  # duration of the transition to idle motion after HOLD_S, within a second of the loss
CATCH_S = 0.4  # duration of the transition back to the driver


@dataclass(frozen=True, eq=False)
class DrivingState:
    """Driving input of an engine for one frame."""

    face: Face
    reference: Face  # reference face; another object only when it has changed
    following: bool  # True: the driver is followed; False: the idle motion
    image: RgbImage | None = None  # (h, w, 3), input of engines that draw from images; None: no driver in this frame
    reference_image: RgbImage | None = None  # (h, w, 3); another object only when it has changed
    reference_moment: tuple[RgbImage, ...] = ()  # more images of the moment of `reference_image`
    captured_ns: int = 0  # when the driver was seen so, for engines that draw elsewhere


@dataclass(frozen=True, eq=False)
class _Transition:
    """A transition from the last shown face to the current driver or idle motion."""

    anchor: Face
    began_s: float
    length_s: float

    def share(self, now_s: float) -> float:
        return float(smoothstep((now_s - self.began_s) / self.length_s))


class MotionSource:
    """Motion of one driver. Not thread-safe; the caller passes the time. Output is continuous across transitions."""

    def __init__(self, calibration: Calibration, idle: MotionTrack) -> None:
        self._calibration, self._idle = calibration, idle
        self._idle_reference = idle.face(neutral_frame(idle))
        self._person = calibration.person
        self._face: Face | None = None  # the driver's last face
        self._seen_s = 0.0
        self._following = False
        self._transition: _Transition | None = None
        self.overlay = ExpressionOverlay()  # of the engine's thread
        self._shown: DrivingState | None = None

    def drive(self, observation: Observation | None, now_s: float) -> DrivingState:
        """Return the driving state for this frame.

        Args:
            observation: the driver; None if no face is seen.
            now_s: non-decreasing.
        """
        reference = self._calibration.reference(now_s) or self._idle_reference
        if observation is not None:
            self._face, self._seen_s = observation.face, now_s
        following = self._face is not None and now_s - self._seen_s <= HOLD_S
        stranger = self._person != self._calibration.person
        if self._shown is not None and (following != self._following or stranger):
            before = self._shown
            anchor = carry(before.face, before.reference, reference) if stranger else before.face
            self._transition = _Transition(anchor, now_s, CATCH_S if following else EASE_S)
        self._following, self._person = following, self._calibration.person
        target = self._face if following and self._face is not None else self._idling(reference, now_s)
        target = self.overlay.put_on(target, reference, now_s)
        if self._transition is not None:
            share = self._transition.share(now_s)
            target = blend(self._transition.anchor, target, share)
            self._transition = None if share >= 1 else self._transition
        image = None if observation is None else observation.image
        known = self._calibration
        self._shown = DrivingState(target, reference, following, image, known.image, known.moment)
        return self._shown

    def expression(self, now_s: float) -> dict[str, float]:
        """Return what the driver's own face shows more than the reference face; {} if no face is followed."""
        reference = self._calibration.reference(now_s)
        return (
            {}
            if self._face is None or reference is None or not self._following
            else expression_of(self._face, reference)
        )

    def _idling(self, reference: Face, now_s: float) -> Face:
        step_s = float(self._idle.times_s[1]) if len(self._idle) > 1 else 1.0
        face = self._idle.face(round(now_s / step_s) % len(self._idle))
        return face if reference is self._idle_reference else carry(face, self._idle_reference, reference)
