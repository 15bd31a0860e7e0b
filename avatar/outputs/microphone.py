"""Sound from a microphone, each block with the time at which it was heard. Needs the package sounddevice."""

from __future__ import annotations

import collections
import contextlib
import sys
import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from avatar.errors import OutputError
from avatar.foreign_text import first_line

RATE_HZ = 48_000
_KEPT_BLOCKS = 1500  # 30 s; a recorder takes them several times a second, so more means that nobody listens
_BLOCK = 960  # samples, 20 ms


@dataclass(frozen=True, eq=False)
class SoundBlock:
    """A piece of sound, mono at RATE_HZ."""

    samples: npt.NDArray[np.float32]  # (N,) in [-1, 1]
    heard_ns: int  # monotonic time of the first sample


class SoundSource(Protocol):
    """A microphone, or what stands in for one."""

    def take(self) -> list[SoundBlock]:
        """Everything heard since the last call, oldest first; never waits."""
        ...

    def close(self) -> None:
        """Let go of the device; safe to call twice."""
        ...


class Microphone:
    """The system's default microphone, or one by name."""

    def __init__(self, device: str | None = None) -> None:
        """Open it and begin to listen.

        Raises:
            OutputError: sounddevice or PortAudio is not installed, or there is no microphone.
        """
        self._blocks: collections.deque[SoundBlock] = collections.deque(maxlen=_KEPT_BLOCKS)
        sounddevice = _import_sounddevice()
        try:
            self._stream: Any = sounddevice.InputStream(
                samplerate=RATE_HZ, channels=1, dtype="float32", blocksize=_BLOCK, device=device, callback=self._hear
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            raise OutputError(
                f"The microphone cannot be opened: {first_line(error)}.",
                remedy="Plug one in, allow its use in the system's privacy settings, or record without sound.",
            ) from error

    def take(self) -> list[SoundBlock]:
        """Everything heard since the last call, oldest first."""
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._blocks.popleft())
        return taken

    def close(self) -> None:
        """Stop listening."""
        self._stream.close()

    def _hear(self, samples: npt.NDArray[np.float32], count: int, times: Any, status: Any) -> None:
        """Called by PortAudio on its own thread; its clock has another zero than ours, so only ages are used."""
        age_s = times.currentTime - times.inputBufferAdcTime
        if times.inputBufferAdcTime <= 0 or not 0 <= age_s < 2:  # some drivers do not say
            age_s = count / RATE_HZ
        self._blocks.append(SoundBlock(samples[:, 0].copy(), time.monotonic_ns() - round(age_s * 1e9)))


def _import_sounddevice() -> Any:
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise OutputError(
            "Recording sound needs the package sounddevice.",
            remedy=f"Install it: {sys.executable} -m pip install sounddevice",
        ) from error
    except OSError as error:  # its wheel for Linux brings no PortAudio
        raise OutputError(
            "Recording sound needs the library PortAudio.", remedy="Install it: sudo apt install libportaudio2"
        ) from error
    return sounddevice
