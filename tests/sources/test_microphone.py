"""The microphone on a fake PortAudio: times, and the ways in which it can be missing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from avatar.errors import OutputError
from avatar.sources.microphone import RATE_HZ, Microphone, SoundMonitor, list_microphones, what_sound_lacks


class PortAudioError(Exception):
    pass


class Stream:
    """Remembers how it was opened; `hear` plays the driver."""

    opened: Stream | None = None
    error: Exception | None = None

    def __init__(self, *, callback: Callable[..., None], **options: Any) -> None:
        if Stream.error is not None:
            raise Stream.error
        self.callback, self.options, self.started, self.closed = callback, options, False, False
        Stream.opened = self

    def start(self) -> None:
        self.started = True

    def close(self) -> None:
        self.closed = True

    def hear(self, samples: np.ndarray, age_s: float, adc_s: float = 100.0) -> None:
        times = SimpleNamespace(currentTime=adc_s + age_s, inputBufferAdcTime=adc_s)
        self.callback(samples[:, None], len(samples), times, None)


DEVICES: list[dict[str, Any]] = [
    {"index": 0, "name": "Speakers", "max_input_channels": 0, "hostapi": 0},
    {"index": 1, "name": "Headset", "max_input_channels": 1, "hostapi": 0},
    {"index": 2, "name": "Built-in", "max_input_channels": 2, "hostapi": 1},
    {"index": 3, "name": "Headset", "max_input_channels": 1, "hostapi": 1},
]


@pytest.fixture
def stream_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Stream]:
    module = ModuleType("sounddevice")
    module.InputStream, module.PortAudioError = Stream, PortAudioError  # type: ignore[attr-defined]
    module.query_devices, module.default = lambda: DEVICES, SimpleNamespace(device=[2, 0])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    monkeypatch.setattr(Stream, "error", None)

    def opened() -> Stream:
        assert Stream.opened is not None
        return Stream.opened

    return opened


def test_each_block_has_the_time_at_which_it_was_heard(stream_of: Callable[[], Stream]) -> None:
    microphone = Microphone()
    stream = stream_of()
    assert stream.started and stream.options["samplerate"] == RATE_HZ and stream.options["channels"] == 1
    heard = np.linspace(-1, 1, 960, dtype=np.float32)
    before_ns = time.monotonic_ns()
    stream.hear(heard, age_s=0.25)
    after_ns = time.monotonic_ns()
    heard[:] = 0  # the driver uses its buffer again
    (block,) = microphone.take()
    assert before_ns - 250_000_000 <= block.heard_ns <= after_ns - 250_000_000
    assert block.samples[0] == -1 and block.samples[-1] == 1
    assert microphone.take() == []
    microphone.close()
    assert stream.closed


@pytest.mark.parametrize(("age_s", "adc_s"), [(0.5, 0.0), (-3.0, 100.0), (60.0, 100.0)])
def test_a_driver_that_does_not_know_the_time_is_taken_for_quick(
    stream_of: Callable[[], Stream], age_s: float, adc_s: float
) -> None:
    microphone = Microphone()
    before_ns = time.monotonic_ns()
    stream_of().hear(np.zeros(960, np.float32), age_s, adc_s)
    (block,) = microphone.take()
    assert 0 <= block.heard_ns + 20_000_000 - before_ns < 5_000_000_000


def test_a_microphone_to_which_nobody_listens_keeps_half_a_minute(stream_of: Callable[[], Stream]) -> None:
    microphone = Microphone()
    for _ in range(4000):
        stream_of().hear(np.zeros(960, np.float32), 0.02)
    assert len(microphone.take()) == 1500


def test_a_voice_that_drives_is_heard_sooner_than_one_that_is_recorded(stream_of: Callable[[], Stream]) -> None:
    Microphone()
    assert stream_of().options["latency"] == "high", "a recording must lose nothing"
    Microphone(prompt=True)
    assert stream_of().options["latency"] == "low" and stream_of().options["blocksize"] <= RATE_HZ // 100


def test_microphones_are_listed_once_and_the_default_first(stream_of: Callable[[], Stream]) -> None:
    assert list_microphones() == ("Built-in", "Headset")


def test_one_by_name_is_that_of_the_default_s_interface(stream_of: Callable[[], Stream]) -> None:
    Microphone("Headset")
    assert stream_of().options["device"] == 3
    Microphone()
    assert stream_of().options["device"] is None


def test_a_name_that_is_gone_is_explained(stream_of: Callable[[], Stream]) -> None:
    with pytest.raises(OutputError, match="no microphone called Lost"):
        Microphone("Lost")


def test_a_monitor_hears_the_level_and_mutes(stream_of: Callable[[], Stream]) -> None:
    monitor = SoundMonitor()
    microphone = Microphone(monitor=monitor)
    stream_of().hear(np.array([0.1, -0.5, 0.2], np.float32), 0.02)
    stream_of().hear(np.array([0.3], np.float32), 0.02)
    assert monitor.take_peak() == pytest.approx(0.5) and monitor.take_peak() == 0
    monitor.muted = True
    stream_of().hear(np.array([0.9], np.float32), 0.02)
    monitor.muted = False
    stream_of().hear(np.array([0.7], np.float32), 0.02)
    assert [float(block.samples.max()) for block in microphone.take()] == pytest.approx([0.2, 0.3, 0.0, 0.7])
    assert monitor.take_peak() == pytest.approx(0.9)  # a muted microphone shows that it is heard


@pytest.mark.parametrize("error", [PortAudioError("Error querying device -1"), ValueError("No input device matching")])
def test_no_microphone_is_explained(stream_of: Callable[[], Stream], monkeypatch: Any, error: Exception) -> None:
    monkeypatch.setattr(Stream, "error", error)
    with pytest.raises(OutputError, match="microphone cannot be opened") as caught:
        Microphone()
    assert "without sound" in caught.value.remedy


def test_a_missing_package_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(OutputError, match="package sounddevice") as caught:
        Microphone()
    assert "-m pip install -r requirements.txt" in caught.value.remedy
    lacks = what_sound_lacks()
    assert lacks is not None and lacks.what == caught.value.what


def test_a_missing_library_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(OutputError, match="library PortAudio") as caught:
        Microphone()
    assert "libportaudio2" in caught.value.remedy
