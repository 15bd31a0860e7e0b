"""`run.py template DRIVING -o FILE`: keep the motion of a video without anyone's picture."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.foreign_text import MOST_OF_SENTENCE, shown
from avatar.progress import ProgressBar

if TYPE_CHECKING:
    from avatar.frames import Frame
    from avatar.sources.facts import DrivingVideo


def add_parser(subparsers: Any) -> None:
    """Add `template` to the command line."""
    parser = subparsers.add_parser(
        "template",
        help="keep the motion of a video without anyone's picture",
        description="Follow the face in a video and store its motion alone, which animate takes in place of a video. "
        "docs/motion-template.md tells what is in it.",
    )
    driving = "a video, an animated image, or a folder of pictures"
    parser.add_argument("driving", metavar="DRIVING", type=Path, help=driving)
    parser.add_argument("-o", "--output", metavar="FILE.masque", type=Path, required=True, help="the template")


def run(args: argparse.Namespace) -> int:
    """Track the clip, write the template and return the exit code."""
    from avatar.driving_motion import is_template
    from avatar.errors import UsageError
    from avatar.motion.template import SUFFIX, save_template
    from avatar.motion.track import track_frames
    from avatar.motion.upright_clip import open_turned, turn_of_clip
    from avatar.outputs.target import check_apart, check_folder, refuse_special
    from avatar.tracking import open_tracker

    output: Path = args.output
    if output.suffix.lower() != SUFFIX:
        raise UsageError(f"{output.name} does not end in {SUFFIX}.", remedy=f"Try: -o {output.stem}{SUFFIX}")
    if output.is_dir():
        raise UsageError(f"{output} is a folder, not a file.", remedy=f"Try: -o {output / 'motion'}{SUFFIX}")
    if is_template(args.driving):
        raise UsageError(f"{args.driving.name} is a template already.", remedy="Give animate this file as DRIVING.")
    check_apart([output], [args.driving])
    refuse_special(output)
    check_folder(output.resolve().parent)
    with (
        contextlib.closing(open_tracker()) as tracker,
        open_turned(args.driving, turn_of_clip(args.driving, tracker)) as clip,
        _bar(clip) as bar,
    ):
        track = track_frames(_counted(clip, bar), tracker, name=args.driving.name)
        notes = clip.notes
    save_template(track, output)
    for note in notes:
        print(shown(note, MOST_OF_SENTENCE), file=sys.stderr)
    seen = int((track.presence > 0).sum())
    name = shown(output, MOST_OF_SENTENCE)
    print(f"{name}: {len(track)} frames, {track.times_s[-1]:.1f} s, a face in {seen} of them.")
    return 0


def _bar(clip: DrivingVideo) -> ProgressBar:
    return ProgressBar("Following the face", clip.facts.frames_estimate or None, "frames")


def _counted(clip: DrivingVideo, bar: ProgressBar) -> Iterator[Frame]:
    for count, frame in enumerate(clip, 1):
        yield frame
        bar.update(count)
