"""The options of `animate` and `live` that say how motion is carried over."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from avatar.errors import UsageError
from avatar.system.message import Message, chained

if TYPE_CHECKING:
    from avatar.engines.base import EngineEntry
    from avatar.settings import MotionSettings

_STRENGTHS = ("strength_mouth", "strength_eyes", "strength_brows")
_REGIONS = ("region", "retarget_eyes", "retarget_lips", "close_mouth")


def add_motion_options(parser: Any) -> Any:
    """Add the group "motion" to a command and return it."""
    switch = argparse.BooleanOptionalAction
    motion = parser.add_argument_group("motion")
    way = motion.add_mutually_exclusive_group()
    way.add_argument(
        "--relative", dest="relative", action="store_true", default=None,
        help="carry over how the driver moves away from a neutral frame (default)",
    )  # fmt: skip
    way.add_argument("--absolute", dest="relative", action="store_false", help="carry over the driver's pose itself")
    motion.add_argument("--adapt-scale", action=switch, default=None, help="a smaller face moves less (default: yes)")
    motion.add_argument("--strength", metavar="0..2", type=_number, help="how strongly all of it moves (default: 1)")
    motion.add_argument("--strength-head", metavar="0..2", type=_number, help="the head alone")
    motion.add_argument("--strength-expression", metavar="0..2", type=_number, help="the expression alone")
    motion.add_argument("--strength-mouth", metavar="0..2", type=_number, help="the mouth, times the expression's")
    motion.add_argument("--strength-eyes", metavar="0..2", type=_number, help="the eyes, times the expression's")
    motion.add_argument("--strength-brows", metavar="0..2", type=_number, help="the brows, times the expression's")
    parts = parser.add_argument_group("motion, for liveportrait")
    parts.add_argument("--region", choices=("all", "exp", "pose", "lip", "eyes"), help="what moves (default: all)")
    parts.add_argument("--retarget-eyes", action=switch, default=None, help="eyes close fully as the driver's do")
    parts.add_argument("--retarget-lips", action=switch, default=None, help="lips open as far as the driver's do")
    parts.add_argument("--close-mouth", action=switch, default=None, help="close an open mouth of the portrait first")
    return motion


def motion_of(args: argparse.Namespace, usual: MotionSettings, engine: str) -> MotionSettings:
    """Return the motion settings of a command; `usual` fills in what the command line omits.

    Raises:
        UsageError: an option needs an engine that moves that part of a face apart from others.
        EngineError: there is no such engine.
    """
    from avatar.engines.registry import ENTRIES, find_engine

    parts = {name: getattr(args, name) for name in (*_STRENGTHS, *_REGIONS) if getattr(args, name) is not None}
    chosen = find_engine(engine)
    for part in parts:
        if not _has(chosen, part):
            others = chained("{first} or {second}", *(name for name, entry in ENTRIES.items() if _has(entry, part)))
            option = f"--{part.replace('_', '-')}"
            raise UsageError(
                Message("{option} belongs to --engine {others}.", option=option, others=others), remedy="Leave it out."
            )
    whole = {
        "relative": args.relative,
        "adapt_scale": args.adapt_scale,
        "strength_head": args.strength if args.strength_head is None else args.strength_head,
        "strength_expression": args.strength if args.strength_expression is None else args.strength_expression,
    }
    return replace(usual, **parts, **{name: value for name, value in whole.items() if value is not None})


def _has(entry: EngineEntry, part: str) -> bool:
    """Return whether an engine follows one of _STRENGTHS and _REGIONS."""
    return entry.knows_regions if part in _REGIONS else part.removeprefix("strength_") in entry.parts


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 2:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 2")
    return value
