"""Conversion of a file's packets to one continuous timeline, the same for every reader of the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from avatar.sources.clock import Clock, retimed
from avatar.sources.fragments import all_kept
from avatar.sources.stamps import stamped

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer


def on_one_timeline(packets: Iterator[Packet[Any]], container: InputContainer, clock: Clock) -> Iterator[Packet[Any]]:
    """Complete the stamps of the packets and move them to the timeline of `clock`.

    Args:
        packets: packets of the video and of all sound tracks, in the file's order from its start.
        container: the file.
        clock: a new clock from `clock_of`.
    """
    return retimed(stamped(all_kept(packets, container)), clock)
