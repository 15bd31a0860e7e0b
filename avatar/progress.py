"""One line on the terminal that says how far a long job is; every few seconds a line where there is none."""

from __future__ import annotations

import sys
import time
from typing import TextIO

BAR_CELLS = 24


class ProgressBar:
    """Shows amount, rate and time left of one job; used as a context manager.

    The unit is "B" for bytes (shown as MB), or a noun such as "frames".
    """

    def __init__(self, label: str, total: float | None, unit: str, stream: TextIO | None = None) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._stream = stream if stream is not None else sys.stderr
        self._live = self._stream.isatty()
        self._began_s = time.monotonic()
        self._base: float | None = None  # where a resumed job began: not counted into its rate
        self._shown_s, self._done, self._width = 0.0, 0.0, 0

    def update(self, done: float, total: float | None = None) -> None:
        """Say that `done` units of `total` are there; cheap to call often."""
        self._done, self._total = done, total if total is not None else self._total
        if self._base is None:
            self._base = done
        now_s = time.monotonic()
        if now_s - self._shown_s >= (0.1 if self._live else 10.0):
            if self._live or self._shown_s:
                self._show(self._line(now_s - self._began_s))
            self._shown_s = now_s

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._base is not None:
            self._show(self._line(time.monotonic() - self._began_s), last=True)

    def _line(self, elapsed_s: float) -> str:
        rate = (self._done - (self._base or 0)) / elapsed_s if elapsed_s > 0.2 else 0.0
        parts = [self._label, self._bar(), self._amount()]
        if rate > 0:
            parts.append(f"{self._number(rate) if self._unit == 'B' else rounded(rate)} {self._noun()}/s")
            if self._total is not None and self._done < self._total:
                parts.append(f"{clock((self._total - self._done) / rate)} left")
        return "  ".join(part for part in parts if part)

    def _bar(self) -> str:
        if not self._total:
            return ""
        full = round(BAR_CELLS * min(self._done / self._total, 1.0))
        return f"[{'#' * full}{'.' * (BAR_CELLS - full)}]"

    def _amount(self) -> str:
        of = f" of {self._number(self._total)}" if self._total is not None else ""
        return f"{self._number(self._done)}{of} {self._noun()}"

    def _number(self, value: float) -> str:
        return f"{value / 1e6:.1f}" if self._unit == "B" else f"{value:.0f}"

    def _noun(self) -> str:
        return "MB" if self._unit == "B" else self._unit

    def _show(self, line: str, last: bool = False) -> None:
        if self._live:
            self._stream.write(f"\r{line:<{self._width}}" + ("\n" if last else ""))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()


def rounded(rate: float) -> str:
    """Return a rate with the digits that say something: 120, 14, 3.2, 0.3."""
    return f"{rate:.0f}" if rate >= 5 else f"{rate:.1f}"


def clock(seconds: float) -> str:
    """Return a duration as people say it: 42 s, 3:05, 1:02:03."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours = whole // 60, whole // 3600
    return f"{hours}:{minutes % 60:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
