"""Takes out of texts that are passed on (reports, the doctor, tracebacks) what says who and where somebody is.

Folders are left out and names of files stay. Known paths are taken out as they are, since a path with spaces has no end
that could be seen in a sentence; what looks like a path besides goes as far as it can be told.
"""

from __future__ import annotations

import contextlib
import getpass
import re
import socket
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from avatar import manifest, weights
from avatar.foreign_text import MOST_OF_SENTENCE, shown

_START = r"(?:(?<!\w)file:/+|(?<![\w/.])/(?!/)|(?<!\w)~[\w.-]*[/\\]|(?<!\w)[A-Za-z]:[/\\]|\\\\(?=\w))"
_PLAIN = r"[^\s'\":;,()<>|]"  # what a path goes on with in any sentence
_INNER = r"(?: (?!and |or |to )[^/\\\n'\":;,()]{1,60}?[/\\]" + _PLAIN + "*)*"  # "My Pictures/x": more separators follow
_LAST = r"(?:(?<!\.\w\w\w)(?<!\.\w\w\w\w)(?: [^\s/\\'\":;,()]{1,60}){1,6}?\.[A-Za-z]\w{1,7}\b)?"  # "My file.png"
_PATH = re.compile(f"{_START}{_PLAIN}*{_INNER}{_LAST}")
_QUOTED = re.compile(rf"(?<=['\"]){_START}[^'\"\n]*(?=['\"])")
_SAME_EVERYWHERE = re.compile(r"/dev/\w+|/(?:proc|sys)/[\w./-]+")
_CAMERA = re.compile(r"\b(?:usb|pci|platform)-[\w.:+-]+-video-index\d+")  # holds the serial number, or the socket
_COMMON = frozenset({"root", "user", "localhost", "masque", "linux", "python", "debian", "ubuntu", "fedora"})
_FOLDER = "/folder"  # what is behind it is taken for a path


def discreet(text: str, known: Mapping[str, str] | None = None) -> str:
    """Return a text without folders, serial numbers, and the names of this user and this machine.

    Args:
        known: what else is to be taken out, and what stands there instead; see `known_paths`.
    """
    for words, instead in sorted({**_roots(), **(known or {})}.items(), key=lambda each: -len(each[0])):
        text = re.sub(_whole(words), lambda _, instead=instead: instead, text)  # type: ignore[misc]
    for pattern in (_QUOTED, _PATH):
        text = pattern.sub(lambda found: _short(found[0]), text)
    text = _CAMERA.sub("(camera)", text)
    for name in _names():
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "(name)", text, flags=re.IGNORECASE)
    return text


def discreet_report(report: Any, known: Mapping[str, str] | None = None) -> Any:
    """Return a report of plain values with every text in it `discreet`."""
    if isinstance(report, str):
        return discreet(shown(report, MOST_OF_SENTENCE), known)
    if isinstance(report, dict):
        return {discreet_report(key, known): discreet_report(value, known) for key, value in report.items()}
    if isinstance(report, list | tuple):
        return [discreet_report(value, known) for value in report]
    return report


def known_paths(*paths: Path | str | None) -> dict[str, str]:
    """Return for `discreet` how files that were put in may be called: by their names, and folders not at all."""
    known: dict[str, str] = {}
    for path in paths:
        if path is None or not str(path):
            continue
        for form in _forms(Path(path)):
            known |= {str(folder): _FOLDER for folder in form.parents if folder.parts[1:] or " " in str(folder)}
            known[str(form)] = form.name
    return known


def _forms(path: Path) -> Iterator[Path]:
    """The ways in which a message may write it."""
    yield path
    for other in (Path.expanduser, Path.absolute, Path.resolve):
        with contextlib.suppress(OSError, RuntimeError):
            yield other(path)


def _whole(words: str) -> str:
    end = "" if words.endswith(("/", "\\")) else r"(?![\w-])"
    return rf"(?<![\w.-]){re.escape(words)}{end}"


def _roots() -> dict[str, str]:
    """Folders whose contents are the same for everybody, or ours, and how they are called."""
    project = manifest.MANIFEST.parent.parent
    roots = {f"{project}/": "", str(project): "(project)", str(weights.models_folder()): "models"}
    for name, label in (("purelib", "site-packages"), ("stdlib", "python"), ("platstdlib", "python")):
        roots[sysconfig.get_paths()[name]] = label
    roots[sys.executable] = "python"
    return {root: label for root, label in roots.items() if root and root not in (".", "/")}


def _short(path: str) -> str:
    """What may stay of a path that nobody named: a device that is called so everywhere, else nothing."""
    kept = _SAME_EVERYWHERE.match(path)
    if kept and len(kept[0]) == len(path.rstrip(".")):
        return path
    return "(path)" + ("." if path.endswith(".") else "")


def _names() -> list[str]:
    """This user's and this machine's, where they are no common words; the longest first."""
    found: set[str] = set()
    asked: list[Callable[[], str]] = [getpass.getuser, socket.gethostname, lambda: Path.home().name, _full_name]
    for ask in asked:
        with contextlib.suppress(OSError, KeyError, RuntimeError, ImportError):
            name = ask()
            found |= {name, name.split(".")[0]}
    usable = [name for name in found if len(name) > 2 and name.casefold() not in _COMMON]
    return sorted(usable, key=len, reverse=True)


def _full_name() -> str:
    import os
    import pwd  # not on Windows

    return pwd.getpwuid(os.getuid()).pw_gecos.split(",")[0]
