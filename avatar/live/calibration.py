"""The reference frame while Masque runs: found at first sight, on request, by a countdown, or by searching on.

A change never makes the avatar jump: the old reference frame goes over into the new one in BLEND_S.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from avatar.frames import RgbImage
from avatar.live.drift import Drift
from avatar.live.events import CalibrationCountdown, CalibrationDone, CalibrationRefused, DriftHint, Event
from avatar.live.moment import Moment
from avatar.motion.blend import blend, in_pose
from avatar.motion.neutrality import CLOSED_EYES, OPEN_MOUTH, TURNED_HEAD, flaw, neutrality
from avatar.motion.reference import neutral_frame
from avatar.motion.track import MotionTrack
from avatar.smoothstep import smoothstep
from avatar.tracking.face import Face, HeadPose
from avatar.tracking.pose import pose_of_angles

BLEND_S = 0.5  # how long one reference frame takes to become the next
COUNT_FROM = 3  # seconds of the countdown
LOOK_S, LONGEST_LOOK_S = 1.5, 4.5  # what follows it; longer where the engine draws but a few frames a second
FEWEST_LOOKS = 5
GOOD_SHARE = 0.25  # of the looks, that must show a face fit for a reference frame
INSTANT_S = 0.3  # an instant calibration takes the best moment of this time, so that a blink does no harm
RECENT_S = 0.7  # where somebody sits is told by this much of the past
FIRST_S = 1.5  # after the first face is seen, a more neutral moment replaces it without being asked for
BETTER_BY, SEARCH_PAUSE_S = 0.03, 1.0  # how much better, and how seldom, a search replaces the reference frame
CALM_DEG, CALM_CHANGE = 2.0, 0.12  # per frame, turn and change of a coefficient: below these nobody is moving
MOST_UNDONE = 20

NOBODY = "No face is in view. Look into the camera and calibrate again."
_REFUSALS = {
    CLOSED_EYES: "Your eyes were closed. Look into the camera and calibrate again.",
    OPEN_MOUTH: "Your mouth was open. Close it and calibrate again.",
    TURNED_HEAD: "Your head was turned. Look straight into the camera and calibrate again.",
}


@dataclass
class _Guided:
    """A countdown and the looks that follow it."""

    began_s: float
    told: int = COUNT_FROM + 1  # the last number that was told
    looks: int = 0
    moments: list[Moment] = field(default_factory=list)

    def look(self, moment: Moment | None, now_s: float) -> None:
        """Count a frame, once the countdown is over."""
        if now_s - self.began_s >= COUNT_FROM:
            self.looks += 1
            self.moments += [] if moment is None else [moment]


class Calibration:
    """Keeps the reference frame; used on one thread, which tells it the time."""

    def __init__(self, report: Callable[[Event], None], *, search: bool = False, drift_hint: bool = True) -> None:
        self._report = report
        self.search, self.drift_hint = search, drift_hint
        self.person = 0  # counts those who were seen for the first time, and cuts: what was shown goes over into them
        self._target: Moment | None = None  # where the reference frame is or goes
        self._expired = False  # the next face is somebody else's
        self._score = 0.0  # of it
        self._from: Face | None = None  # where it came from
        self._changed_s = -math.inf
        self._before: list[tuple[Moment, float]] = []  # for undo, with their scores
        self._recent: collections.deque[tuple[float, Moment]] = collections.deque()
        self._first_s: float | None = None
        self._guided: _Guided | None = None
        self._drift = Drift()

    @property
    def picture(self) -> RgbImage | None:
        """The reference frame's picture; None before a face was ever seen."""
        return None if self._target is None else self._target.picture

    def reference(self, now_s: float) -> Face | None:
        """The reference frame's face at this time; None before a face was ever seen."""
        if self._target is None:
            return None
        share = float(smoothstep((now_s - self._changed_s) / BLEND_S))
        if share >= 1:
            self._from = None
        return self._target.face if self._from is None else blend(self._from, self._target.face, share)

    def observe(self, moment: Moment | None, now_s: float) -> None:
        """Look at the driver, once per frame; None: not seen."""
        while self._recent and self._recent[0][0] < now_s - RECENT_S:
            self._recent.popleft()
        before = self._recent[-1][1] if self._recent else None
        if moment is not None:
            self._recent.append((now_s, moment))
            self._at_first_sight(moment, now_s)
            self._consider(before, moment, now_s)
            self._watch_drift(moment.face, now_s)
        if self._guided is not None:
            self._guided.look(moment, now_s)
        self.pass_time(now_s)

    def pass_time(self, now_s: float) -> None:
        """Let a countdown go on, also while there are no frames."""
        if self._guided is not None:
            self._guide(self._guided, now_s)

    def calibrate(self, now_s: float) -> None:
        """Take the most neutral moment of the last instants."""
        moments = [moment for time_s, moment in self._recent if time_s >= now_s - INSTANT_S]
        if not moments:
            self._report(CalibrationRefused(NOBODY))
            return
        self._take(max(moments, key=lambda moment: neutrality(moment.face)), now_s, "instant")

    def start_guided(self, now_s: float) -> None:
        """Begin the countdown, afresh if one is running."""
        self._guided = _Guided(now_s)

    def undo(self, now_s: float) -> None:
        """Go back to the reference frame before, and end a countdown."""
        self._guided = None
        if not self._before:
            self._report(CalibrationRefused("There is no earlier reference frame to go back to."))
            return
        moment, score = self._before.pop()
        self._go_to(moment, score, now_s)
        self._report(CalibrationDone(score, "undo"))

    def recentre(self, now_s: float) -> None:
        """Where the driver sits and faces now becomes straight ahead; what counts as a calm face stays."""
        if not self._recent:
            self._report(CalibrationRefused(NOBODY))
            return
        latest = self._recent[-1][1]
        pose = _mean_pose([moment.face.pose for _, moment in self._recent])
        calm = latest if self._target is None else self._target
        self._take(Moment(in_pose(calm.face, pose), latest.picture), now_s, "recentre")

    def rebase(self, face: Face) -> None:
        """After a cut: where the head is now counts as its place and size; turns and expression stay."""
        self._go_over(lambda moment: moment.placed(face.pose))
        if self._guided is not None:
            self._guided.moments.clear()
            self._guided.looks = 0

    def rescale(self, times: float) -> None:
        """Note that the camera's pictures are `times` as large from now on, and show the same."""
        self._go_over(lambda moment: moment.scaled(times))
        if self._guided is not None:
            self._guided.moments = [moment.scaled(times) for moment in self._guided.moments]

    def _go_over(self, change: Callable[[Moment], Moment]) -> None:
        """Change everything that is kept, at once: what is shown goes over by itself."""
        self.person += 1
        self._from = None
        self._recent.clear()
        self._target = None if self._target is None else change(self._target)
        self._before = [(change(moment), score) for moment, score in self._before]
        self._drift.reset()

    def mirror(self, width_px: int) -> None:
        """The driver is seen in a mirror from now on, or no longer."""
        self._go_over(lambda moment: moment.mirrored(width_px))

    def forget(self) -> None:
        """Another source: the next face is the first again, and until then the reference frame stays."""
        self._expired, self._guided = True, None
        self._before.clear()
        self._recent.clear()

    def _at_first_sight(self, moment: Moment, now_s: float) -> None:
        if self._target is None or self._expired:
            self._expired, self._from = False, None
            self._first_s = now_s
            self._target, self._score = moment, neutrality(moment.face)
            self.person += 1
            self._drift.reset()
            self._report(CalibrationDone(self._score, "first"))

    def _consider(self, before: Moment | None, moment: Moment, now_s: float) -> None:
        """Replace the reference frame by a better moment, while that is wanted."""
        first = self._first_s is not None and now_s - self._first_s < FIRST_S
        if not (first or self.search) or before is None or now_s - self._changed_s < (0 if first else SEARCH_PAUSE_S):
            return
        score = neutrality(moment.face)
        if score > self._score + BETTER_BY and flaw(moment.face) is None and _calm(before.face, moment.face):
            self._go_to(moment, score, now_s)
            self._report(CalibrationDone(score, "first" if first else "search"))

    def _watch_drift(self, face: Face, now_s: float) -> None:
        if self._target is not None and self._drift.far_for_long(self._target.face, face, now_s) and self.drift_hint:
            self._report(DriftHint())

    def _guide(self, guided: _Guided, now_s: float) -> None:
        elapsed_s = now_s - guided.began_s
        left = max(COUNT_FROM - math.floor(elapsed_s), 0)
        if left < guided.told:
            guided.told = left
            self._report(CalibrationCountdown(left))
        looked_s = elapsed_s - COUNT_FROM
        if looked_s >= LONGEST_LOOK_S or (looked_s >= LOOK_S and guided.looks >= FEWEST_LOOKS):
            self._guided = None
            self._choose(guided, now_s)

    def _choose(self, guided: _Guided, now_s: float) -> None:
        flaws = [flaw(moment.face) for moment in guided.moments]
        good = [moment for moment, found in zip(guided.moments, flaws, strict=True) if found is None]
        if len(good) < max(1.0, GOOD_SHARE * guided.looks):
            found = [each for each in flaws if each is not None]
            seen = len(guided.moments) > 0.5 * guided.looks
            why = _REFUSALS[max(set(found), key=found.count)] if found and seen else NOBODY
            self._report(CalibrationRefused(why))
            return
        self._take(good[neutral_frame(_as_track([moment.face for moment in good]))], now_s, "guided")

    def _take(self, moment: Moment, now_s: float, how: str) -> None:
        if self._target is not None:
            self._before = [*self._before[1 - MOST_UNDONE :], (self._target, self._score)]
        self._first_s = None  # chosen by the user: nothing replaces it unasked
        self._go_to(moment, neutrality(moment.face), now_s)
        self._report(CalibrationDone(self._score, how))

    def _go_to(self, moment: Moment, score: float, now_s: float) -> None:
        self._from = self.reference(now_s)
        self._target, self._score, self._changed_s = moment, score, now_s
        self._drift.reset()


