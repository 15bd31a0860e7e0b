"""A face that speaks: the mouth follows a voice, the head nods and the brows rise where it stresses a word.

Breathing, blinks and glances go on as in the idle motion.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from avatar.frames import FloatArray
from avatar.motion.idle import LENGTH_S, RATE, face_of, pose_at
from avatar.motion.speech import CLOSED, HOP, RATE_HZ, MouthShape, SpeechReader
from avatar.tracking.face import Face

LEAD_S = 0.04  # a mouth moves so much before its sound is heard
_QUICK_S, _SLOW_S = 0.12, 0.9  # averaging times of the loudness; a stressed word is where they differ
_NOD_DEG, _BROWS, _SWAY_DEG = 5.0, 0.9, 1.6
_CALM_S = 1.5  # how long somebody counts as speaking after the last word


class VoiceMotion:
    """Turns what a `SpeechReader` reads into faces; one speaker, one thread."""

    def __init__(self) -> None:
        self._quick = self._slow = self._speaking = 0.0
        self._mouth = CLOSED

    def follow(self, mouth: MouthShape) -> None:
        """Take in the mouth of the next HOP of sound."""
        step_s = HOP / RATE_HZ
        self._mouth = mouth
        self._quick += (mouth.loudness - self._quick) * step_s / _QUICK_S
        self._slow += (mouth.loudness - self._slow) * step_s / _SLOW_S
        active = 1.0 if mouth.loudness > 0.1 else 0.0
        self._speaking += (active - self._speaking) * step_s / (0.2 if active > self._speaking else _CALM_S)

    def face(self, time_s: float) -> Face:
        """Return the face at a time on any steady clock, in an image of `idle.SIDE_PX` squared."""
        pose = pose_at(time_s % LENGTH_S)
        stress = float(np.clip(self._quick - self._slow, 0.0, 0.5))
        sway_deg = _SWAY_DEG * self._speaking * float(np.sin(2.1 * time_s) + 0.6 * np.sin(3.7 * time_s + 1.0))
        return face_of(
            replace(
                pose,
                yaw_deg=pose.yaw_deg + sway_deg,
                pitch_deg=pose.pitch_deg - _NOD_DEG * stress,
                roll_deg=pose.roll_deg + 0.4 * sway_deg,
                smile=pose.smile * (1 - self._speaking),
                brows=min(pose.brows + _BROWS * stress, 1.0),
                mouth=self._mouth,
            )
        )


def neutral_face() -> Face:
    """Return the face at rest, eyes open and mouth shut: what a voice's faces are compared with."""
    return face_of(
        replace(pose_at(0.0), yaw_deg=0.0, pitch_deg=0.0, roll_deg=0.0, shift=(0.0, 0.0), zoom=1.0, closing=0.0,
                gaze_deg=(0.0, 0.0), smile=0.0, brows=0.0)
    )  # fmt: skip


def speaking_faces(sound: Iterable[FloatArray]) -> Iterator[Face]:
    """Read a whole recording, RATE faces per second: the first at time 0, the last where the sound ends.

    Args:
        sound: blocks of (N,) mono samples in [-1, 1] at `speech.RATE_HZ`.
    """
    reader, motion = SpeechReader(), VoiceMotion()
    number, heard = 0, 0
    for block in sound:
        heard += len(block)
        for end_s, mouth in reader.hear(block):
            motion.follow(mouth)
            while number / RATE + LEAD_S <= end_s:
                yield motion.face(number / RATE)
                number += 1
    while number / RATE < heard / RATE_HZ:
        for _, mouth in reader.hear(np.zeros(RATE_HZ // RATE, np.float32)):
            motion.follow(mouth)
        yield motion.face(number / RATE)
        number += 1
