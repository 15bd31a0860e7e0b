"""An engine whose host draws: it sends the driver's motion, and idles here while no picture comes.

Where the host draws from parameters that a network finds in the driver's images, that network runs here, and the images
go no further than into it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from avatar.cv import cv2
from avatar.engines.base import Arrival, Driving, DrivingInput, EngineFacts, Portrait
from avatar.engines.crop import FACE_MESH
from avatar.engines.warp.engine import WarpEngine, resized
from avatar.errors import EngineError
from avatar.frames import AlphaImage, RgbImage
from avatar.motion.blend import carry
from avatar.motion.idle import RATE as IDLE_RATE
from avatar.motion.idle import load_idle
from avatar.motion.reference import neutral_frame
from avatar.motion.smoothstep import smoothstep
from avatar.remote.drivers import Drawing, Driver, OtherEngineError, check_faces, check_parameters
from avatar.remote.identity import KnownHost, find_host, remember
from avatar.remote.link import Link, Received, Wish, ask_host
from avatar.remote.parcel import Parcel, pack_portrait
from avatar.settings import MotionSettings
from avatar.system.message import Message
from avatar.system.program import require
from avatar.tracking.face import Face

if TYPE_CHECKING:
    from avatar.engines.liveportrait.measuring import MotionMeter

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
    matte: AlphaImage | None  # of that frame; None: unknown
    began_s: float


class RemoteEngine:
    """Draws the portrait on a host; see `avatar.engines.base.DistantEngine` and `LayeredEngine`."""

    def __init__(self, link: Link, motion: MotionSettings | None = None, meter: MotionMeter | None = None) -> None:
        """Take ownership of a link, which is started.

        Args:
            link: closed with this; its `check` fits the meter.
            motion: the motion transfer.
            meter: measures the driver for a host that draws from parameters; None: the host draws from faces.
        """
        self._link, self._motion, self._meter = link, motion or MotionSettings(), meter
        self.wants = DrivingInput.FACE if meter is None else DrivingInput.FACE_CROP
        self.framing = FACE_MESH if meter is None else meter.framing
        self._name = "warp" if meter is None else "liveportrait"
        self._here = WarpEngine(self._motion)
        self._idle = load_idle()
        self._idle_reference = self._idle.face(neutral_frame(self._idle))
        self._shown: RemotePortrait | None = None
        self._number = 0  # of that portrait, for the link
        self._reference: tuple[Driver, int] | None = None
        self._driver: Driver | None = None  # the last one
        self._reference_face: Face | None = None  # for the local engine
        self._reference_here: Face | None = None  # that it was calibrated with
        self._last: RgbImage | None = None  # shown last
        self._matte: AlphaImage | None = None  # of that frame, if it was wanted
        self._reference_shown: Driver | None = None  # of that frame, if the host drew it
        self._came_s: float | None = None  # when a picture came
        self._idles = False  # draws here
        self._fade: _Fade | None = None
        link.start()

    @property
    def facts(self) -> EngineFacts:
        """The host's device, or this machine's while it draws."""
        if self._link.is_up and not self._idles:
            return EngineFacts(self._name, "host", "float32", Message("by its {device}", device=self._link.device))
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
        pack = _packed if self._meter is None else _packed_with_detail
        parcel = None if portrait.face is None else pack(portrait, portrait.face, size_px)
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
        self._last = self._matte = self._fade = self._reference_shown = None

    def set_motion(self, motion: MotionSettings) -> None:
        """Change the motion transfer from the next frame on."""
        self._motion = motion
        self._here.set_motion(motion)

    def calibrate(self, driving: Driving) -> None:
        """Keep the driver's face as the reference, here and on the host."""
        self._reference_face = driving.face or self._reference_face
        driver = self._seen(driving)
        assert driver is not None
        self._reference = (driver, driving.frame_width_px or 0)

    def draw(self, driving: Driving) -> RgbImage:
        """Draw one frame on the host and wait for it. Raises: EngineError: no portrait is shown, or no host answers."""
        asked_ns = self._ask(driving)
        until_s = time.monotonic() + ANSWER_S
        while (left_s := until_s - time.monotonic()) > 0:
            picture = self._link.newest(min(left_s, 0.25))
            if picture is not None and picture.captured_ns == asked_ns and picture.portrait == self._number:
                self._last, self._matte = picture.rgb, picture.matte
                return picture.rgb
            self._ask(driving)  # what was asked before the host knew the portrait is lost
        raise self._link.problem or EngineError("The host does not draw.", remedy="Look at what it says.")

    def draw_newest(self, driving: Driving) -> Arrival | None:
        """Ask for a frame and return the newest that has come, or one drawn here; see `DistantEngine`.

        Raises:
            OtherEngineError: the host draws with another engine now, for which this has to be opened again.
            EngineError: no portrait is shown.
        """
        if isinstance(self._link.problem, OtherEngineError):
            raise self._link.problem
        self._ask(driving)
        picture = self._link.newest(0.0 if self._idles else WAIT_S)
        now_s = time.monotonic()
        if picture is not None and self._is_good(picture, now_s, driving.wants_matte):
            self._came_s = now_s
            jumps = self._meter is not None and self._reference_shown not in (None, picture.reference)
            if self._idles or jumps:
                self._idles = False
                self._begin_fade(now_s)
            self._reference_shown = picture.reference
            rgb = self._faded(picture.rgb, picture.matte, now_s)
            return Arrival(rgb, picture.captured_ns, picture.network_ms, picture.host_ms)
        if self._came_s is not None and now_s - self._came_s < FREEZE_S:
            return None
        if not self._idles:
            self._idles = True
            self._begin_fade(now_s)
        rgb = self._idle_here(now_s)
        matte = self._here.matte() if driving.wants_matte else None
        return Arrival(self._faded(rgb, matte, now_s), driving.captured_ns)

    def background(self) -> RgbImage:
        """Return the portrait without the person, (H, W, 3). Raises: EngineError: no portrait is shown."""
        return self._here.background()

    def matte(self) -> AlphaImage | None:
        """Return the person's part of the frame returned last, (H, W); None: it was not wanted.

        Raises:
            EngineError: nothing was drawn yet.
        """
        if self._last is None:
            raise EngineError("Nothing was drawn yet.", remedy="Call animate first.")
        return self._matte

    def close(self) -> None:
        """Disconnect and release the portrait; safe to call twice."""
        self._link.close()
        self._here.close()
        self._shown = self._last = self._matte = None

    def _ask(self, driving: Driving) -> int:
        """Ask for a frame; return its capture time, in ns. Raises: EngineError: no portrait is shown."""
        if self._shown is None:
            raise EngineError("There is no portrait to animate.", remedy="Call set_source first.")
        if self._meter is None or self._link.is_up:  # nobody asks for what is measured meanwhile
            self._driver = self._seen(driving) or self._driver
        if self._driver is not None:
            self._reference = self._reference or (self._driver, driving.frame_width_px or 0)
        driver = self._driver or (self._idle_reference if self._meter is None else None)
        if driver is not None:
            reference, width_px = self._reference or (driver, 0)
            self._link.ask(
                Wish(
                    self._number, self._motion, reference, width_px, driver, driving.weight, driving.captured_ns,
                    driving.wants_matte,
                )
            )  # fmt: skip
        return driving.captured_ns

    def _seen(self, driving: Driving) -> Driver | None:
        """Return what is sent of a driver; None: nobody is seen."""
        if self._meter is None:
            return driving.face
        return driving.measured or (None if driving.image is None else self._meter.measure(driving))

    def _is_good(self, picture: Received, now_s: float, wants_matte: bool) -> bool:
        """Return whether a picture shows the present portrait, is not too old and has what is wanted."""
        is_whole = picture.matte is not None or not wants_matte
        return is_whole and picture.portrait == self._number and now_s - picture.captured_ns * 1e-9 <= OLDEST_S

    def _idle_here(self, now_s: float) -> RgbImage:
        """Draw the idle motion here, (H, W, 3)."""
        face = self._idle.face(round(now_s * IDLE_RATE) % len(self._idle))
        reference = self._idle_reference
        if self._reference_face is not None:
            reference = self._reference_face
            face = carry(face, self._idle_reference, reference)
        if reference is not self._reference_here:
            self._reference_here = reference
            self._here.calibrate(Driving(face=reference))
        return self._here.draw(Driving(face=face))

    def _begin_fade(self, now_s: float) -> None:
        self._fade = None if self._last is None else _Fade(self._last, self._matte, now_s)

    def _faded(self, rgb: RgbImage, matte: AlphaImage | None, now_s: float) -> RgbImage:
        """Cross-fade (H, W, 3), and its matte (H, W), from what was shown before a jump."""
        if self._fade is not None:
            share = float(smoothstep((now_s - self._fade.began_s) / FADE_S))
            if share >= 1 or self._fade.before.shape != rgb.shape:
                self._fade = None
            else:
                rgb = np.asarray(cv2.addWeighted(rgb, share, self._fade.before, 1 - share, 0.0))
                if matte is not None and self._fade.matte is not None:
                    matte = np.asarray(cv2.addWeighted(matte, share, self._fade.matte, 1 - share, 0.0))
        self._last, self._matte = rgb, matte
        return rgb


