"""`run.py animate SOURCE DRIVING -o OUT`: make a portrait move as the person in a video does."""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.errors import UsageError
from avatar.foreign_text import MOST_OF_SENTENCE, shown
from avatar.progress import ProgressBar, rounded

if TYPE_CHECKING:
    from types import FrameType

    from avatar.animate import AnimateResult
    from avatar.animate_job import AnimateOptions

FAILED = 1
_LABELS = {
    "tracking": "Following the face", "reading": "Reading the clip", "comparing": "Looking for the reference",
    "drawing": "Drawing",
}  # fmt: skip
_HELP = """\
SOURCE   a picture, or the name of an avatar (run.py avatars list)
DRIVING  a video, an animated GIF, PNG, WebP or AVIF, a folder of pictures, a motion template (.masque), or idle:
         the built-in motion
OUT      .mp4, .webm or .gif; a name without an ending becomes a folder of PNG frames.
         An odd width or height is padded to even in .mp4 and .webm, which cannot hold odd ones."""


def add_parser(subparsers: Any) -> None:
    """Add `animate` and its options to the command line."""
    parser = subparsers.add_parser(
        "animate",
        help="make a portrait move as the person in a video does",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", metavar="SOURCE", help="the portrait")
    add("driving", metavar="DRIVING", type=Path, help="the motion")
    add("-o", "--output", metavar="OUT", type=Path, required=True, help="the result")
    switch = argparse.BooleanOptionalAction
    motion = parser.add_argument_group("motion")
    way = motion.add_mutually_exclusive_group()
    way.add_argument(
        "--relative", dest="relative", action="store_true", default=None,
        help="carry over how the driver moves away from a neutral frame (default)",
    )  # fmt: skip
    way.add_argument("--absolute", dest="relative", action="store_false", help="carry over the driver's pose itself")
    motion.add_argument(
        "--adapt-scale", action=switch, default=None, help="a smaller face moves less (default: yes)"
    )
    motion.add_argument(
        "--reference", metavar="auto|first|N", default="auto",
        help="the neutral frame: the one nearest to the portrait (auto), the first with a face, or a number from 0",
    )  # fmt: skip
    motion.add_argument("--strength", metavar="0..2", type=_number, help="how strongly all of it moves (default: 1)")
    motion.add_argument("--strength-head", metavar="0..2", type=_number, help="the head alone")
    motion.add_argument("--strength-expression", metavar="0..2", type=_number, help="the expression alone")
    result = parser.add_argument_group("result")
    result.add_argument(
        "--crop", metavar="auto|none|X,Y,W,H", default="auto",
        help="part of SOURCE to use: head and shoulders if the face is small in it (auto), all (none), or a part",
    )  # fmt: skip
    result.add_argument(
        "--turn", metavar="auto|0|90|180|270", default="auto",
        help="turn SOURCE clockwise first; auto: until its face is upright (default)",
    )  # fmt: skip
    result.add_argument(
        "--size", metavar="N|full",
        help="longer side of the portrait in pixels (default: that of SOURCE, at most 1920), or full: that of SOURCE",
    )  # fmt: skip
    result.add_argument("--audio", action=switch, default=True, help="keep DRIVING's sound (default: yes)")
    result.add_argument(
        "--sound-track", metavar="N|all", type=_sound_track,
        help="which of DRIVING's sound tracks to keep: a number from 1, or all (default: the first that can be heard)",
    )  # fmt: skip
    result.add_argument("--side-by-side", action="store_true", help="show DRIVING to the left of the portrait")
    result.add_argument(
        "--show", choices=("motion",),
        help="for fomm: show keypoints, local frames, deformation and occlusion map to the right of the portrait",
    )  # fmt: skip
    engine = parser.add_argument_group("engine")
    engine.add_argument("--engine", choices=("warp", "fomm"), default="warp", help="what draws (default: warp)")
    engine.add_argument("--model", metavar="NAME|FILE", help="for fomm: a checkpoint, or a folder of `models export`")
    engine.add_argument("--config", metavar="NAME|YAML", help="for fomm: the checkpoint's structure (default: its own)")
    engine.add_argument("--device", metavar="auto|cpu|cuda|cuda:N|mps", default="auto", help="where fomm runs")


def run(args: argparse.Namespace) -> int:
    """Do the job and return the exit code."""
    options = options_of(args)
    return run_job(options)


def run_job(options: AnimateOptions, *, show_notes: bool = True) -> int:
    """Animate with progress on the terminal; Ctrl-C and SIGTERM leave nothing half done."""
    from avatar.animate import animate

    existed = options.output.exists()
    try:
        with _stopped_by_kill(), _Progress() as progress:
            result = animate(options, progress.report)
    except KeyboardInterrupt:
        name = shown(options.output, MOST_OF_SENTENCE)
        left = f"{name} is untouched." if existed else f"{name} was not written."
        print(f"\nStopped; {left}", file=sys.stderr)
        return FAILED
    for note in result.notes if show_notes else ():
        print(shown(note, MOST_OF_SENTENCE), file=sys.stderr)
    print(closing_line(result))
    return 0


def options_of(args: argparse.Namespace) -> AnimateOptions:
    """The job that the command line describes; what it leaves open comes from the settings.

    Raises:
        UsageError, EngineError: it makes no sense, or asks for what this version does not have.
    """
    from avatar.animate_job import AnimateOptions
    from avatar.devices import check_device_name
    from avatar.driving_motion import named_driving
    from avatar.portrait_crop import parse_crop, parse_turn
    from avatar.result_size import parse_size
    from avatar.settings import load_settings

    check_device_name(args.device)
    motion = load_settings().motion
    return AnimateOptions(
        source=args.source,
        driving=named_driving(args.driving),
        output=args.output,
        engine=args.engine,
        model=args.model,
        config=args.config,
        relative=_first(args.relative, motion.relative),
        adapt_scale=_first(args.adapt_scale, motion.adapt_scale),
        reference=_reference(args.reference),
        strength_head=_first(args.strength_head, args.strength, motion.strength_head),
        strength_expression=_first(args.strength_expression, args.strength, motion.strength_expression),
        crop=parse_crop(args.crop),
        turn_deg=parse_turn(args.turn),
        size=None if args.size is None else parse_size(args.size),
        device=args.device,
        audio=args.audio,
        sound_track=args.sound_track,
        side_by_side=args.side_by_side,
        show=args.show,
    )


def closing_line(result: AnimateResult) -> str:
    """Engine, device, frames, speed and place, on one line."""
    total_s = result.tracking_s + result.drawing_s
    precision = f" in {result.precision}" if result.precision else ""
    missed = result.frames - result.faces
    unseen = f" ({missed} without a face)" if missed else ""
    return (
        f"{result.engine} on {result.device}{precision}: {result.frames} frames{unseen} of "
        f"{result.width_px} x {result.height_px} in {total_s:.1f} s, "
        f"{rounded(result.frames / max(total_s, 1e-9))} frames/s: {shown(result.output, MOST_OF_SENTENCE)}"
    )


class _Progress:
    """One bar after the other, as the job goes from stage to stage."""

    def __init__(self) -> None:
        self._bars = contextlib.ExitStack()
        self._stage = ""
        self._bar: ProgressBar | None = None

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.close()

    def report(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage is."""
        if stage != self._stage or self._bar is None:
            self._bars.close()
            self._stage = stage
            self._bar = self._bars.enter_context(ProgressBar(_LABELS.get(stage, stage), total or None, "frames"))
        self._bar.update(done, total or None)


@contextlib.contextmanager
def _stopped_by_kill() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the job as Ctrl-C does, which clears up."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 2:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 2")
    return value


def _sound_track(text: str) -> int | str:
    if text == "all":
        return text
    if not text.isascii() or not text.isdecimal() or int(text[:9]) < 1:
        raise argparse.ArgumentTypeError(f"{text} is neither a number from 1 nor all")
    return int(text[:9])


def _reference(text: str) -> str | int:
    if text in ("auto", "first"):
        return text
    if not text.isascii() or not text.isdecimal():
        raise UsageError(f"--reference {text} is not understood.", remedy="Give auto, first, or a frame number from 0.")
    return int(text)


def _first(*values: Any) -> Any:
    """The first value that was given."""
    return next(value for value in values if value is not None)
