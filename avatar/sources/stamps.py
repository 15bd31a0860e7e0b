"""Stamps for packets that have none: Matroska may put several frames into one block, which has one time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import Packet

_HELD = 300  # packets that wait for the next stamp


@dataclass
class _Run:
    """One stream's latest stamp, and the packets since then that have none."""

    latest: int  # ticks
    step: float = 0.0  # ticks between packets of the run before
    packets: list[Packet[Any]] = field(default_factory=list)

    def fill(self, until: int | None) -> None:
        """Spread the packets evenly up to the next stamp; without one, they go on as before."""
        if until is not None and until > self.latest:
            self.step = (until - self.latest) / (len(self.packets) + 1)
        if self.step:
            for number, packet in enumerate(self.packets, 1):
                packet.dts = self.latest + round(number * self.step)
                if not getattr(packet.stream.codec_context, "has_b_frames", 0):  # else the decoder finds the order
                    packet.pts = packet.dts
                packet.duration = packet.duration or round(self.step)
            self.latest += round(len(self.packets) * self.step)
        self.packets.clear()


def stamped(packets: Iterator[Packet[Any]]) -> Iterator[Packet[Any]]:
    """Yield the same packets in the same order; those without a stamp get one between their neighbours'.

    A stream without any stamp is left as it is.
    """
    runs: dict[int, _Run] = {}
    held: deque[Packet[Any]] = deque()
    for packet in packets:
        held.append(packet)
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is not None:
            run = runs.setdefault(packet.stream_index, _Run(stamp))
            if run.packets:
                run.fill(stamp)
            run.latest = stamp
        elif packet.size and (known := runs.get(packet.stream_index)) is not None:
            known.packets.append(packet)
        if len(held) > _HELD or (not packet.size and stamp is None):  # one that flushes its decoder: the end is near
            for run in runs.values():
                run.fill(None)
        if not any(run.packets for run in runs.values()):
            yield from held
            held.clear()
    for run in runs.values():
        run.fill(None)
    yield from held
