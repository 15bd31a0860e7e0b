"""Progress of long jobs: a bar on a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

from tqdm import tqdm

tqdm.monitor_interval = 0  # no monitor thread, because jobs report often enough


class _Lines(tqdm):  # type: ignore[misc]
    """A progress bar for files and pipes, which prints separate lines."""

    disable: bool

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        """Return a function that writes one state of the bar."""

        def write(line: str) -> None:
            if line:
                file.write(f"{line}\n")
                file.flush()

        return write

    def close(self) -> None:
        """Write the final state once; safe to call twice."""
        if not self.disable:
            self.disable = True
            self.display(str(self))
            self._decr_instances(self)


class ProgressBar:
    """Progress bar with amount, rate and remaining time, by tqdm; used as a context manager.

    The unit is "B" for bytes, or a noun such as "frames".
    """

    def __init__(self, label: str, total: float | None, unit: str, stream: TextIO | None = None) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._stream = stream if stream is not None else sys.stderr
        self._bar: Any = None

    def update(self, done: float, total: float | None = None) -> None:
        """Report that `done` of `total` units are complete; cheap to call often. The rate excludes the first units."""
        self._total = total if total is not None else self._total
        if self._bar is None:
            self._bar = self._begun(done)
        self._bar.total = self._total
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _begun(self, done: float) -> Any:
        live, in_bytes = self._stream.isatty(), self._unit == "B"
        return (tqdm if live else _Lines)(
            total=self._total,
            initial=done,
            desc=self._label,
            unit="B" if in_bytes else f" {self._unit}",
            unit_scale=in_bytes,
            file=self._stream,
            ascii=True,
            dynamic_ncols=live,
            mininterval=0.1 if live else 10.0,
            delay=0.0 if live else 10.0,
        )


def rounded(rate: float) -> str:
    """Format a rate with its significant digits: 120, 14, 3.2, 0.3."""
    return f"{rate:.0f}" if rate >= 5 else f"{rate:.1f}"
