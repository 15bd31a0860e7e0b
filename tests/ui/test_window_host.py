"""Another computer that draws: chosen in the window, its fingerprint compared once, against a real host."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fakes_ui import Desk
from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest
from remote_studio import TOKEN, Studio, studio

from avatar.remote.identity import host_context, known_hosts, remember
from avatar.settings import load_settings
from ui.dialogs.host import HostDialog, grouped
from ui.panels.engine import HOST, EngineSection


def section(desk: Desk) -> EngineSection:
    found = desk.window.panel.engine
    assert isinstance(found, EngineSection)
    return found


def ask(desk: Desk, monkeypatch: pytest.MonkeyPatch, use: Callable[[HostDialog], None]) -> None:
    """Choose another computer, and use the dialog that asks for it."""

    def run(dialog: HostDialog) -> int:
        dialog.show()
        use(dialog)
        if dialog.isVisible():
            dialog.reject()
        return dialog.result()

    monkeypatch.setattr(HostDialog, "exec_", run)
    section(desk).engine.chosen.emit(HOST)


def connect(dialog: HostDialog) -> None:
    QTest.mouseClick(dialog.connect_button, Qt.LeftButton)


def enter(desk: Desk, dialog: HostDialog, address: str, token: str) -> None:
    desk.until(lambda: dialog.address.text() or not known_hosts())
    dialog.address.setText(address)
    dialog.token.setText(token)
    connect(dialog)


def test_the_fingerprint_is_compared_once_and_the_host_draws_from_then_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = host_context()
    with studio(tls=tls) as one:
        address = str(one.host.address)

        def first(dialog: HostDialog) -> None:
            enter(desk, dialog, address, TOKEN)
            desk.until(dialog.fingerprint.isVisible)
            assert dialog.fingerprint.text().replace("\n", " ").replace(" ", "") == tls[1]
            assert one.lines == [] or all("session" not in line for line in one.lines), "nothing was sent yet"
            assert address not in known_hosts() and "same" in dialog.connect_button.text()
            connect(dialog)
            desk.until(lambda: not dialog.isVisible())

        ask(desk, monkeypatch, first)
        assert desk.pipeline.config.remote == address and desk.pipeline.config.engine == "warp"
        assert section(desk).engine.combo.currentData() == HOST and not section(desk).drawn_on.isVisible()
        assert known_hosts()[address].fingerprint == tls[1] and known_hosts()[address].token == TOKEN
        desk.session.save_now()
        desk.until(lambda: load_settings().engine.remote == address)

        def again(dialog: HostDialog) -> None:
            desk.until(lambda: "last" in dialog.token.placeholderText())
            connect(dialog)
            desk.until(lambda: not dialog.isVisible())
            assert not dialog.fingerprint.isVisible(), "it is known"

        ask(desk, monkeypatch, again)
        assert desk.pipeline.config.remote == address
        section(desk).engine.chosen.emit("warp")
        assert desk.pipeline.config.remote == "" and section(desk).drawn_on.isVisibleTo(section(desk))


def test_another_certificate_is_told_apart(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with studio(tls=host_context()) as one:
        remember(one.known(fingerprint="ab" * 32))

        def look(dialog: HostDialog) -> None:
            enter(desk, dialog, str(one.host.address), "")
            desk.until(dialog.fingerprint.isVisible)
            assert "another fingerprint" in dialog.message.text() and dialog.message.objectName() == "Danger"

        ask(desk, monkeypatch, look)
        assert desk.pipeline.config.remote == "", "nobody said that it is the same"
        assert known_hosts()[str(one.host.address)].fingerprint == "ab" * 32


@pytest.mark.parametrize(
    ("address", "token", "sentence"),
    [
        ("a/b", TOKEN, "not an address"),
        ("", "another-token-0123456789", "does not accept this token. Enter the token"),
        ("", "", "needs a token"),
        ("127.0.0.1:1", TOKEN, "cannot be reached"),
    ],
)
def test_what_is_wrong_is_said_in_the_dialog(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, address: str, token: str, sentence: str
) -> None:
    with studio() as one:

        def fail(dialog: HostDialog) -> None:
            enter(desk, dialog, address or str(one.host.address), token)
            desk.until(lambda: sentence in dialog.message.text())
            assert dialog.connect_button.isEnabled() and dialog.isVisible()

        ask(desk, monkeypatch, fail)
        assert desk.pipeline.config.remote == "" and section(desk).engine.combo.currentData() == "warp"
        assert known_hosts() == {}


def test_on_this_machine_nothing_is_compared(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with studio() as plain:
        joined(desk, monkeypatch, plain)


def joined(desk: Desk, monkeypatch: pytest.MonkeyPatch, plain: Studio) -> None:
    def use(dialog: HostDialog) -> None:
        dialog.keep.click()
        enter(desk, dialog, str(plain.host.address), TOKEN)
        desk.until(lambda: not dialog.isVisible())

    ask(desk, monkeypatch, use)
    assert known_hosts()[str(plain.host.address)] == plain.known(keep=True)


def test_a_fingerprint_reads_in_groups() -> None:
    assert grouped("0123456789abcdef" * 4).split("\n") == ["0123 4567 89ab cdef 0123 4567 89ab cdef"] * 2
