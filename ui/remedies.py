"""Buttons in place of commands of the terminal: one that does it, or one that copies it.

How the window words such a remedy stands in the catalogues, for English in `translations/en.toml`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from PyQt5.QtWidgets import QApplication, QPushButton, QToolButton

from avatar.system.message import Message
from ui.look import icons
from ui.look.language import tr

_NAME = "{name}"  # the model that the message names itself
# Templates of remedies, and the model that each is about; empty: whichever the user chooses.
MODELS = {
    "For a painting or a drawing a second opinion may help (python run.py models pull fan).": "fan",
    "Fetch it again: python run.py models pull fan": "fan",
    "Fetch the file again: python run.py models pull face-landmarker": "face-landmarker",
    "Fetch it: python run.py models pull {name}": _NAME,
    "Get {file} from {address} yourself, then: python run.py models import {name} FILE": _NAME,
    "Get {file} yourself, then: python run.py models import {name} FILE": _NAME,
    "Check the network and proxy settings and run: python run.py models pull {name} - or get {file} elsewhere, "
    "then: python run.py models import {name} FILE": _NAME,
    "Fetch one: python run.py models pull vox-adv (751 MB, MIT), or: python run.py models import NAME FILE": "",
    "Fetch one: {fetched}. Or import a file that you have (MIT as well: {others}): python run.py models "
    "import NAME FILE. Or name a file of your own: --model FILE.": "",
    "Fetch them: python run.py models pull {name} ({size:.0f} MB, {licence}). Or import the files that you have: "
    "{take}": _NAME,
    "python run.py models import {name} FOLDER": _NAME,
    "Fetch the five files: python run.py models pull liveportrait (522 MB, MIT). Or get them from "
    "huggingface.co/KwaiVGI/LivePortrait, folder liveportrait, and put them into one folder.": "liveportrait",
}
CHECKS = {"Choose auto or cpu; python run.py doctor shows what is available."}
_PULL = re.compile(r"models (?:pull|import) ([a-z][\w-]*)")
_TYPED = re.compile(r"(?:Type|or type): (.+)")


@dataclass(frozen=True)
class Mend:
    """A button's part of a remedy."""

    action: str = ""  # name of an action of the window: "models" or "doctor"
    model: str = ""  # the model to fetch, with "models"; empty: the user chooses
    command: str = ""  # to be copied, because it needs the user's password or another program


def mend_of(remedy: str) -> Mend | None:
    """Return what the window can do instead of the user in a terminal; None: nothing is to be typed."""
    if isinstance(remedy, Message):
        template, values = remedy.template, remedy.values
    else:
        template, values = remedy, {}
    if template in MODELS:
        return Mend("models", MODELS[template].replace(_NAME, str(values.get("name", ""))))
    if template in CHECKS:
        return Mend("doctor")
    inner = (mend_of(value) for value in values.values() if isinstance(value, Message))
    found = next((mend for mend in inner if mend), None)
    return found or _typed(str(remedy))


def mend_of_line(area: str, remedy: str) -> Mend | None:
    """Return the same for a line of the doctor's report, which is plain text."""
    if named := _PULL.search(remedy):
        return Mend("models", named[1])
    if area == "models" and remedy:
        return Mend("models")
    if area == "cameras" and remedy:
        return Mend("choose_camera")
    return _typed(remedy)


def _typed(remedy: str) -> Mend | None:
    """Find the commands that a remedy asks to type, as one line."""
    found = _TYPED.search(remedy)
    if found is None:
        return None
    first, *more = re.split(r", then: ", found[1])
    commands = [first, *more]
    commands[-1] = re.split(r", then (?!:)|\. (?=[A-Z])", commands[-1])[0]
    return Mend(command=" && ".join(commands))


def fetch_text(model: str) -> str:
    """Return the text of a button that fetches a model; of one that offers all, for an empty name."""
    return tr("Download {name}", name=model) if model else tr("Engines and models…")


def offer_copy(button: QPushButton | QToolButton, command: str) -> None:
    """Make a button copy a command."""
    button.setText(" " + tr("Copy the command"))
    button.setIcon(icons.icon("copy"))
    button.setToolTip(command)
    button.setAccessibleName(tr("Copy the command"))

    def copy() -> None:
        QApplication.clipboard().setText(command)
        button.setText(tr("Copied"))

    button.clicked.connect(copy)
