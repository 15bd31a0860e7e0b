"""`run.py animate SOURCE DRIVING -o OUT`: make a portrait move as the person in a video does."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.commands.motion_options import add_motion_options, motion_of
from avatar.errors import UsageError
from avatar.reports.progress import ProgressBar, rounded
from avatar.system.foreign_text import MOST_OF_SENTENCE, shown
from avatar.system.installation import NAME
from avatar.system.message import Message

if TYPE_CHECKING:
    from types import FrameType

    from avatar.offline.animate import AnimateResult
    from avatar.offline.job import AnimateOptions

FAILED = 1
_LABELS = {
    "tracking": "Following the face", "portrait": "Following the portrait's face", "reading": "Reading the clip",
    "comparing": "Looking for the reference",
    "drawing": "Drawing", "measuring": "Measuring",
}  # fmt: skip
_HELP = f"""\
SOURCE   a picture, the name of an avatar ({NAME} avatars list), or, with --engine liveportrait, a video
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
    motion = add_motion_options(parser)
    motion.add_argument(
        "--reference", metavar="auto|first|N", default="auto",
        help="the neutral frame: the one nearest to the portrait (auto), the first with a face, or a number from 0",
    )  # fmt: skip
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
    result.add_argument(
        "--background", metavar="KIND|#RRGGBB|FILE", type=str, default="own",
        help="behind the person: own (default), blur, green, transparent (.webm, PNG frames), a colour, a picture",
    )  # fmt: skip
    result.add_argument("--audio", action=switch, default=True, help="keep DRIVING's sound (default: yes)")
    result.add_argument(
        "--sound-track", metavar="N|all", type=_sound_track,
        help="which of DRIVING's sound tracks to keep: a number from 1, or all (default: the first that can be heard)",
    )  # fmt: skip
    result.add_argument("--side-by-side", action="store_true", help="show DRIVING to the left of the portrait")
    result.add_argument(
        "--show", choices=("motion",),
        help="for fomm, liveportrait: show keypoints, deformation and occlusion map to the right of the portrait",
    )  # fmt: skip
    engine = parser.add_argument_group("engine")
    engine.add_argument(
        "--engine", choices=("warp", "fomm", "liveportrait"), default="warp", help="what draws (default: warp)"
    )
    engine.add_argument(
        "--model", metavar="NAME|FILE|FOLDER",
        help="for fomm: a checkpoint, or a folder of `models export`; for liveportrait: its files' folder, or one file",
    )  # fmt: skip
    engine.add_argument("--config", metavar="NAME|YAML", help="the model's structure (default: read off the weights)")
    engine.add_argument("--device", metavar="auto|cpu|cuda|cuda:N|mps", default="auto", help="where a model runs")
    engine.add_argument(
        "--render", choices=("auto", "processor", "graphics"), default="auto",
        help="where warp draws: on the processor, on the graphics chip, or on whichever is faster (auto)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run the job and return the exit code."""
    options = options_of(args)
    return run_job(options)


def run_job(options: AnimateOptions, *, show_notes: bool = True) -> int:
    """Animate with progress on the terminal; Ctrl-C and SIGTERM remove incomplete results."""
    from avatar.offline.animate import animate

    existed = options.output.exists()
    try:
        with stopped_by_kill(), Progress() as progress:
            result = animate(options, progress.report, announce=_announce)
    except KeyboardInterrupt:
        name = shown(options.output, MOST_OF_SENTENCE)
        left = f"{name} is untouched." if existed else f"{name} was not written."
        print(f"\nStopped; {left}", file=sys.stderr)
        return FAILED
    for note in result.notes if show_notes else ():
        print(shown(note, MOST_OF_SENTENCE), file=sys.stderr)
    print(closing_line(result))
    return 0


def _announce(sentence: str) -> None:
    print(shown(sentence, MOST_OF_SENTENCE), file=sys.stderr, flush=True)


def options_of(args: argparse.Namespace) -> AnimateOptions:
    """Build the job's options; the settings provide values that the command line omits.

    Raises:
        UsageError, EngineError: an option is invalid or not available.
    """
    from avatar.offline.driving_motion import named_driving
    from avatar.offline.job import AnimateOptions
    from avatar.offline.size import parse_size
    from avatar.outputs.background_choice import parse_background
    from avatar.portrait.crop import parse_crop, parse_turn
    from avatar.settings import load_settings
    from avatar.system.devices import check_device_name

    check_device_name(args.device)
    return AnimateOptions(
        source=args.source,
        driving=named_driving(args.driving),
        output=args.output,
        engine=args.engine,
        model=args.model,
        config=args.config,
        motion=motion_of(args, load_settings().motion, args.engine),
        reference=_reference(args.reference),
        crop=parse_crop(args.crop),
        turn_deg=parse_turn(args.turn),
        size=None if args.size is None else parse_size(args.size),
        device=args.device,
        render=args.render,
        audio=args.audio,
        sound_track=args.sound_track,
        background=parse_background(args.background),
        side_by_side=args.side_by_side,
        show=args.show,
    )


def closing_line(result: AnimateResult) -> str:
    """Format engine, device, frames, speed and path on one line."""
    total_s = result.tracking_s + result.drawing_s
    precision = f" in {result.precision}" if result.precision else ""
    missed = result.frames - result.faces
    unseen = f" ({missed} without a face)" if missed else ""
    return (
        f"{result.engine} on {result.device}{precision}: {result.frames} frames{unseen} of "
        f"{result.width_px} x {result.height_px} in {total_s:.1f} s, "
        f"{rounded(result.frames / max(total_s, 1e-9))} frames/s: {shown(result.output, MOST_OF_SENTENCE)}"
    )


class Progress:
    """Progress bars of the job's stages, one at a time."""

    def __init__(self) -> None:
        self._bars = contextlib.ExitStack()
        self._stage = ""
        self._bar: ProgressBar | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.close()

    def report(self, stage: str, done: int, total: int) -> None:
        """Show the progress of a stage."""
        if stage != self._stage or self._bar is None:
            self._bars.close()
            self._stage = stage
            self._bar = self._bars.enter_context(ProgressBar(_LABELS.get(stage, stage), total or None, "frames"))
        self._bar.update(done, total or None)


@contextlib.contextmanager
def stopped_by_kill() -> Iterator[None]:
    """Treat SIGTERM and a closed terminal like Ctrl-C, so that the job cleans up."""

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
        raise UsageError(
            Message("--reference {text} is not understood.", text=text),
            remedy="Give auto, first, or a frame number from 0.",
        )
    return int(text)
