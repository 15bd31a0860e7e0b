"""Choice of the sound tracks to keep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from avatar.errors import UsageError
from avatar.outputs.files.sound_copy import sound_packets
from avatar.sources.probe import open_input
from avatar.system.message import Message, chained

if TYPE_CHECKING:
    from av import AudioFrame

SoundTrackChoice = int | Literal["all"] | None
"""A track's number, from 1; all tracks; None: the first that can be decoded and is not silent."""

_AUDIBLE = 0.001  # of full scale: -60 dB


@dataclass(frozen=True)
class ChosenSound:
    """The tracks to keep, in order."""

    indexes: tuple[int, ...]  # indices of their streams in the file
    notes: tuple[str, ...] = ()


def check_sound_track(path: Path, wanted: SoundTrackChoice) -> None:
    """Raise UsageError if a clip has no track of that number; an unreadable file passes."""
    if not isinstance(wanted, int) or not path.is_file():
        return
    try:
        with open_input(path) as source:
            count = len(source.streams.audio)
    except (OSError, ValueError):
        return
    if wanted > count:
        if count > 1:
            there = Message("{count} sound tracks", count=count)
        else:
            there = Message("one sound track") if count else Message("no sound")
        raise UsageError(
            Message(
                "There is no sound track {wanted}: {name} has {there}.", wanted=wanted, name=path.name, there=there
            ),
            remedy="Give --sound-track a number from 1, or all; or leave it out.",
        )


def choose_sound(path: Path, wanted: SoundTrackChoice) -> ChosenSound:
    """Choose among the sound tracks of a file.

    A single track is taken without decoding it.

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
        Message("sound track {number} cannot be decoded", number=number + 1)
        if loudest is None
        else Message("sound track {number} is silent", number=number + 1)
        for number, loudest in sorted(heard.items())
        if number != taken and (loudest or 0) <= _AUDIBLE
    ]
    if not why and taken:
        why = [Message("it is marked as the main one")]
    return ChosenSound(
        (tracks[taken],), (_note(len(tracks), taken + 1, chained("{first} and {second}", *why) if why else ""),)
    )


def _note(count: int, number: int, reason: str) -> str:
    if reason:
        return Message(
            "Of {count} sound tracks number {number} was used because {reason} (--sound-track N or all).",
            count=count,
            number=number,
            reason=reason,
        )
    return Message(
        "Of {count} sound tracks number {number} was used (--sound-track N or all).", count=count, number=number
    )


def _preference(stream: Any) -> tuple[bool, bool]:
    """Return a sort key: main tracks before commentary and audio description, then the default track."""
    from av.stream import Disposition

    aside = Disposition.comment | Disposition.visual_impaired | Disposition.hearing_impaired | Disposition.descriptions
    return bool(stream.disposition & aside), not stream.disposition & Disposition.default


def _loudest(path: Path, index: int) -> float | None:
    """Return the peak of a track (full scale = 1), stopping at the first audible one; None if nothing decodes."""
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
    except ValueError:  # a sample format without NumPy support; counts as audible
        return 1.0
    if samples.dtype == np.uint8:
        return float(np.abs(samples.astype(np.int16) - 128).max(initial=0)) / 128
    scale = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max)
    peak = float(np.abs(np.nan_to_num(samples.astype(np.float64))).max(initial=0.0))
    return peak / scale
