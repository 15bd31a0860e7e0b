"""Which of a clip's sound tracks are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from avatar.errors import UsageError
from avatar.outputs.sound_copy import sound_packets
from avatar.sources.probe import open_input

if TYPE_CHECKING:
    from av import AudioFrame

SoundTrackChoice = int | Literal["all"] | None
"""A track's number, counted from 1; all of them; None: the first that can be decoded and heard."""

_AUDIBLE = 0.001  # of full scale: -60 dB


@dataclass(frozen=True)
class ChosenSound:
    """The tracks to keep, in order."""

    indexes: tuple[int, ...]  # of their streams in the file
    notes: tuple[str, ...] = ()


def check_sound_track(path: Path, wanted: SoundTrackChoice) -> None:
    """Raise UsageError where a clip has no track of that number; a file that cannot be read is not judged."""
    if not isinstance(wanted, int) or not path.is_file():
        return
    try:
        with open_input(path) as source:
            count = len(source.streams.audio)
    except (OSError, ValueError):
        return
    if wanted > count:
        there = "no sound" if not count else "one sound track" if count == 1 else f"{count} sound tracks"
        raise UsageError(
            f"There is no sound track {wanted}: {path.name} has {there}.",
            remedy="Give --sound-track a number from 1, or all; or leave it out.",
        )


def choose_sound(path: Path, wanted: SoundTrackChoice) -> ChosenSound:
    """Choose among the sound tracks of a file.

    A single track is taken unseen: nothing is decoded for it.

    Raises: OSError, FFmpegError, ValueError: the file cannot be read.
    """
    with open_input(path) as source:
        tracks = [stream.index for stream in source.streams.audio]
        order = sorted(range(len(tracks)), key=lambda number: _preference(source.streams.audio[number]))
    if wanted == "all":
        return ChosenSound(tuple(tracks))
    if wanted is not None:
        return ChosenSound(tuple(tracks[wanted - 1 : wanted]))
    if len(tracks) < 2:
        return ChosenSound(tuple(tracks))
    heard: dict[int, float | None] = {}
    for number in order:
        heard[number] = _loudest(path, tracks[number])
        if (heard[number] or 0) > _AUDIBLE:
            taken = number
            break
    else:
        decoded = [number for number in order if heard[number] is not None]
        taken = (decoded or order)[0]
    for number in range(taken):  # for the note
        heard.setdefault(number, _loudest(path, tracks[number]))
    why = [
        f"sound track {number + 1} {'cannot be decoded' if loudest is None else 'is silent'}"
        for number, loudest in sorted(heard.items())
        if number != taken and (loudest or 0) <= _AUDIBLE
    ]
    if not why and taken:
        why = ["it is marked as the main one"]
    reason = f" because {' and '.join(why)}" if why else ""
    note = f"Of {len(tracks)} sound tracks number {taken + 1} was taken{reason} (--sound-track N or all)."
    return ChosenSound((tracks[taken],), (note,))


def _preference(stream: Any) -> tuple[bool, bool]:
    """Sorts the main track first: not a commentary, nor a description for the blind; then the one marked as default."""
    from av.stream import Disposition

    aside = Disposition.comment | Disposition.visual_impaired | Disposition.hearing_impaired | Disposition.descriptions
    return bool(stream.disposition & aside), not stream.disposition & Disposition.default


def _loudest(path: Path, index: int) -> float | None:
    """The peak of a track, full scale = 1, or the first one that can be heard; None: nothing can be decoded."""
    from av.error import FFmpegError

    loudest: float | None = None
    with open_input(path) as source:
        stream = source.streams[index]
        if stream.codec_context is None:
            return None
        for packet in sound_packets(source, stream):
            try:
                frames: list[Any] = packet.decode()
            except FFmpegError:
                continue
            for frame in frames:
                loudest = max(loudest or 0.0, _peak(frame))
            if (loudest or 0.0) > _AUDIBLE:
                break
    return loudest


def _peak(frame: AudioFrame) -> float:
    try:
        samples = frame.to_ndarray()
    except ValueError:  # samples of a kind that NumPy is not told of: taken for sound
        return 1.0
    if samples.dtype == np.uint8:
        return float(np.abs(samples.astype(np.int16) - 128).max(initial=0)) / 128
    scale = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max)
    peak = float(np.abs(np.nan_to_num(samples.astype(np.float64))).max(initial=0.0))
    return peak / scale
