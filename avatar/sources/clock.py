"""One continuous timeline for a file whose clock restarts or jumps.

In joined recordings, broadcast captures and DVDs the packets' time stamps restart or jump wherever two pieces meet. All
streams of a piece share one offset, so that sound and video stay in sync.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from avatar.system.limits import MAX_AHEAD_BYTES

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer

BACK_S = 0.1  # a packet that starts a GOP, or sound, this much earlier than a previous one begins a new piece
BACK_INSIDE_S = 1.0  # the same for other frames, whose times B-frames may reorder
GAP_S = 10.0  # shorter gaps are lost packets or a pause: real time
LONG_GAP_S = 300.0  # the same if a packet claims that length, or the container's clock does not jump
NEAR_S = 3.0  # maximum distance of simultaneous sound and frames in a file, and of their ends at a join
STEADY_S = 0.05  # a packet this close to the end of the previous one continues it
MAX_LENGTH_S = 1.0  # limit of a packet's duration that counts as evidence of elapsed time
TYPICAL_S = 0.04  # assumed duration of a packet without one
_AHEAD = 600  # maximum look-ahead in packets; three seconds of most clips
_TS_DISCONT = 0x0200  # AVFMT_TS_DISCONT: the container's clock may jump


@dataclass(frozen=True)
class Stamp:
    """Time stamp of a packet, in seconds on the file's clock."""

    stream: int
    time_s: float | None  # decoding time; None: unknown
    length_s: float = 0.0  # 0: unknown
    starts: bool = True  # decodable without earlier packets
    shown_s: float | None = None  # presentation time, if different

    @property
    def shown_or_time_s(self) -> float:
        """Presentation time, otherwise decoding time, in seconds."""
        return self.shown_s if self.shown_s is not None else self.time_s or 0.0

    @property
    def capped_s(self) -> float:
        """Duration, limited because MP4 extends the last packet before a jump over the jump."""
        return self.length_s if 0 < self.length_s <= MAX_LENGTH_S else TYPICAL_S


Ahead = Callable[[], Iterable[Stamp]]


@dataclass
class _Reach:
    """Position of one stream in one piece, on the file's clock."""

    start_s: float  # latest start of a packet
    end_s: float  # its end
    claimed_s: float  # its end by the duration that it claims
    shown_end_s: float  # end of presentation of the last packet
    packets: int = 0

    @classmethod
    def of(cls, time_s: float) -> _Reach:
        """Create the position just before the first packet."""
        return cls(time_s, time_s, time_s, time_s)

    def steps_back(self, stamp: Stamp, inside_s: float) -> bool:
        """Return whether the packet is earlier than reordering explains, by more than `inside_s` within a GOP."""
        tolerated_s = BACK_S if stamp.starts else inside_s
        return stamp.time_s is not None and stamp.time_s < self.start_s - tolerated_s

    def add(self, stamp: Stamp, time_s: float) -> None:
        """Advance by one packet."""
        self.start_s = max(self.start_s, time_s)
        self.end_s = max(self.end_s, time_s + stamp.capped_s)
        self.claimed_s = max(self.claimed_s, time_s + max(stamp.length_s, stamp.capped_s))
        self.shown_end_s = max(self.shown_end_s, stamp.shown_or_time_s + stamp.capped_s)
        self.packets += 1


@dataclass
class _Piece:
    """A part of the file with a continuous clock."""

    offset_s: float  # offset from the file's clock to the timeline
    streams: dict[int, _Reach] = field(default_factory=dict)


