"""Execution of venv, pip or uv: the output goes to a log, its most relevant recent line to the terminal."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from avatar.system.foreign_text import shown, without_controls

WORTH_SHOWING = (
    "Collecting ", "Downloading ", "Using cached ", "Building ", "Installing collected packages",  # pip
    "Resolved ", "Downloaded ", "Prepared ",  # uv, which also prints Downloading and Building
)  # fmt: skip


def run_logged(
    command: Sequence[str], log: Path, *, append: bool = True, variables: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a command to completion and return its exit code and its output.

    The user's PIP_* variables and pip configuration apply, except options to install outside the environment.

    Raises:
        OSError: the log cannot be written, or the program cannot be started.
    """
    environment = os.environ | {"PIP_USER": "0", "PYTHONUNBUFFERED": "1", "PIP_PROGRESS_BAR": "off"}
    environment |= variables or {}
    environment.pop("PYTHONHOME", None)
    said: list[str] = []
    with log.open("a" if append else "w", encoding="utf-8", errors="replace") as record:
        record.write(f"$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
            text=True, encoding="utf-8", errors="replace", close_fds=False,  # inherits the lock
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
    """Yield the output line by line; update the clock on the terminal while there is none."""
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
    """Status line of the installer with its latest output and the elapsed time; silent without a terminal."""

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
