"""Run venv or pip: everything it says goes to a log, the newest line of interest to the terminal."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from avatar.foreign_text import shown, without_controls

WORTH_SHOWING = ("Collecting ", "Downloading ", "Using cached ", "Building ", "Installing collected packages")


def run_logged(command: Sequence[str], log: Path, *, append: bool = True) -> tuple[int, str]:
    """Run a command to its end and return its exit code and all it said.

    The user's own PIP_* variables and pip configuration count, except the wish to install outside the environment.

    Raises:
        OSError: the log cannot be written or the program not started.
    """
    environment = os.environ | {"PIP_USER": "0", "PYTHONUNBUFFERED": "1", "PIP_PROGRESS_BAR": "off"}
    environment.pop("PYTHONHOME", None)
    said: list[str] = []
    with log.open("a" if append else "w", encoding="utf-8", errors="replace") as record:
        record.write(f"$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
            text=True, encoding="utf-8", errors="replace", close_fds=False,  # the lock is passed on
        )  # fmt: skip
        try:
            with _StatusLine() as status:
                for line in _lines(process, status):
                    record.write(without_controls(line))
                    record.flush()
                    said.append(line)
            return process.wait(), "".join(said)
        except BaseException:
            process.kill()
            process.wait()
            raise


def _lines(process: subprocess.Popen[str], status: _StatusLine) -> Iterator[str]:
    """Yield the output line by line; keep the clock on the terminal going while there is none."""
    assert process.stdout is not None
    lines: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process.stdout, lines), name="pip-output", daemon=True)
    reader.start()
    while True:
        try:
            line = lines.get(timeout=1.0)
        except queue.Empty:
            status.tick()
            continue
        if line is None:
            reader.join()
            return
        status.news(line.strip())
        yield line


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


class _StatusLine:
    """What pip is at and since when, on one line of a terminal; silent where there is none."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._text, self._began_s, self._width = "", time.monotonic(), 0

    def __enter__(self) -> _StatusLine:
        return self

    def __exit__(self, *_: object) -> None:
        self._show("")
        if self._live:
            sys.stderr.write("\r")

    def news(self, line: str) -> None:
        if line.startswith(WORTH_SHOWING):
            self._text = line.removesuffix("...")
            self.tick()

    def tick(self) -> None:
        if self._text:
            self._show(f"      {time.monotonic() - self._began_s:4.0f} s  {self._text}")

    def _show(self, text: str) -> None:
        if self._live:
            line = shown(text, max(3, shutil.get_terminal_size().columns - 1))
            sys.stderr.write(f"\r{line:<{self._width}}")
            sys.stderr.flush()
            self._width = len(line)
