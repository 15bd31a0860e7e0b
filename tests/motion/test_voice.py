"""Faces made up for a voice."""

from __future__ import annotations

import numpy as np
from voices import VOWELS, syllables, vowel

from avatar.motion.expression import CLOSED_LIPS, Expression, lip_gap
from avatar.motion.idle import RATE
from avatar.motion.speech import RATE_HZ
from avatar.motion.voice import LEAD_S, neutral_face, speaking_faces
from avatar.tracking.face import Face


def gap(face: Face) -> float:
    return lip_gap(Expression.of(face).shape)


def width(face: Face) -> float:
    shape = Expression.of(face).shape
    return float(np.linalg.norm(shape[61] - shape[291]))


def test_there_is_a_face_for_every_frame_of_the_sound() -> None:
    for samples in (RATE_HZ, 5 * RATE_HZ // 3, 100, 0):
        blocks = np.array_split(np.zeros(samples, np.float32), 7)
        assert len(list(speaking_faces(blocks))) == -(-samples * RATE // RATE_HZ)


def test_the_mouth_opens_with_the_voice_and_is_closed_in_silence() -> None:
    sound = np.concatenate([syllables(8, "a"), np.zeros(2 * RATE_HZ, np.float32)])
    gaps = np.array([gap(face) for face in speaking_faces([sound])])
    after = round(2 * LEAD_S * RATE_HZ)  # a mouth moves before it is heard
    loud = np.array([np.sqrt(np.mean(sound[n * RATE_HZ // RATE :][:after] ** 2)) for n in range(len(gaps))])
    assert np.corrcoef(gaps, np.sqrt(loud))[0, 1] > 0.8
    assert gaps.max() > 0.15 and gaps[-RATE:].max() < CLOSED_LIPS


def test_vowels_can_be_told_apart() -> None:
    faces = {name: list(speaking_faces([vowel(VOWELS[name], 0.6)]))[15] for name in VOWELS}
    assert gap(faces["a"]) > 1.3 * max(gap(faces["i"]), gap(faces["u"]))
    assert width(faces["i"]) > 1.05 * width(faces["a"]) and width(faces["a"]) > 1.02 * width(faces["u"])


def test_somebody_who_is_silent_breathes_and_blinks() -> None:
    faces = list(speaking_faces([np.zeros(6 * RATE_HZ, np.float32)]))
    blinks = np.array([face.blendshape("eyeBlinkLeft") for face in faces])
    assert blinks.max() > 0.8 and np.median(blinks) < 0.2
    assert np.ptp([face.pose.centre_px[1] for face in faces]) > 0.5


def test_a_stressed_word_moves_head_and_brows() -> None:
    sound = np.concatenate([np.zeros(RATE_HZ, np.float32), vowel(VOWELS["a"], 0.5), np.zeros(RATE_HZ, np.float32)])
    silent, said = (list(speaking_faces([track])) for track in (np.zeros_like(sound), sound))
    nods = [before.pose.pitch_deg - after.pose.pitch_deg for before, after in zip(silent, said, strict=True)]
    assert max(nods[RATE : 2 * RATE]) > 1 and max(np.abs(nods[: RATE - 2])) < 0.01
    raised = [after.blendshape("browInnerUp") - before.blendshape("browInnerUp")
              for before, after in zip(silent, said, strict=True)]  # fmt: skip
    assert max(raised) > 0.15


def test_the_reference_is_at_rest() -> None:
    face = neutral_face()
    assert gap(face) < CLOSED_LIPS and face.blendshape("eyeBlinkLeft") < 0.1
    assert abs(face.pose.yaw_deg) < 1e-3 and abs(face.pose.pitch_deg) < 1e-3
