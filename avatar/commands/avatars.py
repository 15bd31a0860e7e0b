"""`run.py avatars`: the portraits at hand: list, add, remove, restore, check."""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avatar.portrait import PortraitReport


def add_parser(subparsers: Any) -> None:
    """Add `avatars` and its actions to the command line."""
    parser = subparsers.add_parser(
        "avatars",
        help="list, add, remove and check portraits",
        description="The portraits at hand. animate takes their names in place of a picture's.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="the portraits at hand")
    add = actions.add_parser("add", help="copy pictures into the library")
    add.add_argument("files", metavar="FILE", nargs="+", type=Path, help="pictures")
    add.add_argument("--name", metavar="NAME", help="what to call it (one FILE only; otherwise the file's name)")
    add.add_argument("--source", metavar="TEXT", default="", help="a note: where the picture is from")
    add.add_argument("--licence", metavar="TEXT", default="", help="a note: under which terms it may be used")
    add.add_argument("--face", metavar="N", type=int, help="of several faces, the one to animate (1 = the largest)")
    add.add_argument(
        "--i-have-the-right", action="store_true", help="you may use this likeness: it is yours, agreed to, or free"
    )
    add.add_argument("--without-face", action="store_true", help="keep pictures without a usable face too")
    confirm = actions.add_parser("confirm", help="say that you may use an avatar's likeness")
    confirm.add_argument("name", metavar="NAME")
    remove = actions.add_parser("remove", help="take an avatar out (restore brings it back)")
    remove.add_argument("name", metavar="NAME")
    restore = actions.add_parser("restore", help="bring back an avatar that was removed")
    restore.add_argument("name", metavar="NAME")
    check = actions.add_parser("check", help="say whether a picture can be animated, and what would make it better")
    check.add_argument("file", metavar="FILE", help="a picture, or an avatar's name")


def run(args: argparse.Namespace) -> int:
    """Do one action and return the exit code."""
    from avatar.library import Library

    library = Library()
    if args.action == "list":
        return _list(library)
    if args.action == "add":
        return _add(library, args)
    if args.action == "confirm":
        print(f"It is noted that you may use {library.confirm(args.name).name}.")
        return 0
    if args.action == "remove":
        avatar = library.remove(args.name)
        print(f"{avatar.name} is removed. To undo: python run.py avatars restore {_quoted(avatar.name)}")
        return 0
    if args.action == "restore":
        print(f"{library.restore(args.name).name} is back.")
        return 0
    return _check(library, args.file)


def _list(library: Any) -> int:
    avatars = library.avatars()
    width = max((len(avatar.name) for avatar in avatars), default=0)
    for avatar in avatars:
        asked = "not confirmed that you may use it" if avatar.needs_confirming and not avatar.problem else ""
        notes = [avatar.problem, "built in" if avatar.builtin else "", avatar.source, avatar.licence, asked]
        print(f"{avatar.name:<{width}}  {'; '.join(note for note in notes if note)}".rstrip())
    print(f"\nFolder: {library.folder}")
    return 0


def _add(library: Any, args: argparse.Namespace) -> int:
    from avatar.errors import AvatarError, UsageError
    from avatar.tracking import find_faces, open_tracker

    if (args.name or args.face) and len(args.files) > 1:
        option = "--name" if args.name else "--face"
        raise UsageError(f"{option} goes with one FILE only.", remedy="Add the files one by one.")
    confirmed = args.i_have_the_right or _asked_for_the_right(len(args.files))
    tracker, failed = open_tracker(), 0
    detect = functools.partial(find_faces, tracker=tracker)
    for file in args.files:
        try:
            added = library.add(
                file, detect=detect, name=args.name, source=args.source, licence=args.licence,
                without_face=args.without_face, face_number=args.face, confirmed=confirmed,
            )  # fmt: skip
        except AvatarError as error:  # the other files are still added
            failed += 1
            print(f"{file}: {error.what}\n{error.remedy}", file=sys.stderr)
            continue
        print(f"{added.avatar.name} is added.")
        _print_remarks(added.report)
        if not confirmed:
            print(f"- Once you may use this likeness: python run.py avatars confirm {_quoted(added.avatar.name)}")
    tracker.close()
    return 1 if failed else 0


def _asked_for_the_right(count: int) -> bool:
    """Ask on a terminal; where nobody can answer, it stays open and the window asks at the first use.

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


def _check(library: Any, name_or_file: str) -> int:
    from avatar.images import load_image
    from avatar.portrait import check_portrait
    from avatar.tracking import find_faces, open_tracker

    rgb = load_image(library.resolve(name_or_file))
    tracker = open_tracker()
    report = check_portrait(rgb, find_faces(rgb, tracker))
    tracker.close()
    verdict = "can be animated" if report.ok else "cannot be animated"
    print(f"{name_or_file}: {report.width_px}x{report.height_px}, {verdict}.")
    if report.face is not None:
        from avatar.portrait import ear_to_ear_px

        pose = report.face.pose
        print(
            f"Face: {ear_to_ear_px(report.face):.0f} px between the ears; "
            f"yaw {pose.yaw_deg:+.0f}, pitch {pose.pitch_deg:+.0f}, roll {pose.roll_deg:+.0f} degrees."
        )
    _print_remarks(report)
    return 0 if report.ok else 1


def _print_remarks(report: PortraitReport) -> None:
    for remark in report.remarks:
        print(f"- {remark}")


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name
