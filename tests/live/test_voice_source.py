"""A microphone that drives, from blocks of sound to the face that an engine gets."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeTracker
from live_fakes import Rig
from voices import VOWELS, syllables, vowel

from avatar.errors import CameraError
from avatar.live import voice_source
from avatar.live.config import LiveConfig, is_voice
from avatar.live.events import FaceFound, SourceNote
from avatar.live.voice_source import LAG_NS, VoiceSource
from avatar.motion.expression import CLOSED_LIPS, Expression, lip_gap
from avatar.motion.idle import SIDE_PX
from avatar.motion.speech import SpeechReader
from avatar.settings import CameraSettings, Settings, SoundSettings
from avatar.sources.microphone import RATE_HZ, SoundBlock
from avatar.tracking.face import Face

BLOCK = RATE_HZ // 100


class PlayedMicrophone:
    """Hands out sound at the pace of a clock, as PortAudio does; then silence, or nothing at all."""

    def __init__(self, sound: np.ndarray, *, dies: bool = False) -> None:
        self._sound, self._dies, self._place = sound, dies, 0
        self._began_ns = time.monotonic_ns()
        self.closed = False

    def take(self) -> list[SoundBlock]:
        blocks = []
        while self._began_ns + (self._place + BLOCK) * 1_000_000_000 // RATE_HZ <= time.monotonic_ns():
            part = self._sound[self._place : self._place + BLOCK]
            if self._dies and len(part) < BLOCK:
                break
            samples = np.pad(part, (0, BLOCK - len(part))).astype(np.float32)
            blocks.append(SoundBlock(samples, self._began_ns + self._place * 1_000_000_000 // RATE_HZ))
            self._place += BLOCK
        return blocks

    @property
    def played_ns(self) -> int:
        """When the last sample that it handed out was heard."""
        return self._began_ns + self._place * 1_000_000_000 // RATE_HZ

    def close(self) -> None:
        self.closed = True


def gap(face: Face | None) -> float:
    assert face is not None
    return lip_gap(Expression.of(face).shape)


def spoken() -> np.ndarray:
    silence = np.zeros(RATE_HZ, np.float32)
    return np.concatenate([silence, vowel(VOWELS["a"], 0.6, rate=RATE_HZ), silence])


def test_the_mouth_opens_soon_after_the_word_begins_and_shuts_after_it() -> None:
    microphone = PlayedMicrophone(spoken())
    source, began_ns, seen = VoiceSource(microphone), time.monotonic_ns(), []
    while time.monotonic_ns() - began_ns < 2.4e9:
        frame = source.read()
        seen.append(((time.monotonic_ns() - began_ns) * 1e-9, gap(frame.face), time.monotonic_ns() - frame.captured_ns))
    times_s, gaps, ages_ns = (np.array(row) for row in zip(*seen, strict=True))
    assert gaps[times_s < 0.95].max() < CLOSED_LIPS and gaps[times_s > 2.0].max() < CLOSED_LIPS
    assert gaps.max() > 0.15
    opened_s = times_s[np.argmax(gaps > 0.08)]
    assert 1.0 < opened_s < 1.5  # a block, a window and a frame take up to 80 ms on a quiet machine
    assert ages_ns.min() > 0  # no frame is older or younger than the sound it shows
    source.close()
    assert microphone.closed


def test_the_lag_is_that_of_the_mouth_behind_its_sound() -> None:
    sound = syllables(12)
    read = list(SpeechReader().hear(sound))
    ends_s, jaw = np.array([end_s for end_s, _ in read]), np.array([mouth.jaw for _, mouth in read])
    loud = np.sqrt(np.sqrt(np.convolve(sound**2, np.full(133, 1 / 133), "same")))  # over 8 ms
    at_s = np.arange(len(sound)) / 16_000
    lags_s = np.arange(0, 0.1, 0.001)
    alike = [np.corrcoef(jaw, np.interp(ends_s - lag_s, at_s, loud))[0, 1] for lag_s in lags_s]
    assert lags_s[np.argmax(alike)] == pytest.approx(LAG_NS * 1e-9, abs=0.006) and max(alike) > 0.8


def test_a_frame_is_as_old_as_the_newest_sound_that_was_read() -> None:
    """Half a hop stays unread, as windows begin every hop and last two and a half."""
    microphone = PlayedMicrophone(spoken())
    source = VoiceSource(microphone)
    source.read()
    for _ in range(3):
        time.sleep(0.1)  # all that is heard comes at once
        frame = source.read()
        unread_ns = microphone.played_ns - (frame.captured_ns + LAG_NS)
        assert 0 <= unread_ns <= 10_000_000


def test_it_begins_at_rest_whatever_is_heard() -> None:
    source = VoiceSource(PlayedMicrophone(vowel(VOWELS["a"], 1.0, rate=RATE_HZ)))
    assert all(gap(source.read().face) < CLOSED_LIPS for _ in range(10))
    source.close()


def test_a_dead_microphone_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_source, "DEAD_S", 0.2)
    source = VoiceSource(PlayedMicrophone(np.zeros(BLOCK * 5, np.float32), dies=True))
    with pytest.raises(CameraError, match="sends no sound") as caught:
        for _ in range(60):
            source.read()
    assert "choose another" in caught.value.remedy


def test_waiting_is_interrupted() -> None:
    source = VoiceSource(PlayedMicrophone(spoken()))
    source.interrupt()
    with pytest.raises(CameraError):
        source.read()


def test_a_pipeline_draws_the_face_of_the_voice_and_tracks_nothing(tmp_path: Path) -> None:
    tracked: list[tuple[int, ...]] = []

    class Watched(FakeTracker):
        def track(self, *given: Any) -> Any:
            tracked.append(given[0].shape)
            return super().track(*given)

    rig = Rig(tmp_path, source="voice")
    rig.tracker_of = lambda smoothing: Watched()
    rig.sources["voice"] = ReopenedVoice(PlayedMicrophone(spoken()))  # type: ignore[assignment]
    with rig:
        rig.output.wait_for(75, timeout_s=20)
        states = [state for state in rig.engine.states if state.following]
        assert max(gap(state.face) for state in states) > 0.15 and gap(states[0].face) < CLOSED_LIPS
        assert gap(states[-1].reference) < CLOSED_LIPS and all(state.image is None for state in states)
        assert rig.of(FaceFound) and not rig.of(SourceNote)
    assert (SIDE_PX, SIDE_PX, 3) not in tracked  # but the portrait is looked at


class ReopenedVoice(VoiceSource):
    """Fits a Rig, which controls its sources by these."""

    def __init__(self, microphone: PlayedMicrophone) -> None:
        super().__init__(microphone)
        self.error: Exception | None = None
        self.gate = threading.Event()

    def open_again(self) -> None: ...


def test_the_window_s_microphone_is_the_one_that_drives() -> None:
    settings = Settings(camera=CameraSettings(source="voice"), sound=SoundSettings(microphone="USB Mic"))
    assert LiveConfig.of(settings).source == "voice:USB Mic"
    assert LiveConfig.of(Settings(camera=CameraSettings(source="voice"))).source == "voice"
    assert is_voice("voice") and is_voice("voice:USB Mic") and not is_voice("voices.mp4")
