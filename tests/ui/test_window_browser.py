"""The browser source in the window: its switch, its address, its three steps."""

from __future__ import annotations

import socket

from fakes_ui import Desk
from PyQt5.QtWidgets import QApplication

from avatar.errors import OutputError
from avatar.live.events import OutputFailed, OutputStarted


def test_the_switch_opens_a_page_whose_address_is_kept(desk: Desk) -> None:
    with socket.socket() as free:  # the usual port may be another Masque's
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    desk.session.change("browser", port=port)
    part = desk.window.panel.output.browser
    assert part.given.isHidden()
    part.switch.click()
    assert desk.captures.state.browser and desk.captures.live
    page = desk.pipeline.outputs["browser-source"]()
    try:
        path = desk.session.settings.browser.path
        assert len(path) >= 20 and path in page.address and f":{port}/" in page.address
        desk.app.bridge.tell(OutputStarted("browser-source", page.facts))
        desk.until(lambda: not part.given.isHidden())
        assert part.address.text() == page.address and part.status.text() == "No viewer is connected yet."
        part.copy.click()
        clipboard = QApplication.clipboard()
        assert clipboard is not None and clipboard.text() == page.address and part.copy.text() == "Copied"
        assert all(word in part.steps.text() for word in ("Browser", "1280", "720", "Transparent"))
    finally:
        page.close()
    part.switch.click()
    assert "browser-source" not in desk.pipeline.outputs and part.given.isHidden()
    part.switch.click()
    assert desk.session.settings.browser.path == path, "OBS finds it again"


def test_a_port_that_is_taken_is_said(desk: Desk) -> None:
    part = desk.window.panel.output.browser
    part.switch.click()
    error = OutputError("Port 8973 cannot be used: taken.", remedy="Close the other program.")
    desk.app.bridge.tell(OutputFailed("browser-source", error))
    desk.until(lambda: "8973" in part.status.text())
    assert not desk.captures.state.browser and not part.switch.isChecked()
