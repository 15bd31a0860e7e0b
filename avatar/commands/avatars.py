"""`run.py avatars`: list, add, change, remove, restore and check portraits."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.system.foreign_text import MOST_OF_SENTENCE, shown, typed
from avatar.system.installation import COMMAND
from avatar.system.message import Message

if TYPE_CHECKING:
    from avatar.library.importing import Choice
    from avatar.portrait.check import PortraitReport


_Raw = argparse.RawDescriptionHelpFormatter
_MARKS_HELP = """\
Marks, for drawings and animals in which no face is found: x,y in pixels of the picture, in this order
(right and left are the person's own, so the right eye is at the left of the picture):
    outer and inner corner of the right eye, inner and outer corner of the left eye, tip of the nose,
    right and left corner of the mouth, upper edge of the upper lip, lower edge of the lower lip, chin
More of them follow by name: right_eye_top=x,y right_eye_bottom= left_eye_top= left_eye_bottom= right_iris= left_iris=
    right_brow= left_brow= mouth_line= right_ear= left_ear= forehead=
In a TOML file each is a line: chin = [240, 410]"""


def add_parser(subparsers: Any) -> None:
    """Add `avatars` and its actions to the command line."""
    parser = subparsers.add_parser(
        "avatars",
        help="list, add, remove and check portraits",
        description="The portraits at hand. animate takes their names in place of a picture's.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="the portraits at hand")
    add = actions.add_parser("add", help="copy pictures into the library", epilog=_MARKS_HELP, formatter_class=_Raw)
    add.add_argument("files", metavar="FILE", nargs="+", type=Path, help="pictures")
    add.add_argument("--name", metavar="NAME", help="what to call it (one FILE only; otherwise the file's name)")
    add.add_argument("--source", metavar="TEXT", default="", help="a note: where the picture is from")
    add.add_argument("--licence", metavar="TEXT", default="", help="a note: under which terms it may be used")
    add.add_argument(
        "--i-have-the-right", action="store_true", help="you may use this likeness: it is yours, agreed to, or free"
    )
    add.add_argument("--without-face", action="store_true", help="keep pictures without a usable face too")
    _add_choice(add)
    change = actions.add_parser(
        "change", help="choose anew what of an avatar's picture is animated", epilog=_MARKS_HELP, formatter_class=_Raw
    )
    change.add_argument("name", metavar="NAME")
    _add_choice(change)
    confirm = actions.add_parser("confirm", help="say that you may use an avatar's likeness")
    confirm.add_argument("name", metavar="NAME")
    remove = actions.add_parser("remove", help="take an avatar out (restore brings it back)")
    remove.add_argument("name", metavar="NAME")
    restore = actions.add_parser("restore", help="bring back an avatar that was removed")
    restore.add_argument("name", metavar="NAME")
    check = actions.add_parser("check", help="say whether a picture can be animated, and what would make it better")
    check.add_argument("file", metavar="FILE", help="a picture, or an avatar's name")


def _add_choice(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--face", metavar="N", type=int, help="of several faces, the one to animate (1 = the largest)")
    add("--crop", metavar="X,Y,W,H", default="auto", help="the part of the picture to animate, in pixels")
    add(
        "--turn", metavar="auto|0|90|180|270", default="auto",
        help="turn the picture clockwise; auto: until its face is upright (default)",
    )  # fmt: skip
    add("--marks", metavar="X,Y", nargs="+", help="where the face is, marked by hand; or a TOML file of marks")


def run(args: argparse.Namespace) -> int:
    """Run one action and return the exit code."""
    from avatar.library.library import Library

    actions = {
        "list": _list, "add": _add, "change": _change, "confirm": _confirm, "remove": _remove, "restore": _restore,
        "check": _check,
    }  # fmt: skip
    return actions[args.action](Library(), args)


def _list(library: Any, args: argparse.Namespace) -> int:
    avatars = library.avatars()
    width = max((len(shown(avatar.name)) for avatar in avatars), default=0)
    for avatar in avatars:
        asked = "not confirmed that you may use it" if avatar.needs_confirming and not avatar.problem else ""
        notes = [avatar.problem, "built in" if avatar.builtin else "", avatar.source, avatar.licence, asked]
        print(f"{shown(avatar.name):<{width}}  {'; '.join(shown(note) for note in notes if note)}".rstrip())
    print(f"\nFolder: {shown(library.folder, MOST_OF_SENTENCE)}")
    return 0


def _add(library: Any, args: argparse.Namespace) -> int:
    from avatar.errors import AvatarError, UsageError
    from avatar.library.importing import Choice
    from avatar.tracking import find_faces, open_tracker
    from avatar.tracking.upright import how_turned

    choice = _choice(args)
    if len(args.files) > 1 and (args.name or choice != Choice()):
        option = "--name" if args.name else "A choice of face or part"
        raise UsageError(
            Message("{option} can be used with one FILE only.", option=option), remedy="Add the files one by one."
        )
    confirmed = args.i_have_the_right or _asked_for_the_right(len(args.files))
    tracker, failed = open_tracker(), 0
    detect, turn = functools.partial(find_faces, tracker=tracker), functools.partial(how_turned, tracker=tracker)
    for file in args.files:
        try:
            added = library.add(
                file, detect=detect, name=args.name, source=args.source, licence=args.licence,
                without_face=args.without_face, choice=choice, confirmed=confirmed, how_turned=turn,
            )  # fmt: skip
        except AvatarError as error:  # the other files are still added
            failed += 1
            print(f"{shown(file)}: {error.what}\n{error.remedy}", file=sys.stderr)
            continue
        print(f"{shown(added.avatar.name)} is added.")
        _print_remarks(added.report)
        if not confirmed:
            print(f"- Once you may use this likeness: {COMMAND} avatars confirm {typed(added.avatar.name)}")
    tracker.close()
    return 1 if failed else 0


def _change(library: Any, args: argparse.Namespace) -> int:
    from avatar.tracking import find_faces, open_tracker
    from avatar.tracking.upright import how_turned

    choice = _choice(args)
    with contextlib.closing(open_tracker()) as tracker:
        detect, turn = functools.partial(find_faces, tracker=tracker), functools.partial(how_turned, tracker=tracker)
        changed = library.change(args.name, choice, detect=detect, how_turned=turn)
    print(f"{shown(changed.avatar.name)} is changed.")
    _print_remarks(changed.report)
    return 0


def _choice(args: argparse.Namespace) -> Choice:
    """Build the import choice from the options. Raises: UsageError."""
    from avatar.errors import UsageError
    from avatar.images.box import Box
    from avatar.library.importing import Choice
    from avatar.portrait.crop import parse_crop, parse_turn
    from avatar.tracking.marks import parse_marks, read_marks

    if args.face is not None and args.marks:
        raise UsageError(
            "--face and --marks cannot be used together.", remedy="Leave --face out: the marks define the face."
        )
    crop = parse_crop(args.crop)
    texts = args.marks or []
    is_file = len(texts) == 1 and "," not in texts[0]
    marks = None if not texts else read_marks(Path(texts[0])) if is_file else parse_marks(texts)
    return Choice(crop if isinstance(crop, Box) else None, marks, args.face, parse_turn(args.turn))


def _asked_for_the_right(count: int) -> bool:
    """Ask on a terminal; without one it remains unconfirmed, and the window asks on first use.

    Raises:
        UsageError: the answer is no.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    these = "this likeness" if count == 1 else f"these {count} likenesses"
    from avatar.errors import UsageError

    print(f"May you use {these}? Say yes if it is you, a drawing that you may use, or somebody who agreed.")
    if input("[y/N] ").strip().casefold() in ("y", "yes"):
        return True
    raise UsageError("Nothing was added.", remedy="Add pictures of people only if they agree.")


def _confirm(library: Any, args: argparse.Namespace) -> int:
    print(f"It is noted that you may use {shown(library.confirm(args.name).name)}.")
    return 0


def _remove(library: Any, args: argparse.Namespace) -> int:
    avatar = library.remove(args.name)
    print(f"{shown(avatar.name)} is removed. To undo: {COMMAND} avatars restore {typed(avatar.name)}")
    return 0


def _restore(library: Any, args: argparse.Namespace) -> int:
    print(f"{shown(library.restore(args.name).name)} is back.")
    return 0


def _check(library: Any, args: argparse.Namespace) -> int:
    from avatar.portrait.check import check_portrait
    from avatar.portrait.source import read_portrait
    from avatar.tracking import open_tracker

    with contextlib.closing(open_tracker()) as tracker:
        portrait = read_portrait(library.likeness(args.file), tracker, "none")
    report = check_portrait(portrait.rgb, portrait.faces)
    verdict = "can be animated" if report.ok else "cannot be animated"
    print(f"{shown(args.file)}: {report.width_px}x{report.height_px}, {verdict}.")
    if report.face is not None:
        from avatar.portrait.check import ear_to_ear_px

        pose = report.face.pose
        print(
            f"Face: {ear_to_ear_px(report.face):.0f} px between the ears; "
            f"yaw {pose.yaw_deg:+.0f}, pitch {pose.pitch_deg:+.0f}, roll {pose.roll_deg:+.0f} degrees."
        )
    for note in portrait.turn_notes("avatars add --turn 0"):
        print(f"- {note}")
    _print_remarks(report)
    return 0 if report.ok else 1


def _print_remarks(report: PortraitReport) -> None:
    for remark in report.remarks:
        print(f"- {shown(remark, MOST_OF_SENTENCE)}")
