"""Voices made by a source and a filter: pulses of the vocal cords through the resonances of a vocal tract."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from avatar.frames import FloatArray

# Mean formants of men in Hz: Peterson and Barney 1952, table II. The last is the murmur of a closed mouth.
VOWELS = {"a": (730.0, 1090.0, 2440.0), "i": (270.0, 2290.0, 3010.0), "u": (300.0, 870.0, 2240.0)}
MURMUR = (250.0, 1080.0, 2300.0)


def vowel(resonances_hz: tuple[float, ...], length_s: float = 0.5, pitch_hz: float = 120.0, rate: int = 16_000,
          damping: tuple[float, ...] = (70.0, 90.0, 150.0)) -> FloatArray:  # fmt: skip
    """Return (N,) samples with a peak of 0.3."""
    count = round(length_s * rate)
    phase = np.arange(count) * pitch_hz / rate
    sound = np.where(np.diff(np.floor(phase), prepend=-1) > 0, 1.0, 0.0)
    tilt = 0.0
    for number in range(count):  # 12 dB per octave less: the shape of the cords' pulses
        tilt = 0.96 * tilt + sound[number]
        sound[number] = tilt
    for centre_hz, width_hz in zip(resonances_hz, damping, strict=True):
        radius = np.exp(-np.pi * width_hz / rate)
        turn = 2 * radius * np.cos(2 * np.pi * centre_hz / rate)
        first = second = 0.0
        for number in range(count):
            first, second = sound[number] + turn * first - radius**2 * second, first
            sound[number] = first
    sound -= sound.mean()
    return np.asarray(0.3 * sound / np.abs(sound).max(), np.float32)


def murmur(length_s: float = 0.5) -> FloatArray:
    """Return an "m": the nose's resonance, and little above it."""
    return vowel(MURMUR, length_s, damping=(60.0, 350.0, 400.0))


def hiss(length_s: float = 0.5, rate: int = 16_000) -> FloatArray:
    """Return an "s"."""
    noise = np.random.default_rng(5).normal(size=round(length_s * rate))
    return np.asarray(0.1 * np.diff(np.diff(noise, prepend=0.0), prepend=0.0), np.float32)


def syllables(count: int = 6, vowels: str = "aiu", rate: int = 16_000) -> FloatArray:
    """Return speech-like sound: vowels of rising and falling loudness, with pauses between."""
    parts = [np.zeros(rate // 4, np.float32)]
    for number in range(count):
        spoken = vowel(VOWELS[vowels[number % len(vowels)]], 0.25, rate=rate)
        parts += [spoken * np.hanning(len(spoken)).astype(np.float32), np.zeros(round(0.12 * rate), np.float32)]
    return np.concatenate([*parts, np.zeros(rate // 2, np.float32)])


def write_wav(path: Path, samples: FloatArray, rate: int = 16_000) -> Path:
    """Write (N,) samples as 16-bit mono."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path