class Clock:
    """Maps the packets of a file, in reading order, to one timeline.

    The first piece keeps its own times. The same packets in the same order always give the same offsets, so that
    two readers of a file agree.
    """

    def __init__(self, *, may_jump: bool = False) -> None:
        """Create a clock; `may_jump`: for containers (MPEG) whose clock is known to jump."""
        self.may_jump = may_jump
        # Matroska stores presentation times only: a B-frame follows a frame that it precedes, by up to a minute.
        self._inside_s = BACK_INSIDE_S if may_jump else float("inf")
        self._pieces = [_Piece(0.0)]
        self._at: dict[int, int] = {}  # index of each stream's current piece
        self._first: dict[int, int] = {}  # index of each stream's first and latest packet
        self._latest: dict[int, int] = {}
        self._count = 0
        self._joins: dict[int, int] = {}

    def offset_s(self, stamp: Stamp, ahead: Ahead = tuple) -> float:
        """Return the offset in seconds to add to the packet's times.

        Args:
            stamp: time stamp of the next packet.
            ahead: returns the stamps of the following packets, as many as are available; called if a jump ahead may
                also be a long still passage.
        """
        stream, time_s = stamp.stream, stamp.time_s
        self._count += 1
        if time_s is None:
            return self._pieces[self._at.get(stream, -1)].offset_s
        if stream not in self._at:
            self._at[stream], self._first[stream] = len(self._pieces) - 1, self._count
        elif not self._goes_on(stamp, time_s, ahead):
            number = self._other_piece(stream, time_s)
            self._at[stream] = self._open(stamp, ahead) if number is None else number
        piece = self._pieces[self._at[stream]]
        self._latest[stream] = self._count
        reach = piece.streams.setdefault(stream, _Reach.of(time_s))
        reach.add(stamp, time_s)
        if reach.packets == 2 and piece is not self._pieces[0]:  # not a single packet with a wrong stamp
            self._joins[stream] = self._joins.get(stream, 0) + 1
        return piece.offset_s

    def joins(self, stream: int) -> int:
        """Count how often a stream moved to another piece, ignoring single packets with a wrong stamp."""
        return self._joins.get(stream, 0)

    def _goes_on(self, stamp: Stamp, time_s: float, ahead: Ahead) -> bool:
        """Return whether the packet continues its stream's current piece."""
        piece = self._pieces[self._at[stamp.stream]]
        reach = piece.streams[stamp.stream]
        if reach.steps_back(stamp, self._inside_s):
            slightly = reach.start_s - time_s < BACK_INSIDE_S
            return slightly and self._others_go_on(stamp.stream, ahead, known_only=True) is True
        gap_s = time_s - reach.end_s
        if gap_s <= STEADY_S:
            return True
        if gap_s <= GAP_S:
            return not self._fits_better_in_a_newer_piece(stamp.stream, time_s, gap_s)
        middle_s = (reach.end_s + time_s) / 2
        if any(other.end_s > middle_s for number, other in piece.streams.items() if number != stamp.stream):
            return True
        passed = self._others_go_on(stamp.stream, ahead)
        if passed is None:  # no other evidence: rely on the claimed duration, or on the container's type
            claimed = time_s <= reach.claimed_s + STEADY_S
            return gap_s <= (LONG_GAP_S if claimed or not self.may_jump else GAP_S)
        return passed

    def _fits_better_in_a_newer_piece(self, stream: int, time_s: float, gap_s: float) -> bool:
        newest = self._pieces[-1]
        if newest is self._pieces[self._at[stream]]:
            return False
        return abs(time_s + newest.offset_s - self._position_s()) < gap_s

    def _others_go_on(self, stream: int, ahead: Ahead, *, known_only: bool = False) -> bool | None:
        """Return whether another stream continues past the end of this one; False: it jumps too; None: unknown.

        `known_only`: ignore streams that have not begun yet, or have ended.
        """
        streams = self._pieces[self._at[stream]].streams
        end_s = streams[stream].end_s
        others = {
            number: replace(other)
            for number, other in streams.items()
            if number != stream and other.end_s > end_s - NEAR_S
        }  # fmt: skip
        for stamp in ahead():
            if stamp.stream == stream or stamp.time_s is None:
                continue
            other = others.get(stamp.stream)
            if other is None:
                if known_only:
                    continue
                if stamp.time_s > end_s + GAP_S:
                    return False
                other = others[stamp.stream] = _Reach.of(stamp.time_s)
            elif other.steps_back(stamp, self._inside_s) or stamp.time_s - other.end_s > GAP_S:
                return False
            other.add(stamp, stamp.time_s)
            if other.end_s > end_s + NEAR_S:
                return True
        return None

    def _other_piece(self, stream: int, time_s: float) -> int | None:
        """Return the index of an existing piece that the packet belongs to."""
        at = self._at[stream]
        end_s = self._pieces[at].streams[stream].end_s + self._pieces[at].offset_s
        newer = {
            number: time_s + self._pieces[number].offset_s
            for number in range(at + 1, len(self._pieces))
        }  # fmt: skip
        fitting = {number: t for number, t in newer.items() if end_s - NEAR_S <= t <= self._position_s() + NEAR_S}
        if fitting:
            return min(fitting, key=lambda number: abs(fitting[number] - end_s))
        for number in range(at - 1, max(-1, at - 8), -1):  # return after a packet with a wrong stamp
            reach = self._pieces[number].streams.get(stream)
            if reach and -BACK_S <= time_s - reach.end_s <= NEAR_S:
                return number
        return None

    def _open(self, stamp: Stamp, ahead: Ahead) -> int:
        """Begin a piece with this packet: where everything before it ends, or its own stream if it restarts alone."""
        old = self._pieces[self._at[stamp.stream]]
        start_s = self._position_s()
        if self._others_go_on(stamp.stream, ahead, known_only=True):
            start_s = old.streams[stamp.stream].shown_end_s + old.offset_s
        self._pieces.append(_Piece(start_s - stamp.shown_or_time_s))
        number = len(self._pieces) - 1
        for other, first in self._first.items():
            if other != stamp.stream and first > self._latest[stamp.stream]:  # a stream of this piece only
                old = self._pieces[self._at[other]]
                self._pieces[number].streams[other] = old.streams.pop(other)
                self._at[other] = number
        return number

    def _position_s(self) -> float:
        """Return the latest end on the timeline, in seconds."""
        return max(
            (reach.shown_end_s + piece.offset_s for piece in self._pieces[-8:] for reach in piece.streams.values()),
            default=0.0,
        )


