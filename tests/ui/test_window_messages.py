"""What `avatar` says is shown in the window's language, with its values as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fakes_ui import Desk
from PyQt5.QtWidgets import QApplication, QLabel

from avatar.errors import AvatarError, EngineError
from avatar.live.events import EngineReady, OutputFailed, SourceLost, SourceNote
from avatar.portrait.check import Level, Remark
from avatar.system.message import Message, together
from ui.actions import Actions
from ui.dialogs.import_avatar import remark_row
from ui.look.language import Catalogue, Languages, explained, tr
from ui.session import Notice
from ui.widgets.banners import Banner

HOSTILE = "{0} {name.__class__} <b>bold</b> \x1b[2J" + "x" * 300_000


@pytest.fixture
def german(qtbot: Any) -> Iterator[None]:
    languages = Languages()
    languages.install("de")
    yield
    languages.install("en")


def test_an_error_is_told_in_german(german: None) -> None:
    error = EngineError(
        Message("There is no engine called {name!r}.", name="warpp"),
        remedy=Message("Choose one of: {names}.", names="warp, fomm"),
    )
    assert explained(error) == "Ein Verfahren namens „warpp“ gibt es nicht. Möglich sind: warp, fomm."
    assert str(error) == "There is no engine called 'warpp'. Choose one of: warp, fomm.", "logs stay English"


def test_sentences_in_sentences_are_translated(german: None) -> None:
    why = Message("There is no engine called {name!r}.", name="x")
    assert tr("The engine failed: {why}", why=why).endswith("Ein Verfahren namens „x“ gibt es nicht.")
    both = together(why, "Choose another name.")
    assert tr(both) == "Ein Verfahren namens „x“ gibt es nicht. Wählen Sie einen anderen Namen."


def test_names_are_never_taken_for_text_of_ours(german: None) -> None:
    text = tr(Message("There is no engine called {name!r}.", name="Close"))
    assert text == "Ein Verfahren namens „Close“ gibt es nicht."


def test_hostile_values_are_shown_as_text(german: None) -> None:
    text = tr(Message("There is no engine called {name!r}.", name=HOSTILE))
    assert text.startswith("Ein Verfahren namens „{0} {name.__class__} <b>bold</b> \\x1b[2J") and len(text) <= 1000
    assert text.isprintable()


def test_text_that_is_no_text_of_ours_is_left_alone(german: None) -> None:
    for text in ("/home/me/\udcff", "{0} {name}", ""):
        assert tr(text) == text


@pytest.mark.parametrize("slip", ["{nom} fehlt.", "{name", "{name.nothing}", "{name:d}", "{}"])
def test_a_slip_in_a_catalogue_costs_only_the_translation(qtbot: Any, slip: str) -> None:
    catalogue = Catalogue("en")
    catalogue._texts = {"{name} lacks.": slip}
    QApplication.installTranslator(catalogue)
    try:
        assert tr(Message("{name} lacks.", name="me")) == "me lacks." == tr("{name} lacks.", name="me")
    finally:
        QApplication.removeTranslator(catalogue)


def test_labels_show_the_translation(qtbot: Any, german: None) -> None:
    error = AvatarError(Message("There is no engine called {name!r}.", name=HOSTILE), remedy="Choose another name.")
    row = remark_row(Remark(Level.REFUSAL, "error", error.what, error.remedy))
    banner = Banner(Notice(error.what, error.remedy, "error"), Actions(row, {}), row)
    qtbot.addWidget(row)
    for widget in (row, banner):
        texts = [label.text() for label in widget.findChildren(QLabel) if label.text()]
        assert texts[0].startswith("Ein Verfahren namens „{0}") and "Wählen Sie einen anderen Namen." in texts
        assert "\x1b" not in texts[0]
    assert banner.accessibleName().startswith("Ein Verfahren namens")


def test_a_german_window_tells_in_german_what_happens(desk: Desk) -> None:
    old = desk.window
    desk.session.change("window", language="de")
    desk.until(lambda: desk.window is not old)
    try:
        unplugged = Message("{name} was unplugged.", name="<b>Cam</b> {0}")
        desk.pipeline.tell(SourceLost(unplugged, "Plug it in again, or choose another camera."))
        desk.pipeline.tell(SourceNote(Message("The clip has {cuts} cuts; after each the head's position and size are "
                                              "measured again.", cuts=3)))  # fmt: skip
        busy = EngineError("The virtual camera is in use by another program.", remedy="Try again.")
        desk.pipeline.tell(OutputFailed("virtual-camera", busy))
        why = Message("auto; {no_cuda}", no_cuda=Message("no CUDA device was found"))
        desk.pipeline.tell(EngineReady("fomm", "cpu", "float32", why))
        desk.until(lambda: len(desk.window.stage.banners.banners()) == 3)
        shown = [label.text() for label in desk.window.findChildren(QLabel)]
        for text in (
            "<b>Cam</b> {0} wurde abgezogen.",
            "Schließen Sie sie wieder an oder wählen Sie eine andere Kamera.",
            "Der Clip hat 3 Schnitte; nach jedem werden Ort und Größe des Kopfes neu bestimmt.",
            "Die virtuelle Kamera wird von einem anderen Programm benutzt. Versuchen Sie es noch einmal.",
            "fomm, cpu, float32. auto; es wurde kein CUDA-Gerät gefunden",
        ):
            assert text in shown
    finally:
        desk.app._languages.install("en")  # it belongs to the application, which the next test goes on with
