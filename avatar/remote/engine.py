"""An engine whose host draws: it sends the driver's motion, and idles here while no picture comes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatar.cv import cv2
from avatar.engines.base import Arrival, Driving, DrivingInput, EngineFacts, Portrait
from avatar.engines.warp.engine import WarpEngine, resized
from avatar.errors import EngineError
from avatar.frames import RgbImage
from avatar.motion.blend import carry
from avatar.motion.idle import RATE as IDLE_RATE
from avatar.motion.idle import load_idle
from avatar.motion.reference import neutral_frame
from avatar.motion.smoothstep import smoothstep
from avatar.remote.identity import find_host
from avatar.remote.link import Link, Received, Wish
from avatar.remote.parcel import Parcel, pack_portrait
from avatar.settings import MotionSettings
from avatar.system.message import Message
from avatar.tracking.face import Face

FREEZE_S = 1.0  # without a picture, before the avatar idles here
OLDEST_S = 0.45  # of a picture's motion; older ones are not shown
WAIT_S = 0.025  # for a picture; one that comes later is shown with the next frame
PREPARE_S = 15.0  # for the host to prepare a portrait that is to replace another
ANSWER_S = 30.0  # for `draw`, which returns the very frame that it asked for, once the host has its portrait
FADE_S = 0.4  # between the host's pictures and those made here


@dataclass(frozen=True, eq=False)
class RemotePortrait:
    """A portrait, prepared here for the time without a host, and packed for it."""

    here: Any  # as the local engine prepared it
    parcel: Parcel


@dataclass(frozen=True, eq=False)
class _Fade:
    before: RgbImage
    began_s: float


class RemoteEngine:
    """Draws the portrait on a host; see `avatar.engines.base.DistantEngine`."""

    wants = DrivingInput.FACE

    def __init__(self, link: Link, motion: MotionSettings | None = None) -> None:
        """Take ownership of a link, which is started.

        Args:
            link: closed with this.
            motion: the motion transfer.
        """
        self._link, self._motion = link, motion or MotionSettings()
        self._here = WarpEngine(self._motion)
        self._idle = load_idle()
        self._idle_reference = self._idle.face(neutral_frame(self._idle))
        self._shown: RemotePortrait | None = None
        self._number = 0  # of that portrait, for the link
        self._reference: tuple[Face, int] | None = None
        self._face: Face | None = None  # the last one
        self._reference_here: Face | None = None  # that the local engine was calibrated with
        self._last: RgbImage | None = None  # shown last
        self._came_s: float | None = None  # when a picture came
        self._idles = False  # draws here
        self._fade: _Fade | None = None
        link.start()

    @property
    def facts(self) -> EngineFacts:
        """The host's device, or this machine's while it draws."""
        if self._link.is_up and not self._idles:
            return EngineFacts("warp", "host", "float32", Message("by its {device}", device=self._link.device))
        problem, why = self._link.problem, Message("the host is not ready, and the avatar idles")
        if self._link.is_up and self._link.has_declined(self._number):
            why = Message("the host cannot draw this portrait, and the avatar idles")
        return EngineFacts("warp", "cpu", "float32", why if problem is None else problem.what)

    @property
    def notes(self) -> tuple[str, ...]:
        """Reason why there is no host now."""
        problem = self._link.problem
        return () if problem is None else (problem.what,)

    def prepare(
        self, portrait: Portrait, size_px: int | None = None, *, use_second_core: bool = True
    ) -> RemotePortrait:
        """Prepare a portrait here and, in place of another, on the host. Raises: FaceError: there is no face."""
        parcel = None if portrait.face is None else _packed(portrait, portrait.face, size_px)
        if parcel is not None:
            self._link.offer(parcel)  # first, so that the host prepares it at the same time
        here = self._here.prepare(portrait, size_px, use_second_core=use_second_core)
        assert parcel is not None, "without a face the engine raises"
        if self._shown is not None:
            self._link.wait_ready(self._link.offer(parcel), PREPARE_S, portrait.checkpoint)
        return RemotePortrait(here, parcel)

    def show(self, prepared: RemotePortrait) -> None:
        """Draw this portrait from the next frame on; the reference frame is kept."""
        self._shown, self._number = prepared, self._link.offer(prepared.parcel)
        self._here.show(prepared.here)
        self._last = self._fade = None

    def set_motion(self, motion: MotionSettings) -> None:
        """Change the motion transfer from the next frame on."""
        self._motion = motion
        self._here.set_motion(motion)

    def calibrate(self, driving: Driving) -> None:
        """Keep the driver's face as the reference, here and on the host."""
        assert driving.face is not None
        self._reference = (driving.face, driving.frame_width_px or 0)

    def draw(self, driving: Driving) -> RgbImage:
        """Draw one frame on the host and wait for it. Raises: EngineError: no portrait is shown, or no host answers."""
        asked_ns = self._ask(driving)
        until_s = time.monotonic() + ANSWER_S
        while (left_s := until_s - time.monotonic()) > 0:
            picture = self._link.newest(min(left_s, 0.25))
            if picture is not None and picture.captured_ns == asked_ns and picture.portrait == self._number:
                self._last = picture.rgb
                return picture.rgb
            self._ask(driving)  # what was asked before the host knew the portrait is lost
        raise self._link.problem or EngineError("The host does not draw.", remedy="Look at what it says.")

    def draw_newest(self, driving: Driving) -> Arrival | None:
        """Ask for a frame and return the newest that has come, or one drawn here; see `DistantEngine`."""
        self._ask(driving)
        picture = self._link.newest(0.0 if self._idles else WAIT_S)
        now_s = time.monotonic()
        if picture is not None and self._is_good(picture, now_s):
            self._came_s = now_s
            if self._idles:
                self._idles = False
                self._begin_fade(now_s)
            rgb = self._faded(picture.rgb, now_s)
            return Arrival(rgb, picture.captured_ns, picture.network_ms, picture.host_ms)
        if self._came_s is not None and now_s - self._came_s < FREEZE_S:
            return None
        if not self._idles:
            self._idles = True
            self._begin_fade(now_s)
        return Arrival(self._faded(self._idle_here(now_s), now_s), driving.captured_ns)

    def close(self) -> None:
        """Disconnect and release the portrait; safe to call twice."""
        self._link.close()
        self._here.close()
        self._shown = self._last = None

    def _ask(self, driving: Driving) -> int:
        """Ask for a frame; return its capture time, in ns. Raises: EngineError: no portrait is shown."""
        if self._shown is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        if driving.face is not None:
            self._face = driving.face
            self._reference = self._reference or (driving.face, driving.frame_width_px or 0)
        face = self._face or self._idle_reference
        reference, width_px = self._reference or (face, 0)
        wish = Wish(self._number, self._motion, reference, width_px, face, driving.weight, driving.captured_ns)
        self._link.ask(wish)
        return driving.captured_ns

    def _is_good(self, picture: Received, now_s: float) -> bool:
        """Return whether a picture shows the present portrait and is not too old."""
        return picture.portrait == self._number and now_s - picture.captured_ns * 1e-9 <= OLDEST_S

    def _idle_here(self, now_s: float) -> RgbImage:
        """Draw the idle motion here, (H, W, 3)."""
        face = self._idle.face(round(now_s * IDLE_RATE) % len(self._idle))
        reference = self._idle_reference
        if self._reference is not None:
            reference = self._reference[0]
            face = carry(face, self._idle_reference, reference)
        if reference is not self._reference_here:
            self._reference_here = reference
            self._here.calibrate(Driving(face=reference))
        return self._here.draw(Driving(face=face))

    def _begin_fade(self, now_s: float) -> None:
        self._fade = None if self._last is None else _Fade(self._last, now_s)

    def _faded(self, rgb: RgbImage, now_s: float) -> RgbImage:
        """Cross-fade (H, W, 3) from what was shown before the change of place."""
        if self._fade is not None:
            share = float(smoothstep((now_s - self._fade.began_s) / FADE_S))
            if share >= 1 or self._fade.before.shape != rgb.shape:
                self._fade = None
            else:
                rgb = np.asarray(cv2.addWeighted(rgb, share, self._fade.before, 1 - share, 0.0))
        self._last = rgb
        return rgb


def _packed(portrait: Portrait, face: Face, size_px: int | None) -> Parcel:
    """Pack a portrait at the size at which it is drawn."""
    rgb, face = resized(portrait.rgb, face, size_px)
    alpha = portrait.alpha
    if alpha is not None:
        alpha = np.asarray(cv2.resize(alpha, rgb.shape[1::-1], interpolation=cv2.INTER_AREA))
    return pack_portrait(rgb, face, alpha)


def open_remote(address: str, motion: MotionSettings) -> RemoteEngine:
    """Open an engine on a known host, which may be away. Raises: UsageError, SetupError: the host is not known."""
    return RemoteEngine(Link(find_host(address)), motion)