def _calm(before: Face, face: Face) -> bool:
    one, other = before.pose, face.pose
    turn = max(
        abs(one.yaw_deg - other.yaw_deg), abs(one.pitch_deg - other.pitch_deg), abs(one.roll_deg - other.roll_deg)
    )
    return turn < CALM_DEG and float(np.abs(before.blendshapes - face.blendshapes).max()) < CALM_CHANGE


def _mean_pose(poses: Sequence[HeadPose]) -> HeadPose:
    yaw, pitch, roll = np.mean([[pose.yaw_deg, pose.pitch_deg, pose.roll_deg] for pose in poses], axis=0).tolist()
    centre = np.asarray(np.mean([pose.centre_px for pose in poses], axis=0), np.float32)
    return pose_of_angles(yaw, pitch, roll, centre, float(np.mean([pose.scale_px for pose in poses])))


def _as_track(faces: Sequence[Face]) -> MotionTrack:
    return MotionTrack(
        landmarks=np.stack([face.landmarks for face in faces]),
        blendshapes=np.stack([face.blendshapes for face in faces]),
        presence=np.array([max(face.presence, 1e-3) for face in faces], np.float32),
        times_s=np.arange(len(faces), dtype=np.float64),
        width_px=1,
        height_px=1,
        name="",
    )
