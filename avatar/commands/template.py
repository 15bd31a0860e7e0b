"""`run.py template DRIVING -o FILE`: stores the motion of a video without images of the person."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.reports.progress import ProgressBar
from avatar.system.foreign_text import MOST_OF_SENTENCE, shown
from avatar.system.message import Message

if TYPE_CHECKING:
    from avatar.frames import Frame
    from avatar.motion.parameters import ParameterTrack
    from avatar.motion.track import MotionTrack
    from avatar.sources.facts import DrivingVideo


def add_parser(subparsers: Any) -> None:
    """Add `template` to the command line."""
    parser = subparsers.add_parser(
        "template",
        help="keep the motion of a video without anyone's picture",
        description="Follow the face in a video, or make up one that says what a recording holds, and store its motion "
        "alone, which animate takes in place of a video. "
        "docs/motion-template.md tells what is in it.",
    )
    driving = "a video, an animated image, a folder of pictures, or a recording of a voice"
    parser.add_argument("driving", metavar="DRIVING", type=Path, help=driving)
    parser.add_argument("-o", "--output", metavar="FILE.masque", type=Path, required=True, help="the template")
    parser.add_argument(
        "--engine", choices=("warp", "liveportrait"), default="warp",
        help="which engine it is for: warp stores landmarks, liveportrait what its networks measure (default: warp)",
    )  # fmt: skip
    parser.add_argument("--model", metavar="NAME|FILE|FOLDER", help="for liveportrait: its weights")
    parser.add_argument("--device", metavar="auto|cpu|cuda|cuda:N|mps", default="auto", help="where it measures")


def run(args: argparse.Namespace) -> int:
    """Track the clip, write the template and return the exit code."""
    from avatar.errors import UsageError
    from avatar.motion.template import SUFFIX, save_template
    from avatar.motion.track import track_frames
    from avatar.motion.upright_clip import open_turned, turn_of_clip
    from avatar.offline.driving_motion import is_template
    from avatar.outputs.files.target import check_apart, check_folder, refuse_special
    from avatar.sources.sound_file import is_sound
    from avatar.tracking import open_tracker

    output: Path = args.output
    if output.suffix.lower() != SUFFIX:
        raise UsageError(
            Message("{name} does not end in {suffix}.", name=output.name, suffix=SUFFIX),
            remedy=Message("Try: -o {stem}{suffix}", stem=output.stem, suffix=SUFFIX),
        )
    if output.is_dir():
        raise UsageError(
            Message("{path} is a folder, not a file.", path=output),
            remedy=Message("Try: -o {output}{suffix}", output=output / "motion", suffix=SUFFIX),
        )
    if is_template(args.driving):
        raise UsageError(
            Message("{name} is a template already.", name=args.driving.name),
            remedy="Give animate this file as DRIVING.",
        )
    check_apart([output], [args.driving])
    refuse_special(output)
    check_folder(output.resolve().parent)
    if args.engine != "warp":
        if is_sound(args.driving):
            what = Message("{name} is sound without images, and {engine} measures images.", name=args.driving.name,
                           engine=args.engine)  # fmt: skip
            raise UsageError(what, remedy="Leave --engine out.")
        return _measure(args, output)
    if args.model is not None:
        raise UsageError("--model belongs to --engine liveportrait.", remedy="Leave it out.")
    if is_sound(args.driving):
        return _speak(args.driving, output)
    with (
        contextlib.closing(open_tracker()) as tracker,
        open_turned(args.driving, turn_of_clip(args.driving, tracker)) as clip,
        _bar(clip) as bar,
    ):
        track = track_frames(_counted(clip, bar), tracker, name=args.driving.name)
        notes = clip.notes
    save_template(track, output)
    return _conclude(track, notes, output)


def _speak(driving: Path, output: Path) -> int:
    """Write a template of somebody who says what a recording holds, and return the exit code."""
    from avatar.motion.template import save_template
    from avatar.offline.driving_motion import speak

    with ProgressBar("Listening", None, "frames") as bar:
        motion = speak(driving, lambda done, _total: bar.update(done))
    save_template(motion.track, output)
    return _conclude(motion.track, motion.notes, output)


def _measure(args: argparse.Namespace, output: Path) -> int:
    """Write a template of an engine's own parameters and return the exit code."""
    from avatar.commands.animate import Progress
    from avatar.engines.base import EngineConfig, MeasuringEngine
    from avatar.engines.registry import create_engine
    from avatar.motion.parameters import save_parameters
    from avatar.offline.drive_by_parameters import measure_clip
    from avatar.offline.job import Tools

    engine = create_engine(EngineConfig(args.engine, args.model, device=args.device))
    with contextlib.closing(engine):
        assert isinstance(engine, MeasuringEngine)
        with Progress() as progress:
            track, motion = measure_clip(args.driving, engine, Tools(), progress.report)
    save_parameters(track, output)
    return _conclude(track, motion.notes, output, f", for {args.engine}")


def _conclude(track: MotionTrack | ParameterTrack, notes: Sequence[str], output: Path, use: str = "") -> int:
    """Print what was written, and return the exit code."""
    for note in notes:
        print(shown(note, MOST_OF_SENTENCE), file=sys.stderr)
    seen = int((track.presence > 0).sum())
    name = shown(output, MOST_OF_SENTENCE)
    print(f"{name}: {len(track)} frames, {track.times_s[-1]:.1f} s, a face in {seen} of them{use}.")
    return 0


def _bar(clip: DrivingVideo) -> ProgressBar:
    return ProgressBar("Following the face", clip.facts.frames_estimate or None, "frames")


def _counted(clip: DrivingVideo, bar: ProgressBar) -> Iterator[Frame]:
    for count, frame in enumerate(clip, 1):
        yield frame
        bar.update(count)
