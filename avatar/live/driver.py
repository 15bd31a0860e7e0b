"""What drives the portrait at each moment: the tracked face, the idle motion, or something on the way between."""

from __future__ import annotations

from dataclasses import dataclass

from avatar.frames import RgbImage
from avatar.live.calibration import Calibration
from avatar.live.moment import Moment
from avatar.motion.blend import blend, carry
from avatar.motion.reference import neutral_frame
from avatar.motion.track import MotionTrack
from avatar.smoothstep import smoothstep
from avatar.tracking.face import Face

HOLD_S = 0.25  # a face lost for less than this keeps its last motion
EASE_S = 0.7  # then the portrait goes over to the idle motion: within a second after the loss it is there
CATCH_S = 0.4  # and back to the driver, when the face is back


@dataclass(frozen=True, eq=False)
class Drive:
    """What an engine is to show."""

    face: Face
    reference: Face  # what `face` is to be compared with; another object only when it has changed
    following: bool  # the driver; False: the idle motion
    picture: RgbImage | None = None  # what engines see that work on pictures; None: no driver in this frame
    reference_picture: RgbImage | None = None  # another object only when it has changed


@dataclass(frozen=True, eq=False)
class _Transition:
    """From what was shown last to what is to be followed now."""

    anchor: Face
    began_s: float
    length_s: float

    def share(self, now_s: float) -> float:
        return float(smoothstep((now_s - self.began_s) / self.length_s))


class Driver:
    """Follows one driver; used on one thread, which tells it the time. Whatever happens, what it says never jumps."""

    def __init__(self, calibration: Calibration, idle: MotionTrack) -> None:
        self._calibration, self._idle = calibration, idle
        self._idle_reference = idle.face(neutral_frame(idle))
        self._person = calibration.person
        self._face: Face | None = None  # the driver's, as last seen
        self._seen_s = 0.0
        self._following = False
        self._transition: _Transition | None = None
        self._shown: Drive | None = None

    def drive(self, moment: Moment | None, now_s: float) -> Drive:
        """What to show now.

        Args:
            moment: the driver, or None if nobody is seen.
            now_s: never earlier than the last time.
        """
        reference = self._calibration.reference(now_s) or self._idle_reference
        if moment is not None:
            self._face, self._seen_s = moment.face, now_s
        following = self._face is not None and now_s - self._seen_s <= HOLD_S
        stranger = self._person != self._calibration.person
        if self._shown is not None and (following != self._following or stranger):
            before = self._shown
            anchor = carry(before.face, before.reference, reference) if stranger else before.face
            self._transition = _Transition(anchor, now_s, CATCH_S if following else EASE_S)
        self._following, self._person = following, self._calibration.person
        target = self._face if following and self._face is not None else self._idling(reference, now_s)
        if self._transition is not None:
            share = self._transition.share(now_s)
            target = blend(self._transition.anchor, target, share)
            self._transition = None if share >= 1 else self._transition
        picture = None if moment is None else moment.picture
        self._shown = Drive(target, reference, following, picture, self._calibration.picture)
        return self._shown

    def _idling(self, reference: Face, now_s: float) -> Face:
        step_s = float(self._idle.times_s[1]) if len(self._idle) > 1 else 1.0
        face = self._idle.face(round(now_s / step_s) % len(self._idle))
        return face if reference is self._idle_reference else carry(face, self._idle_reference, reference)