def clock_of(container: InputContainer) -> Clock:
    """Return a clock for a file that is about to be read from its start."""
    return Clock(may_jump=bool(container.format.flags & _TS_DISCONT))


def retimed(packets: Iterator[Packet[Any]], clock: Clock) -> Iterator[Packet[Any]]:
    """Yield the packets, in the file's order, with stamps on the timeline of `clock`."""
    waiting: deque[Packet[Any]] = deque()

    def ahead() -> Iterator[Stamp]:
        for held_back in tuple(waiting):
            yield _stamp_of(held_back, clock)
        held = sum(packet.size for packet in waiting)
        while len(waiting) < _AHEAD and held < MAX_AHEAD_BYTES and (packet := next(packets, None)) is not None:
            waiting.append(packet)
            held += packet.size
            yield _stamp_of(packet, clock)

    while (packet := waiting.popleft() if waiting else next(packets, None)) is not None:
        if packet.size or packet.pts is not None:  # otherwise it is a flush packet
            offset_s = clock.offset_s(_stamp_of(packet, clock), ahead)
            if offset_s:
                shift = round(offset_s / packet.time_base)
                packet.pts = None if packet.pts is None else packet.pts + shift
                packet.dts = None if packet.dts is None else packet.dts + shift
        yield packet


def _stamp_of(packet: Packet[Any], clock: Clock) -> Stamp:
    ticks = packet.dts if packet.dts is not None else packet.pts
    if not clock.may_jump and packet.pts is not None:
        ticks = packet.pts  # in Matroska FFmpeg derives decoding times from other packets, too late at a jump
    if ticks is None or packet.is_discard:  # packets cut by an edit list are outside the timeline
        return Stamp(packet.stream_index, None)
    base = packet.time_base
    shown_s = None if packet.pts is None else float(packet.pts * base)
    length_s = float((packet.duration or 0) * base)
    return Stamp(packet.stream_index, float(ticks * base), length_s, packet.is_keyframe, shown_s)
