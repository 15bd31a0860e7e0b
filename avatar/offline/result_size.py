"""Size of a result, chosen before the first frame is drawn so that common players can play it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from avatar.offline.size import FULL, SIZES_PX
from avatar.outputs.files.target import OutputKind, kind_of
from avatar.system.message import Message

if TYPE_CHECKING:
    from avatar.offline.job import AnimateOptions
    from avatar.sources.facts import DrivingFacts

DEFAULT_SIDE_PX = 1920  # longer side of the portrait in the result, unless a size is given
_STEP_PX = 16  # a macroblock
# H.264, table A-1: level, macroblocks per second, macroblocks per frame. Levels between these have the same size
# limits or make no difference here.
_LEVELS = (
    ("3.1", 108_000, 3_600), ("4.1", 245_760, 8_192), ("4.2", 522_240, 8_704), ("5.0", 589_824, 22_080),
    ("5.1", 983_040, 36_864), ("5.2", 2_073_600, 36_864), ("6.0", 4_177_920, 139_264),
    ("6.1", 8_355_840, 139_264), ("6.2", 16_711_680, 139_264),
)  # fmt: skip
_COMMON = ("3.1", "4.1", "4.2", "5.0", "5.1")  # levels that hardware decoders of the last ten years support


@dataclass(frozen=True)
class ResultSize:
    """Chosen size of a result."""

    side_px: int | None  # longer side of the drawn portrait; None: its own
    notes: tuple[str, ...] = ()


def plan_size(options: AnimateOptions, width_px: int, height_px: int, facts: DrivingFacts) -> ResultSize:
    """Choose the size at which a portrait is drawn.

    Args:
        options: options of the job; an explicit size is kept even if few players support it.
        width_px, height_px: size of the animated part of the portrait.
        facts: facts about the driving clip, whose frames may be put beside the portrait, and whose rate matters.
    """
    own = max(width_px, height_px)
    side = own if options.size == FULL else options.size if isinstance(options.size, int) else min(own, DEFAULT_SIDE_PX)

    def level(side_px: int) -> str:
        return h264_level(*_frame_size(options, side_px / own, width_px, height_px, facts), facts.rate)

    notes: list[str] = []
    if kind_of(options.output) is OutputKind.MP4:
        while options.size is None and level(side) not in _COMMON and side > SIZES_PX[0] + _STEP_PX:
            side -= _STEP_PX
        if level(side) not in _COMMON:
            notes.append(
                Message(
                    "A result of this size and rate is H.264 level {level}, and many players stop at 5.1: a smaller "
                    "--size plays everywhere.",
                    level=level(side),
                )
            )
    if options.size is None and side < own:
        notes.append(
            Message(
                "The portrait is {width} x {height} pixels; it was drawn with {side} on its longer side (--size full "
                "keeps all of it, --size N sets another).",
                width=width_px,
                height=height_px,
                side=side,
            )
        )
    return ResultSize(None if side == own else side, tuple(notes))


def h264_level(width_px: int, height_px: int, rate: Fraction) -> str:
    """Return the lowest common H.264 level that allows frames of this size at this rate."""
    blocks = -(-width_px // 16) * -(-height_px // 16)
    longest = max(-(-width_px // 16), -(-height_px // 16))
    for name, per_second, per_frame in _LEVELS:
        if blocks <= per_frame and blocks * rate <= per_second and longest**2 <= 8 * per_frame:
            return name
    return "above 6.2"


def _frame_size(
    options: AnimateOptions, scale: float, width_px: int, height_px: int, facts: DrivingFacts
) -> tuple[int, int]:
    """Return width and height of a whole frame: the portrait and the images beside it."""
    width, height = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    if options.side_by_side:
        width += max(1, round(facts.width_px * height / facts.height_px))
    if options.show is not None:
        width += height
    return width + width % 2, height + height % 2
