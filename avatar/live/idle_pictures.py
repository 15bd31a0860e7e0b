"""The idle motion as pictures, for engines that work on pictures: the built-in portrait's head, drawn as it idles."""

from __future__ import annotations

from avatar.engine.fomm.crop import cut, square_of_face
from avatar.engine.warp.engine import WarpEngine
from avatar.frames import Frame, RgbImage
from avatar.images import load_image
from avatar.library_builtin import builtin_avatars
from avatar.live.moment import PICTURE_PX
from avatar.motion.idle import load_idle
from avatar.motion.reference import neutral_frame
from avatar.tracking import FaceTracker


class IdlePictures:
    """Somebody who idles, picture by picture."""

    def __init__(self, head: RgbImage, tracker: FaceTracker) -> None:
        """Prepare a small picture of a head. Raises: FaceError."""
        self._idle = load_idle()
        self._engine = WarpEngine(None)
        face = next(iter(tracker.detect(head)), None)
        self._engine.use_source(self._engine.prepare_source(Frame(head, 0, 0), face))
        calm = self._idle.face(neutral_frame(self._idle))
        self._engine.calibrate_face(calm, self._idle.width_px)
        self.reference = self._engine.animate_face(calm, 0.0)  # at rest

    def at(self, time_s: float) -> RgbImage:
        """(PICTURE_PX, PICTURE_PX, 3) at a time on any steady clock."""
        step_s = float(self._idle.times_s[1])
        return self._engine.animate_face(self._idle.face(round(time_s / step_s) % len(self._idle)), time_s)


def builtin_idle_pictures(tracker: FaceTracker) -> IdlePictures | None:
    """The built-in portrait; None where there is none. Raises: AvatarError: it cannot be read."""
    avatar = next(iter(builtin_avatars()), None)
    if avatar is None:
        return None
    rgb = load_image(avatar.picture)
    face = next(iter(tracker.detect(rgb)), None)
    return None if face is None else IdlePictures(cut(rgb, square_of_face(face, rgb), PICTURE_PX), tracker)
