"""Time stamps for packets without one: Matroska may put several frames into one block with one time stamp."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import Packet

_HELD = 300  # maximum number of packets that wait for the next stamp


@dataclass
class _Run:
    """One stream's latest stamp, and the packets without a stamp since then."""

    latest: int  # ticks
    step: float = 0.0  # ticks between packets of the previous run
    packets: list[Packet[Any]] = field(default_factory=list)

    def fill(self, until: int | None) -> None:
        """Space the packets evenly up to the next stamp; without one, with the previous step."""
        if until is not None and until > self.latest:
            self.step = (until - self.latest) / (len(self.packets) + 1)
        if self.step:
            for number, packet in enumerate(self.packets, 1):
                packet.dts = self.latest + round(number * self.step)
                if not getattr(packet.stream.codec_context, "has_b_frames", 0):  # otherwise the decoder sets the order
                    packet.pts = packet.dts
                packet.duration = packet.duration or round(self.step)
            self.latest += round(len(self.packets) * self.step)
        self.packets.clear()


def stamped(packets: Iterator[Packet[Any]]) -> Iterator[Packet[Any]]:
    """Yield the packets in the same order; those without a stamp get one between their neighbours'.

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
        if len(held) > _HELD or (not packet.size and stamp is None):  # a flush packet comes last
            for run in runs.values():
                run.fill(None)
        if not any(run.packets for run in runs.values()):
            yield from held
            held.clear()
    for run in runs.values():
        run.fill(None)
    yield from held
