"""A voice as a driving source: its frames come with the face already, and with no camera image."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np

from avatar.errors import CameraError
from avatar.frames import Frame, blank_image
from avatar.motion.idle import RATE, SIDE_PX
from avatar.motion.speech import RATE_HZ, Downsampler, SpeechReader
from avatar.motion.voice import VoiceMotion, neutral_face
from avatar.sources.base import SourceFacts
from avatar.sources.microphone import SoundSource
from avatar.tracking.face import Face

DEAD_S = 2.0  # without sound, not even silence
LAG_NS = 23_000_000  # by which the mouth follows its sound, measured: half a window, and the filter
_PERIOD_S = 1 / RATE
_REST_FRAMES = RATE // 2  # at first, so that the reference frame is a face at rest
_EMPTY = blank_image(SIDE_PX, SIDE_PX)


@dataclass(frozen=True, eq=False)
class FaceFrame(Frame):
    """A frame of a source that says itself what the driver's face does; its image shows nothing."""

    face: Face | None = None


class VoiceSource:
    """Frames from a microphone, RATE per second; see `FrameSource`."""

    name = "voice"

    def __init__(self, microphone: SoundSource) -> None:
        """Take over an open microphone; `close` closes it."""
        self._microphone = microphone
        self._downsampler, self._reader, self._motion = Downsampler(), SpeechReader(), VoiceMotion()
        self._sequence = 0
        self._given = 0  # samples that the reader was given
        self._heard_s = self._next_s = time.monotonic()
        self._sound_ns = time.monotonic_ns()  # when the newest analysed sound was heard
        self._stopping = threading.Event()

    @property
    def facts(self) -> SourceFacts:
        """Facts about the source."""
        return SourceFacts(SIDE_PX, SIDE_PX, float(RATE))

    def read(self) -> FaceFrame:
        """Wait for the next frame. Raises CameraError: the microphone has died, or `interrupt` was called."""
        self._stopping.wait(max(0.0, self._next_s - time.monotonic()))
        now_s = time.monotonic()
        self._next_s = max(self._next_s, now_s - _PERIOD_S) + _PERIOD_S
        self._listen(now_s)
        if self._stopping.is_set() or now_s - self._heard_s > DEAD_S:
            raise CameraError(
                "The microphone sends no sound.", remedy="Plug it in again, or choose another one under Sound."
            )
        at_rest = self._sequence < _REST_FRAMES
        face = neutral_face() if at_rest else self._motion.face(now_s)
        self._sequence += 1
        return FaceFrame(_EMPTY, self._sequence - 1, self._sound_ns - LAG_NS, face=face)  # so recordings are in step

    def interrupt(self) -> None:
        """End a `read` that waits; from any thread."""
        self._stopping.set()

    def close(self) -> None:
        """Close the microphone; safe to call twice."""
        self._microphone.close()

    def _listen(self, now_s: float) -> None:
        for block in self._microphone.take():
            self._heard_s = now_s
            samples = np.asarray(self._downsampler.take(block.samples))
            self._given += len(samples)
            ends_ns = block.heard_ns + round(len(block.samples) / (RATE_HZ * Downsampler.TIMES) * 1e9)
            for read_s, mouth in self._reader.hear(samples):
                self._motion.follow(mouth)
                unread_s = self._given / RATE_HZ - read_s
                self._sound_ns = max(self._sound_ns, ends_ns - round(unread_s * 1e9))
