"""How large a result is drawn, so that players play it: decided before the first frame is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from avatar.errors import UsageError
from avatar.outputs.target import OutputKind, kind_of

if TYPE_CHECKING:
    from avatar.animate_job import AnimateOptions
    from avatar.sources.facts import DrivingFacts

SIZES_PX = (32, 8192)
FULL = "full"  # as large as the portrait
Size = int | str | None  # of a result's longer side in pixels; FULL; None: the default

DEFAULT_SIDE_PX = 1920  # of the portrait in the result, unless another size is asked for
_STEP_PX = 16  # a macroblock
# H.264, table A-1: level, macroblocks per second, macroblocks per frame; the levels between have the same limits
# of size or are never needed to tell what plays.
_LEVELS = (
    ("3.1", 108_000, 3_600), ("4.1", 245_760, 8_192), ("4.2", 522_240, 8_704), ("5.0", 589_824, 22_080),
    ("5.1", 983_040, 36_864), ("5.2", 2_073_600, 36_864), ("6.0", 4_177_920, 139_264),
    ("6.1", 8_355_840, 139_264), ("6.2", 16_711_680, 139_264),
)  # fmt: skip
_COMMON = ("3.1", "4.1", "4.2", "5.0", "5.1")  # what hardware decoders of the last ten years play


@dataclass(frozen=True)
class ResultSize:
    """What was decided."""

    side_px: int | None  # longer side of the drawn portrait; None: its own
    notes: tuple[str, ...] = ()


def parse_size(text: str) -> Size:
    """Read what --size was given. Raises: UsageError."""
    if text == FULL:
        return FULL
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"--size {text} is not understood.", remedy="Give a number of pixels, or full.") from error


def check_size(size: Size) -> None:
    """Raise UsageError where no result can have this size."""
    if isinstance(size, str) and size != FULL:
        raise UsageError(f"A size of {size!r} is not understood.", remedy="Give a number of pixels, or full.")
    if isinstance(size, int) and not SIZES_PX[0] <= size <= SIZES_PX[1]:
        raise UsageError(
            f"A size of {size} pixels is out of range.", remedy=f"Give {SIZES_PX[0]} to {SIZES_PX[1]}, or full."
        )


def plan_size(options: AnimateOptions, width_px: int, height_px: int, facts: DrivingFacts) -> ResultSize:
    """Decide how large a portrait is drawn.

    Args:
        options: of the job; a size that they ask for is kept, whatever plays it.
        width_px, height_px: of the part of the portrait that is animated.
        facts: of the driving clip; its pictures may stand beside the portrait, and its rate counts.
    """
    own = max(width_px, height_px)
    side = own if options.size == FULL else options.size if isinstance(options.size, int) else min(own, DEFAULT_SIDE_PX)

    def level(side_px: int) -> str:
        return h264_level(*_frame_size(options, side_px / own, width_px, height_px, facts), facts.rate)

    notes = []
    if kind_of(options.output) is OutputKind.MP4:
        while options.size is None and level(side) not in _COMMON and side > SIZES_PX[0] + _STEP_PX:
            side -= _STEP_PX
        if level(side) not in _COMMON:
            notes.append(
                f"A result of this size and rate is H.264 level {level(side)}, and many players stop at 5.1: "
                "a smaller --size plays everywhere."
            )
    if options.size is None and side < own:
        notes.append(
            f"The portrait is {width_px} x {height_px} pixels; it was drawn with {side} on its longer side "
            f"(--size full keeps all of it, --size N sets another)."
        )
    return ResultSize(None if side == own else side, tuple(notes))


def h264_level(width_px: int, height_px: int, rate: Fraction) -> str:
    """Name the lowest of the usual levels of H.264 that allows frames of this size at this rate."""
    blocks = -(-width_px // 16) * -(-height_px // 16)
    longest = max(-(-width_px // 16), -(-height_px // 16))
    for name, per_second, per_frame in _LEVELS:
        if blocks <= per_frame and blocks * rate <= per_second and longest**2 <= 8 * per_frame:
            return name
    return "above 6.2"


def _frame_size(
    options: AnimateOptions, scale: float, width_px: int, height_px: int, facts: DrivingFacts
) -> tuple[int, int]:
    """Width and height of a whole frame: the portrait and what stands beside it."""
    width, height = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    if options.side_by_side:
        width += max(1, round(facts.width_px * height / facts.height_px))
    if options.show is not None:
        width += height
    return width + width % 2, height + height % 2
