"""Buttons in place of commands: in notices, import, the list of models and the doctor's report."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes_ui import Desk
from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QApplication, QLabel, QPushButton
from templates import ROOT, files, find
from window_avatars import DARK, picture

from avatar import cli, weights
from avatar.doctor.check import BROKEN, OK, WARNING, Check
from avatar.errors import EngineError, WeightsError
from avatar.live.events import EngineFailed, OutputFailed
from avatar.portrait.check import check_portrait
from avatar.system.message import Message, together
from avatar.weights.manifest import FACES, FOMM, LIVEPORTRAIT, TRACKER, WHOLE, Weight
from avatar.weights.stored import MISSING
from ui.dialogs.doctor import DoctorDialog
from ui.dialogs.doctor_report import Report, read_report
from ui.dialogs.import_avatar import ImportDialog
from ui.dialogs.models import ModelsDialog
from ui.look.language import LANGUAGES, Languages, read_catalogue, tr
from ui.program_jobs import ProgramJobs
from ui.remedies import CHECKS, MODELS, mend_of, mend_of_line
from ui.session import Notice

TERMINAL_ONLY = (  # what is said there never reaches a window
    "avatar/commands", "avatar/training", "avatar/offline", "avatar/fomm/onnx", "avatar/motion",
    "avatar/system/program",
)  # fmt: skip
LOAD = "sudo modprobe v4l2loopback video_nr=10 exclusive_caps=1"


@pytest.fixture(autouse=True)
def english(qapp: Any) -> Iterator[None]:
    languages = Languages()
    languages.install("en")
    yield
    languages.install("en")


def test_no_text_of_the_window_names_a_command_of_the_program() -> None:
    said = {
        template.text
        for template in find(files()).templates
        if "run.py" in template.text and not Path(template.place).as_posix().startswith(_terminal_only())
    }
    assert len(said) > 10, "the search has lost its way"
    for code in LANGUAGES:
        catalogue = read_catalogue(code)
        assert not [text for text in said if "run.py" in catalogue.get(text, text)], code
    buttonless = {
        "python run.py models pull {name} ({size}{licence}; {about})",  # a part of another sentence
        "Delete .venv and start python run.py: it makes a new one.",  # of which this process runs
    }
    assert said - buttonless == set(MODELS) | CHECKS


def _terminal_only() -> tuple[str, ...]:
    return tuple(prefix for room in TERMINAL_ONLY for prefix in (room, str(ROOT / room)))


def test_english_texts_of_the_window_keep_their_values() -> None:
    for text, worded in read_catalogue("en").items():
        fields = [set(re.findall(r"{\w+", each)) for each in (text, worded)]
        assert fields[0] == fields[1], text
        assert not re.search(r"run\.py|(^| )--\w", worded)


def test_remedies_are_mended() -> None:
    fetch = Message("Fetch it: python run.py models pull {name}", name="vox")
    assert (mend := mend_of(together("Something else.", fetch))) and (mend.action, mend.model) == ("models", "vox")
    assert tr(fetch) == "Download vox."
    typed = mend_of(Message("Type: {command}, then log out and in again.", command="sudo adduser me video"))
    assert typed is not None and typed.command == "sudo adduser me video"
    assert mend_of("Close the other program.") is None
    both = mend_of(Message("Type: {first}, then: {second}", first="sudo apt install a", second="sudo modprobe b"))
    assert both is not None and both.command == "sudo apt install a && sudo modprobe b"
    line = mend_of_line("packages", "Start without --no-setup, or type: python -m pip install -r requirements.txt")
    assert line is not None and line.command == "python -m pip install -r requirements.txt"


def test_a_notice_copies_its_command(desk: Desk) -> None:
    error = EngineError("There is no virtual camera.", remedy=Message("Type: {command}", command=LOAD))
    desk.pipeline.tell(OutputFailed("virtual-camera", error))
    desk.until(desk.notices)
    banner = desk.window.stage.banners.banners()[-1]
    assert banner.copy_button is not None and banner.action_button is not None
    QTest.mouseClick(banner.copy_button, Qt.LeftButton)
    assert QApplication.clipboard().text() == LOAD


def test_a_notice_fetches_the_model_that_is_missing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(dialog: ModelsDialog) -> int:
        asked.append(dialog._to_fetch)
        dialog.done(0)
        return 0

    monkeypatch.setattr(ModelsDialog, "exec_", run)
    fetch = Message("Fetch it: python run.py models pull {name}", name="vox")
    desk.pipeline.tell(EngineFailed(WeightsError("vox is not here.", remedy=fetch), "warp"))
    desk.until(desk.notices)
    banner = desk.window.stage.banners.banners()[-1]
    assert banner.action_button is not None and banner.action_button.text() == " Download vox"
    QTest.mouseClick(banner.action_button, Qt.LeftButton)
    assert asked == ["vox"]


def test_any_notice_whose_remedy_is_a_download_has_a_button(desk: Desk) -> None:
    remedy = "Fetch the file again: python run.py models pull face-landmarker"
    desk.session.notice(Notice("The face model is damaged.", remedy, "error"))
    banner = desk.window.stage.banners.banners()[-1]
    assert banner.action_button is not None and banner.action_button.text() == " Download face-landmarker"
    assert "run.py" not in banner.accessibleName()


def test_the_import_offers_the_second_opinion(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "present", lambda name: False)
    dialog = ImportDialog([picture(tmp_path, "dark", DARK)], desk.avatars, desk.window)
    desk.bot.addWidget(dialog)
    asked: list[str] = []
    dialog.model_asked.connect(asked.append)
    dialog.show()
    desk.until(lambda: dialog.report is not None)
    button = next(each for each in dialog.findChildren(QPushButton) if each.text() == " Download fan")
    QTest.mouseClick(button, Qt.LeftButton)
    assert asked == ["fan"] and "Looking" in dialog.verdict.text()


def test_without_a_face_two_remedies_are_buttons(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    monkeypatch.setattr(weights, "present", lambda name: False)
    report = check_portrait(np.zeros((300, 300, 3), np.uint8), [])
    assert report.refusal is not None and "--" not in tr(report.refusal.remedy)
    assert (mend := mend_of(report.refusal.remedy)) and mend.model == "fan"


def test_a_model_asked_for_is_downloaded_at_once(desk: Desk) -> None:
    desk.services.download_gate.set()
    dialog = ModelsDialog(desk.session, desk.services.services(), desk.window, fetch="vox")
    desk.bot.addWidget(dialog)
    dialog.show()
    desk.until(lambda: desk.services.pulled == ["vox"])
    desk.until(lambda: "is installed" in dialog.message.text())
    assert desk.services.pulled == ["vox"]


def test_models_for_faces_stand_first(desk: Desk) -> None:
    def weight(name: str, kind: str, shows: str, **more: Any) -> weights.ModelState:
        return weights.ModelState(Weight(name, name, "", "MIT", kind, shows, **more), Path(name), MISSING)

    had = {"sha256": "0" * 64, "urls": ("https://example.org/x",)}
    desk.services.states = [
        weight("bodies", FOMM, WHOLE, **had), weight("tracker", TRACKER, "", **had),
        weight("animals", LIVEPORTRAIT, FACES), weight("people", FOMM, FACES, **had),
    ]  # fmt: skip
    dialog = ModelsDialog(desk.session, desk.services.services(), desk.window)
    desk.bot.addWidget(dialog)
    desk.until(lambda: dialog.table.topLevelItemCount() == 4)
    rows = [dialog.table.topLevelItem(row) for row in range(4)]
    assert [row.text(0) for row in rows if row] == ["people", "animals", "tracker", "bodies"]


@pytest.fixture
def doctor(desk: Desk) -> DoctorDialog:
    checks = (
        Check("python", OK, "Python 3.11."),
        Check("cameras", WARNING, "No camera was found.", "Plug one in."),
        Check("models", BROKEN, "face-landmarker is missing.", "Type: python run.py models pull face-landmarker"),
        Check("virtual camera", WARNING, "There is none.", f"Type: {LOAD}"),
    )
    desk.services.report = Report(checks)
    dialog = DoctorDialog(desk.services.services(), desk.app.slow, desk.window)
    desk.bot.addWidget(dialog)
    dialog.show()
    desk.until(dialog.copy.isEnabled)
    return dialog


def test_the_doctor_lists_what_is_broken_first_with_buttons(doctor: DoctorDialog) -> None:
    buttons = [each.text() for each in doctor.list.findChildren(QPushButton)]
    assert buttons == [" Download face-landmarker", " Choose a camera", " Copy the command"]
    assert doctor.summary.text() == "3 of 4 checks found something to fix."
    doctor.copy.click()
    copied = QApplication.clipboard().text()
    assert "broken   models: face-landmarker is missing." in copied and copied.startswith("Masque ")
    QTest.mouseClick(doctor.list.findChildren(QPushButton)[2], Qt.LeftButton)
    assert QApplication.clipboard().text() == LOAD


def test_the_doctor_speaks_the_window_s_language(desk: Desk) -> None:
    """As `doctor --json` prints it: the sentences travel with what they are translated by."""
    why = OSError("no such file")
    lacking = together(Message("{name} is not installed.", name="torch"), "Only the warp engine can draw.")
    checks = (
        Check("disk", OK, Message("{name} is here and sound.", name="fan")),
        Check("graphics", WARNING, lacking, "Update the driver."),
        Check("screen", BROKEN, Message("This could not be looked at ({kind}: {why}).", kind="OSError", why=why)),
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
        patch.setattr("avatar.doctor.run_doctor", lambda: iter(checks))
        assert cli.main(["doctor", "--json"]) == 1
    report = read_report(printed.getvalue())
    assert report.checks == checks and "torch is not installed. Only the warp engine can draw." in report.text()
    desk.services.report = report
    languages = Languages()
    languages.install("de")
    try:
        dialog = DoctorDialog(desk.services.services(), desk.app.slow, desk.window)
        desk.bot.addWidget(dialog)
        desk.until(dialog.copy.isEnabled)
        said = [label.text() for label in dialog.list.findChildren(QLabel)]
        assert "torch ist nicht installiert. Nur die Engine warp kann zeichnen." in said
        assert "Aktualisieren Sie den Treiber." in said and "fan ist da und unbeschädigt." in said
        dialog.copy.click()
        assert "torch is not installed." in QApplication.clipboard().text(), "a bug report is in English"
    finally:
        languages.install("en")


def test_the_doctor_s_buttons_mend(desk: Desk, doctor: DoctorDialog) -> None:
    asked: list[str] = []
    doctor.model_asked.connect(asked.append)
    fetch, camera, _ = doctor.list.findChildren(QPushButton)
    QTest.mouseClick(fetch, Qt.LeftButton)
    assert asked == ["face-landmarker"]
    desk.until(doctor.copy.isEnabled)
    camera = doctor.list.findChildren(QPushButton)[1]
    QTest.mouseClick(camera, Qt.LeftButton)
    assert doctor.wanted_action == "choose_camera" and not doctor.isVisible()


def test_the_doctor_s_wish_is_fulfilled_by_the_window(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(dialog: DoctorDialog) -> int:
        dialog._leave_for("choose_camera")
        return 1

    monkeypatch.setattr(DoctorDialog, "exec_", run)
    fetched: list[str] = []
    monkeypatch.setattr(ProgramJobs, "fetch_model", lambda self, name, parent=None: fetched.append(name))
    desk.session.change("window", panel=False)
    desk.window.actions_["doctor"].trigger()
    assert desk.session.settings.window.panel and fetched == []