def _packed(portrait: Portrait, face: Face, size_px: int | None) -> Parcel:
    """Pack a portrait at the size at which it is drawn."""
    return pack_portrait(*_scaled(portrait, face, size_px))


def _packed_with_detail(portrait: Portrait, face: Face, size_px: int | None) -> Parcel:
    """Pack a portrait for an engine that looks at the face's square more closely than it is drawn."""
    from avatar.engines.liveportrait.framing import CROP_PX, square_of_portrait

    longest = max(portrait.rgb.shape[:2])
    needed = round(longest * CROP_PX / max(square_of_portrait(face.landmarks).side, 1.0))
    side_px = min(longest, max(needed, size_px or longest))
    return pack_portrait(*_scaled(portrait, face, side_px), size_px)


def _scaled(portrait: Portrait, face: Face, size_px: int | None) -> tuple[RgbImage, Face, AlphaImage | None]:
    """Return the portrait (H, W, 3), its face and its alpha (H, W) at a longer side of `size_px`."""
    rgb, face = resized(portrait.rgb, face, size_px)
    alpha = portrait.alpha
    if alpha is not None:
        alpha = np.asarray(cv2.resize(alpha, rgb.shape[1::-1], interpolation=cv2.INTER_AREA))
    return rgb, face, alpha


