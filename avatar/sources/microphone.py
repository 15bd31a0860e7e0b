"""Sound from a microphone, in blocks with capture times. Needs the package sounddevice."""

from __future__ import annotations

import collections
import contextlib
import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from avatar.errors import OutputError
from avatar.system.foreign_text import first_line
from avatar.system.message import Message
from avatar.system.program import how_to_install

RATE_HZ = 48_000
_KEPT_BLOCKS = 1500  # buffer of 30 s; a recorder empties it several times a second
_BLOCK = 960  # samples, 20 ms
_PROMPT_BLOCK = 480


@dataclass(frozen=True, eq=False)
class SoundBlock:
    """A block of sound, mono at RATE_HZ."""

    samples: npt.NDArray[np.float32]  # (N,) in [-1, 1]
    heard_ns: int  # monotonic time of the first sample


class SoundSource(Protocol):
    """A source of sound, such as a microphone."""

    def take(self) -> list[SoundBlock]:
        """Return the blocks since the last call, oldest first; never blocks."""
        ...

    def close(self) -> None:
        """Release the device; safe to call twice."""
        ...


class SoundMonitor:
    """Level and mute switch of the microphones that a window opens; usable from any thread."""

    def __init__(self, *, muted: bool = False) -> None:
        self.muted = muted  # microphones hand out silence
        self._peak = 0.0

    def note(self, peak: float) -> None:
        """Take in the peak of a block, in [0, 1]."""
        self._peak = max(self._peak, peak)

    def take_peak(self) -> float:
        """Return the highest peak since the last call, in [0, 1]."""
        peak, self._peak = self._peak, 0.0
        return peak


class Microphone:
    """The system's default microphone, or one by name."""

    def __init__(self, name: str | None = None, *, monitor: SoundMonitor | None = None, prompt: bool = False) -> None:
        """Open the microphone and start recording.

        Args:
            name: as `list_microphones` has it; None: the system's default.
            monitor: is told the level, and says whether it is muted.
            prompt: deliver sound as soon as possible, for a voice that drives; a busy machine may then lose some of it.
        Raises:
            OutputError: sounddevice or PortAudio is not installed, or there is no such microphone.
        """
        self._blocks: collections.deque[SoundBlock] = collections.deque(maxlen=_KEPT_BLOCKS)
        self._monitor = monitor or SoundMonitor()
        sounddevice = _import_sounddevice()
        try:
            device = None if name is None else _number_of(name, sounddevice)
            self._stream: Any = sounddevice.InputStream(
                samplerate=RATE_HZ,
                channels=1,
                dtype="float32",
                blocksize=_PROMPT_BLOCK if prompt else _BLOCK,
                latency="low" if prompt else "high",
                device=device,
                callback=self._hear,
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            raise OutputError(
                Message("The microphone cannot be opened: {why}.", why=first_line(error)),
                remedy="Plug one in, allow its use in the system's privacy settings, or record without sound.",
            ) from error

    def take(self) -> list[SoundBlock]:
        """Return the blocks since the last call, oldest first."""
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._blocks.popleft())
        return taken

    def close(self) -> None:
        """Stop recording."""
        self._stream.close()

    def _hear(self, samples: npt.NDArray[np.float32], count: int, times: Any, status: Any) -> None:
        """Store a block of (N, 1) float32 samples; called by PortAudio on its thread.

        PortAudio's clock has another origin than ours, so only the age of the block is used.
        """
        age_s = times.currentTime - times.inputBufferAdcTime
        if times.inputBufferAdcTime <= 0 or not 0 <= age_s < 2:  # some drivers report no times
            age_s = count / RATE_HZ
        mono = samples[:, 0].copy()  # PortAudio uses its buffer again
        self._monitor.note(min(float(np.abs(mono).max(initial=0.0)), 1.0))
        if self._monitor.muted:
            mono[:] = 0
        self._blocks.append(SoundBlock(mono, time.monotonic_ns() - round(age_s * 1e9)))


def list_microphones() -> tuple[str, ...]:
    """Return the names of the microphones, the system's default first.

    Raises:
        OutputError: sounddevice or PortAudio is not installed, or does not answer.
    """
    sounddevice = _import_sounddevice()
    try:
        names = [device["name"] for device in _inputs(sounddevice)]
    except sounddevice.PortAudioError as error:
        raise OutputError(
            Message("The microphones cannot be listed: {why}.", why=first_line(error)),
            remedy="Plug one in, and search again.",
        ) from error
    return tuple(dict.fromkeys(names))


def what_sound_lacks() -> OutputError | None:
    """Return why no microphone can be opened here at all; None where that may work. Takes up to a second."""
    try:
        _import_sounddevice()
    except OutputError as error:
        return error
    return None


def _number_of(name: str, sounddevice: Any) -> int:
    """Return PortAudio's number of a microphone. Raises ValueError: there is none of that name."""
    for device in _inputs(sounddevice):
        if device["name"] == name:
            return int(device["index"])
    raise ValueError(Message("there is no microphone called {name}", name=name))


def _inputs(sounddevice: Any) -> list[dict[str, Any]]:
    """Return PortAudio's inputs: the default first, then the others of its interface, then the same devices again
    as the system's other interfaces have them.
    """
    devices = [device for device in sounddevice.query_devices() if device["max_input_channels"] > 0]
    default = sounddevice.default.device[0]
    interface = next((device["hostapi"] for device in devices if device["index"] == default), -1)
    return sorted(devices, key=lambda device: (device["index"] != default, device["hostapi"] != interface))


def _import_sounddevice() -> Any:
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise OutputError(
            "Recording sound needs the package sounddevice.",
            remedy=how_to_install("sounddevice"),
        ) from error
    except OSError as error:  # the wheel for Linux does not contain PortAudio
        raise OutputError(
            "Recording sound needs the library PortAudio.", remedy="Install it: sudo apt install libportaudio2"
        ) from error
    return sounddevice
