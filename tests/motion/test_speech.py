"""Mouths read off made-up voices whose resonances are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voices import VOWELS, hiss, murmur, syllables, vowel

from avatar.frames import FloatArray
from avatar.motion.speech import CLOSED, HOP, RATE_HZ, Downsampler, MouthShape, SpeechReader, formants


def last_mouth(sound: FloatArray) -> MouthShape:
    return list(SpeechReader().hear(sound))[-1][1]


@pytest.mark.parametrize("name", VOWELS)
@pytest.mark.parametrize("pitch_hz", [95.0, 120.0, 170.0])
def test_resonances_are_found_whatever_the_pitch(name: str, pitch_hz: float) -> None:
    first_hz, second_hz = formants(vowel(VOWELS[name], pitch_hz=pitch_hz)[2000:2400])
    assert first_hz == pytest.approx(VOWELS[name][0], rel=0.15, abs=60)
    assert second_hz == pytest.approx(VOWELS[name][1], rel=0.15)


def test_vowels_shape_the_lips() -> None:
    mouths = {name: last_mouth(vowel(VOWELS[name])) for name in VOWELS}
    assert mouths["a"].jaw > 0.8 > 0.65 > max(mouths["i"].jaw, mouths["u"].jaw) > 0.2
    assert mouths["i"].spread > 0.6 > 0.2 > max(mouths["a"].spread, mouths["u"].spread)
    assert mouths["u"].rounded > 0.6 > 0.3 > max(mouths["a"].rounded, mouths["i"].rounded)


def test_lips_meet_for_m_and_teeth_for_s() -> None:
    assert (mouth := last_mouth(murmur())).pressed > 0.6 and mouth.jaw < 0.3
    assert last_mouth(hiss()).jaw < 0.2
    assert last_mouth(vowel(VOWELS["a"])).pressed < 0.05


def test_the_jaw_follows_loudness_and_silence_closes_the_mouth() -> None:
    sound = syllables()
    read = list(SpeechReader().hear(sound))
    jaw = np.array([mouth.jaw for _, mouth in read])
    loud = np.array([np.sqrt(np.mean(sound[n * HOP : n * HOP + 400] ** 2)) for n in range(len(read))])
    assert np.corrcoef(jaw, np.sqrt(loud))[0, 1] > 0.8
    silent = np.convolve(loud, np.ones(12), "full")[: len(loud)] < 1e-6  # for the last 120 ms
    assert silent.sum() > 20 and jaw[silent].max() < 0.02


def test_noise_of_the_room_is_not_speech() -> None:
    noise = np.random.default_rng(1).normal(scale=0.002, size=3 * RATE_HZ).astype(np.float32)
    read = [mouth for _, mouth in SpeechReader().hear(noise)]
    assert max(mouth.jaw for mouth in read[100:]) < 0.05


def test_a_quiet_speaker_moves_the_mouth_as_a_loud_one() -> None:
    loud, quiet = (max(m.jaw for _, m in SpeechReader().hear(level * syllables(12))) for level in (1.0, 0.1))
    assert quiet > 0.5 * loud


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_blocks_of_any_length_give_the_same_mouth(lengths: list[int]) -> None:
    sound = syllables(2)
    whole = list(SpeechReader().hear(sound))
    reader, pieces = SpeechReader(), np.split(sound, np.minimum(np.cumsum(lengths), len(sound)))
    assert [each for piece in pieces for each in reader.hear(piece)] == whole


def test_broken_samples_do_no_harm() -> None:
    sound = vowel(VOWELS["a"])
    sound[::7], sound[::11] = np.nan, np.inf
    assert all(0 <= value <= 1 for _, mouth in SpeechReader().hear(sound) for value in mouth.values())
    assert last_mouth(np.zeros(RATE_HZ, np.float32)) == CLOSED
    assert last_mouth(np.full(RATE_HZ, 0.8, np.float32)) == CLOSED  # a microphone that delivers a constant


@given(st.lists(st.integers(0, 700), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_downsampling_goes_on_across_blocks(lengths: list[int]) -> None:
    sound = np.random.default_rng(2).normal(size=4800).astype(np.float32)
    whole, stream = Downsampler().take(sound), Downsampler()
    pieces = np.split(sound, np.minimum(np.cumsum(lengths), len(sound)))
    assert np.allclose(np.concatenate([stream.take(piece) for piece in pieces]), whole, atol=1e-6)
    assert len(whole) == 1600


@pytest.mark.parametrize(("tone_hz", "kept"), [(300, True), (3000, True), (9000, False), (15_000, False)])
def test_downsampling_keeps_speech_and_no_alias(tone_hz: float, kept: bool) -> None:
    tone = np.sin(2 * np.pi * tone_hz * np.arange(9600) / 48_000).astype(np.float32)
    power = float(np.mean(Downsampler().take(tone)[100:] ** 2))
    assert power > 0.45 if kept else power < 0.001