def open_remote(address: str, motion: MotionSettings, model: str | None = None, device: str = "auto") -> RemoteEngine:
    """Open an engine on a known host, which may be away.

    Args:
        address: of a host that was remembered, with the engine that it drew with then.
        motion: the motion transfer.
        model, device: of the network that measures the driver here, where the host needs that.
    Raises:
        UsageError, SetupError: the host is not known.
        WeightsError: that network is missing here; with the command that fetches it.
        EngineError: there is no such device.
    """
    host, meter = find_host(address), None
    if host.engine == "liveportrait":
        from avatar.engines.liveportrait.measuring import MotionMeter

        meter = MotionMeter(model, device)

    def check(drawing: Drawing) -> None:
        try:
            if meter is None:
                check_faces(drawing)
            else:
                check_parameters(drawing, meter.points, meter.digest)
        except OtherEngineError:
            remember(replace(host, engine=drawing.engine))
            raise

    return RemoteEngine(Link(host, check), motion, meter)


def join(host: KnownHost, model: str | None = None) -> KnownHost:
    """Ask a host whether it accepts sessions, and return it with the engine that it draws with.

    Args:
        host: as it is known.
        model: of the network that measures the driver here, where the host needs that.
    Raises:
        EngineError: it is not there, or refuses.
        WeightsError: that network is missing here; with the command that fetches it.
    """
    drawing = ask_host(host)
    if drawing.engine == "liveportrait":
        from avatar.engines.liveportrait.choice import choose_extractor

        require("torch", Message("The engine {name}", name=drawing.engine))
        choose_extractor(model)
    return replace(host, engine=drawing.engine)
