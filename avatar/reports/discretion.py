"""Removal of private information from texts that are passed on: reports, the doctor's output, tracebacks.

Folders are removed and file names are kept. Known paths are replaced exactly, because the end of a path with spaces
cannot be recognised in a sentence; other path-like text is removed as far as it can be recognised.
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

from avatar import weights
from avatar.system.foreign_text import MOST_OF_SENTENCE, shown
from avatar.system.installation import IMPORT_ROOT

_START = r"(?:(?<!\w)file:/+|(?<![\w/.])/(?!/)|(?<!\w)~[\w.-]*[/\\]|(?<!\w)[A-Za-z]:[/\\]|\\\\(?=\w))"
_PLAIN = r"[^\s'\":;,()<>|]"  # characters that may continue a path in any sentence
_INNER = r"(?: (?!and |or |to )[^/\\\n'\":;,()]{1,60}?[/\\]" + _PLAIN + "*)*"  # "My Pictures/x": more separators follow
_LAST = r"(?:(?<!\.\w\w\w)(?<!\.\w\w\w\w)(?: [^\s/\\'\":;,()]{1,60}){1,6}?\.[A-Za-z]\w{1,7}\b)?"  # "My file.png"
_PATH = re.compile(f"{_START}{_PLAIN}*{_INNER}{_LAST}")
_QUOTED = re.compile(rf"(?<=['\"]){_START}[^'\"\n]*(?=['\"])")
_SAME_EVERYWHERE = re.compile(r"/dev/\w+|/(?:proc|sys)/[\w./-]+")
_CAMERA = re.compile(r"\b(?:usb|pci|platform)-[\w.:+-]+-video-index\d+")  # contains the serial number, or the socket
_COMMON = frozenset({"root", "user", "localhost", "masque", "linux", "python", "debian", "ubuntu", "fedora"})
_FOLDER = "/folder"  # text after it is treated as a path


def discreet(text: str, known: Mapping[str, str] | None = None) -> str:
    """Return a text without folders, serial numbers, and the names of this user and this machine.

    Args:
        known: additional texts to replace, with their replacements; see `known_paths`.
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
    """Apply `discreet` to every text in a report of plain values."""
    if isinstance(report, str):
        return discreet(shown(report, MOST_OF_SENTENCE), known)
    if isinstance(report, dict):
        return {discreet_report(key, known): discreet_report(value, known) for key, value in report.items()}
    if isinstance(report, list | tuple):
        return [discreet_report(value, known) for value in report]
    return report


def known_paths(*paths: Path | str | None) -> dict[str, str]:
    """Return replacements for `discreet` that reduce input files to their names and remove folders."""
    known: dict[str, str] = {}
    for path in paths:
        if path is None or not str(path):
            continue
        for form in _forms(Path(path)):
            known |= {str(folder): _FOLDER for folder in form.parents if folder.parts[1:] or " " in str(folder)}
            known[str(form)] = form.name
    return known


def _forms(path: Path) -> Iterator[Path]:
    """Yield the spellings of a path that a message may contain."""
    yield path
    for other in (Path.expanduser, Path.absolute, Path.resolve):
        with contextlib.suppress(OSError, RuntimeError):
            yield other(path)


def _whole(words: str) -> str:
    end = "" if words.endswith(("/", "\\")) else r"(?![\w-])"
    return rf"(?<![\w.-]){re.escape(words)}{end}"


def _roots() -> dict[str, str]:
    """Return public folders and ours, with their names in reports."""
    project = IMPORT_ROOT
    roots = {f"{project}/": "", str(project): "(project)", str(weights.models_folder()): "models"}
    for name, label in (("purelib", "site-packages"), ("stdlib", "python"), ("platstdlib", "python")):
        roots[sysconfig.get_paths()[name]] = label
    roots[sys.executable] = "python"
    return {root: label for root, label in roots.items() if root and root not in (".", "/")}


def _short(path: str) -> str:
    """Replace a path that is not listed by "(path)", unless it is the same on every machine."""
    kept = _SAME_EVERYWHERE.match(path)
    if kept and len(kept[0]) == len(path.rstrip(".")):
        return path
    return "(path)" + ("." if path.endswith(".") else "")


def _names() -> list[str]:
    """List this user's and this machine's names, except common words, longest first."""
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
    import pwd  # not available on Windows

    return pwd.getpwuid(os.getuid()).pw_gecos.split(",")[0]
