"""Calibration of the live pipeline: the reference frame is taken at first sight, on request, by a countdown or search.

A change never makes the avatar jump: the old reference frame is blended into the new one over BLEND_S.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from avatar.frames import RgbImage
from avatar.live.drift import Drift
from avatar.live.events import CalibrationCountdown, CalibrationDone, CalibrationRefused, DriftHint, Event
from avatar.live.observation import Observation
from avatar.motion.blend import blend, in_pose
from avatar.motion.neutrality import CLOSED_EYES, OPEN_MOUTH, TURNED_HEAD, flaw, neutrality
from avatar.motion.reference import neutral_frame
from avatar.motion.smoothstep import smoothstep
from avatar.motion.track import MotionTrack
from avatar.tracking.face import Face, HeadPose
from avatar.tracking.pose import pose_of_angles

BLEND_S = 0.5  # duration of the blend between two reference frames
COUNT_FROM = 3  # seconds of the countdown
LOOK_S, LONGEST_LOOK_S = 1.5, 4.5  # sampling time after it; longer for an engine with few frames a second
FEWEST_LOOKS = 5  # minimum number of sampled frames
GOOD_SHARE = 0.25  # fraction of the sampled frames that must be usable as a reference frame
INSTANT_S = 0.3  # an instant calibration takes the best frame of this time, so that a blink does no harm
RECENT_S = 0.7  # averaging window for the resting head position, in seconds
FIRST_S = 1.5  # time after the first face in which a more neutral frame replaces it automatically
BETTER_BY, SEARCH_PAUSE_S = 0.03, 1.0  # minimum improvement, and minimum interval, for a search to replace it
CALM_DEG, CALM_CHANGE = 2.0, 0.12  # rotation and change of a coefficient per frame below which the driver is still
MOST_AVERAGED = 8  # images of a guided calibration that are kept for engines that average them
MOST_UNDONE = 20  # length of the undo history

NOBODY = "No face is in view. Look into the camera and calibrate again."
_REFUSALS = {
    CLOSED_EYES: "Your eyes were closed. Look into the camera and calibrate again.",
    OPEN_MOUTH: "Your mouth was open. Close it and calibrate again.",
    TURNED_HEAD: "Your head was turned. Look straight into the camera and calibrate again.",
}


@dataclass
class _Guided:
    """A guided calibration: a countdown, then a sampling period."""

    began_s: float
    told: int = COUNT_FROM + 1  # the last number that was reported
    looks: int = 0  # sampled frames
    moments: list[Observation] = field(default_factory=list)

    def look(self, observation: Observation | None, now_s: float) -> None:
        """Sample a frame, once the countdown is over."""
        if now_s - self.began_s >= COUNT_FROM:
            self.looks += 1
            self.moments += [] if observation is None else [observation]


class Calibration:
    """Keeper of the reference frame. Not thread-safe; the caller passes the time."""

    def __init__(self, report: Callable[[Event], None], *, search: bool = False, drift_hint: bool = True) -> None:
        self._report = report
        self.search, self.drift_hint = search, drift_hint
        self.person = 0  # incremented for a new driver and at cuts, which start a transition
        self._target: Observation | None = None  # the reference frame, or the one that is being blended to
        self._expired = False  # the next face belongs to a new source
        self._score = 0.0  # neutrality of the target
        self._from: Face | None = None  # the reference face that is being blended from
        self._changed_s = -math.inf
        self._before: list[tuple[Observation, float]] = []  # undo history, with scores
        self._recent: collections.deque[tuple[float, Observation]] = collections.deque()
        self._first_s: float | None = None
        self._guided: _Guided | None = None
        self._drift = Drift()

    @property
    def image(self) -> RgbImage | None:
        """The reference frame's image; None before the first face."""
        return None if self._target is None else self._target.image

    @property
    def moment(self) -> tuple[RgbImage, ...]:
        """More images of the reference frame's moment; empty unless a guided calibration took them."""
        return () if self._target is None else self._target.moment

    def reference(self, now_s: float) -> Face | None:
        """Return the reference face at this time, blended during a change; None before the first face."""
        if self._target is None:
            return None
        share = float(smoothstep((now_s - self._changed_s) / BLEND_S))
        if share >= 1:
            self._from = None
        return self._target.face if self._from is None else blend(self._from, self._target.face, share)

    def observe(self, observation: Observation | None, now_s: float) -> None:
        """Process the observation of a frame; None if no face was found."""
        while self._recent and self._recent[0][0] < now_s - RECENT_S:
            self._recent.popleft()
        before = self._recent[-1][1] if self._recent else None
        if observation is not None:
            self._recent.append((now_s, observation))
            self._at_first_sight(observation, now_s)
            self._consider(before, observation, now_s)
            self._watch_drift(observation.face, now_s)
        if self._guided is not None:
            self._guided.look(observation, now_s)
        self.pass_time(now_s)

    def pass_time(self, now_s: float) -> None:
        """Advance a countdown, also while there are no frames."""
        if self._guided is not None:
            self._guide(self._guided, now_s)

    def calibrate(self, now_s: float) -> None:
        """Calibrate at once: take the most neutral frame of the last INSTANT_S."""
        moments = [observation for time_s, observation in self._recent if time_s >= now_s - INSTANT_S]
        if not moments:
            self._report(CalibrationRefused(NOBODY))
            return
        self._take(max(moments, key=lambda observation: neutrality(observation.face)), now_s, "instant")

    def start_guided(self, now_s: float) -> None:
        """Start the countdown, or restart it."""
        self._guided = _Guided(now_s)

    def undo(self, now_s: float) -> None:
        """Restore the previous reference frame and cancel a countdown."""
        self._guided = None
        if not self._before:
            self._report(CalibrationRefused("There is no earlier reference frame to go back to."))
            return
        observation, score = self._before.pop()
        self._go_to(observation, score, now_s)
        self._report(CalibrationDone(score, "undo"))

    def recentre(self, now_s: float) -> None:
        """Make the driver's current pose the neutral one, keeping the reference expression."""
        if not self._recent:
            self._report(CalibrationRefused(NOBODY))
            return
        latest = self._recent[-1][1]
        pose = _mean_pose([observation.face.pose for _, observation in self._recent])
        calm = latest if self._target is None else self._target
        self._take(Observation(in_pose(calm.face, pose), latest.image), now_s, "recentre")

    def rebase(self, face: Face) -> None:
        """Adapt to a cut: take the head's position and size from `face`, keeping rotation and expression."""
        self._go_over(lambda observation: observation.placed(face.pose))
        if self._guided is not None:
            self._guided.moments.clear()
            self._guided.looks = 0

    def rescale(self, times: float) -> None:
        """Adapt to frames that are `times` as large from now on and show the same view."""
        self._go_over(lambda observation: observation.scaled(times))
        if self._guided is not None:
            self._guided.moments = [observation.scaled(times) for observation in self._guided.moments]

    def _go_over(self, change: Callable[[Observation], Observation]) -> None:
        """Apply a change to all stored observations at once; the output eases over by itself."""
        self.person += 1
        self._from = None
        self._recent.clear()
        self._target = None if self._target is None else change(self._target)
        self._before = [(change(observation), score) for observation, score in self._before]
        self._drift.reset()

    def mirror(self, width_px: int) -> None:
        """Adapt to a change of the driving mirror."""
        self._go_over(lambda observation: observation.mirrored(width_px))

    def forget(self) -> None:
        """Prepare for another source: the next face becomes the reference, which stays until then."""
        self._expired, self._guided = True, None
        self._before.clear()
        self._recent.clear()

    def _at_first_sight(self, observation: Observation, now_s: float) -> None:
        if self._target is None or self._expired:
            self._expired, self._from = False, None
            self._first_s = now_s
            self._target, self._score = observation, neutrality(observation.face)
            self.person += 1
            self._drift.reset()
            self._report(CalibrationDone(self._score, "first"))

    def _consider(self, before: Observation | None, observation: Observation, now_s: float) -> None:
        """Replace the reference frame by a more neutral one, at the start or during a search."""
        first = self._first_s is not None and now_s - self._first_s < FIRST_S
        if not (first or self.search) or before is None or now_s - self._changed_s < (0 if first else SEARCH_PAUSE_S):
            return
        score = neutrality(observation.face)
        if score > self._score + BETTER_BY and flaw(observation.face) is None and _calm(before.face, observation.face):
            self._go_to(observation, score, now_s)
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
        flaws = [flaw(observation.face) for observation in guided.moments]
        good = [observation for observation, found in zip(guided.moments, flaws, strict=True) if found is None]
        if len(good) < max(1.0, GOOD_SHARE * guided.looks):
            found = [each for each in flaws if each is not None]
            seen = len(guided.moments) > 0.5 * guided.looks
            why = _REFUSALS[max(set(found), key=found.count)] if found and seen else NOBODY
            self._report(CalibrationRefused(why))
            return
        chosen = good[neutral_frame(_as_track([observation.face for observation in good]))]
        others = [each.image for each in good if each is not chosen and each.image is not None]
        step = max(1, -(-len(others) // (MOST_AVERAGED - 1)))
        self._take(replace(chosen, moment=tuple(others[::step])), now_s, "guided")

    def _take(self, observation: Observation, now_s: float, how: str) -> None:
        if self._target is not None:
            self._before = [*self._before[1 - MOST_UNDONE :], (self._target, self._score)]
        self._first_s = None  # chosen by the user: no automatic replacement
        self._go_to(observation, neutrality(observation.face), now_s)
        self._report(CalibrationDone(self._score, how))

    def _go_to(self, observation: Observation, score: float, now_s: float) -> None:
        self._from = self.reference(now_s)
        self._target, self._score, self._changed_s = observation, score, now_s
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
