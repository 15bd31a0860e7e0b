"""The idle motion as images, for engines that draw from images: the built-in portrait's head in idle motion."""

from __future__ import annotations

from avatar.engines.base import Driving, EngineConfig, Portrait
from avatar.engines.crop import FACE_MESH, Framing, cut, square_of_face
from avatar.engines.registry import create_engine
from avatar.frames import RgbImage
from avatar.images.load import load_image
from avatar.library.builtin import builtin_avatars
from avatar.live.observation import IMAGE_PX
from avatar.motion.idle import load_idle
from avatar.motion.reference import neutral_frame
from avatar.tracking import Face, FaceTracker


class IdleImages:
    """Images of an idling head."""

    def __init__(self, head: RgbImage, tracker: FaceTracker) -> None:
        """Prepare an (h, w, 3) uint8 image of a head. Raises: FaceError."""
        self._idle = load_idle()
        self._engine = create_engine(EngineConfig())
        face = next(iter(tracker.detect(head)), None)
        self._engine.show(self._engine.prepare(Portrait(head, face)))
        calm = self._idle.face(neutral_frame(self._idle))
        self._engine.calibrate(Driving(face=calm, frame_width_px=self._idle.width_px))
        self.reference = self._engine.draw(Driving(face=calm))  # at rest

    def at(self, time_s: float) -> RgbImage:
        """Return (IMAGE_PX, IMAGE_PX, 3) at a time on any steady clock."""
        step_s = float(self._idle.times_s[1])
        return self.drawn(self._idle.face(round(time_s / step_s) % len(self._idle)))

    def drawn(self, face: Face) -> RgbImage:
        """Return (IMAGE_PX, IMAGE_PX, 3) of the head moved by a face in the idle motion's image."""
        return self._engine.draw(Driving(face=face))


def builtin_idle_images(tracker: FaceTracker, framing: Framing = FACE_MESH) -> IdleImages | None:
    """Draw the built-in portrait; None where there is none. Raises: AvatarError: it cannot be read."""
    avatar = next(iter(builtin_avatars()), None)
    if avatar is None:
        return None
    rgb = load_image(avatar.image_path)
    face = next(iter(tracker.detect(rgb)), None)
    return None if face is None else IdleImages(cut(rgb, square_of_face(face, rgb, framing), IMAGE_PX), tracker)
