"""A real headless Chromium, driven through its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from avatar.cv import cv2
from avatar.frames import RgbImage

COMMAND = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--no-first-run", "--disable-extensions", "--disable-background-networking",
    "--disable-component-update", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars",
    "--remote-debugging-port=0",
)  # fmt: skip


class Page:
    """One tab."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._numbers = socket, itertools.count(1)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=30))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def go_to(self, address: str) -> None:
        self.call("Page.navigate", url=address)

    def reload(self) -> None:
        self.call("Page.reload")

    def ask(self, expression: str) -> Any:
        """Evaluate JavaScript; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return answer["result"].get("value")

    def screenshot(self) -> RgbImage:
        """The page over red, as a browser source lies over a scene; (H, W, 3)."""
        self.call("Emulation.setDefaultBackgroundColorOverride", color={"r": 255, "g": 0, "b": 0, "a": 1})
        coded = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR))[..., ::-1]


@contextlib.contextmanager
def chromium(folder: Path, size: tuple[int, int]) -> Iterator[Page]:
    """Start a browser with one page of (width, height) pixels."""
    from websockets.sync.client import connect

    assert COMMAND is not None
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"} | {"HOME": str(folder)}
    process = subprocess.Popen(
        [COMMAND, *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        port = _port(folder / "profile" / "DevToolsActivePort", process)
        with connect(_page_address(port), max_size=None) as socket:
            page = Page(socket)
            page.call(
                "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
            )
            yield page
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s and process.poll() is None:
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.1)
    raise AssertionError(f"Chromium did not start ({process.poll()})")


def _page_address(port: int) -> str:
    from urllib.request import urlopen

    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
            pages = [each for each in json.load(answer) if each["type"] == "page"]
            if pages:
                return str(pages[0]["webSocketDebuggerUrl"])
        time.sleep(0.1)
    raise AssertionError("Chromium shows no page")
