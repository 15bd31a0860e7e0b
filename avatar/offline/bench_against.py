"""Comparison of the speed of this copy of the program with that of another, measured alternately.

Other load on the machine slows down both, so the ratios are reliable; the milliseconds depend on the load.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from avatar.errors import UsageError
from avatar.offline.bench import STAGES
from avatar.system.foreign_text import first_line, shown
from avatar.system.installation import IMPORT_ROOT
from avatar.system.message import Message

ROUNDS = 3
ROWS = (*STAGES, "live", "portrait, once")
_RUN = "import sys; from avatar.cli import main; sys.exit(main(sys.argv[1:]))"

Times = Mapping[str, Mapping[str, float]]  # milliseconds by size and row


@dataclass(frozen=True)
class Copy:
    """Timings of one of the compared copies."""

    name: str  # of its commit, or "now"
    rounds: tuple[Times, ...]  # medians, by round
    processor_s: tuple[float, ...]  # processor time of a whole run, by round; empty where the system does not tell


@dataclass(frozen=True)
class Comparison:
    """Timings of two copies of the program, measured alternately."""

    before: Copy
    now: Copy
    machine: Mapping[str, Any]
    loads: tuple[float, ...]  # average load before each run; empty where the system does not tell
    chip: Mapping[str, Any] = field(default_factory=dict)  # drawing on a chip now, as `ChipResult`; empty: not told

    def as_json(self) -> dict[str, Any]:
        """Return plain numbers for a JSON file."""
        copies = {
            copy.name: {"rounds": list(copy.rounds), "processor_s": list(copy.processor_s)}
            for copy in (self.before, self.now)
        }
        return {
            "copies": copies,
            "ratios": self.ratios(),
            "machine": dict(self.machine),
            "loads": list(self.loads),
            "chip": dict(self.chip),
        }

    def ratios(self) -> dict[str, dict[str, float]]:
        """Return the ratio of the times, now to before, by size and row: the median over the rounds."""
        pairs = list(zip(self.before.rounds, self.now.rounds, strict=True))
        return {
            size: {row: float(np.median([now[size][row] / then[size][row] for then, now in pairs])) for row in ROWS}
            for size in pairs[0][1]
        }

    def table(self) -> str:
        """Format a table in Markdown: milliseconds before and now, and the ratio."""
        ratios, sizes = self.ratios(), list(self.now.rounds[0])
        lines = [
            f"| ms: {self.before.name} / {self.now.name} | " + " | ".join(sizes) + " |",
            "| --- |" + " --- |" * len(sizes),
        ]
        for row in ROWS:
            cells = []
            for size in sizes:
                then, now = (
                    float(np.median([times[size][row] for times in copy.rounds])) for copy in (self.before, self.now)
                )
                digits = 0 if row == ROWS[-1] else 1
                cells.append(f"{then:.{digits}f} / {now:.{digits}f} ({ratios[size][row]:.2f} x)")
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
            if row == "drawing":
                lines.append("| drawing on a chip, processor's part | " + " | ".join(map(self._on_chip, sizes)) + " |")
        facts = (
            f"{self.machine['cpu']}, {self.machine['cores']} cores; medians of {len(self.now.rounds)} rounds in turns"
        )
        if self.loads:
            facts += f"; load {min(self.loads):.1f} to {max(self.loads):.1f}"
        if self.now.processor_s:
            shares = [now / then for then, now in zip(self.before.processor_s, self.now.processor_s, strict=True)]
            facts += f"; processor time of a whole run {float(np.median(shares)):.2f} x"
        name, why = self.chip.get("name"), self.chip.get("why")
        if name or why:
            facts += "; chip: " + ": ".join(filter(None, (name, str(why).rstrip("."))))
        return "\n".join([*lines, "", facts + "."])

    def _on_chip(self, size: str) -> str:
        times = self.chip.get("sizes", {}).get(size)
        return f"{times['drawing_ms']:.1f}, {times['processor_ms']:.1f}" if times else "none"


def compare(
    checkout: Path, *, frames: int, rounds: int = ROUNDS, report: Callable[[str], None] = lambda text: None
) -> Comparison:
    """Run `bench` of another copy and of this one alternately.

    Args:
        checkout: folder of the other copy, such as a git worktree of an older commit; it uses this one's packages.
        frames: number of timed frames per size and run.
        rounds: runs of each copy.
        report: receives a sentence before each run.

    Raises:
        UsageError: the folder has no copy of the program, or its bench fails.
    """
    if not (checkout / "avatar" / "cli.py").is_file():
        raise UsageError(
            Message("{folder} is not a copy of Masque.", folder=checkout),
            remedy="Make one: git worktree add FOLDER COMMIT",
        )
    names = (_commit(checkout) or checkout.name, "now")
    folders = (checkout.resolve(), IMPORT_ROOT)
    times: tuple[list[Times], list[Times]] = ([], [])
    seconds: tuple[list[float], list[float]] = ([], [])
    machine: Mapping[str, Any] = {}
    chip: Mapping[str, Any] = {}
    loads = []
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):  # a load that rises slows down both alike
            report(f"Round {number + 1} of {rounds}: {names[which]}")
            if hasattr(os, "getloadavg"):
                loads.append(os.getloadavg()[0])
            before = os.times()
            found = _bench(folders[which], frames)
            after = os.times()
            times[which].append(_medians(found))
            seconds[which].append(sum(after[2:4]) - sum(before[2:4]))
            if which == 1:
                machine, chip = found["machine"], found.get("chip") or {}
    told = all(seconds[0]) and all(seconds[1])  # Windows does not
    copies = [
        Copy(name, tuple(each), tuple(spent) if told else ())
        for name, each, spent in zip(names, times, seconds, strict=True)
    ]
    return Comparison(copies[0], copies[1], machine, tuple(loads), chip)


def _bench(folder: Path, frames: int) -> dict[str, Any]:
    """Run the bench of the copy in a folder and return its report."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory(prefix="masque-bench-") as temporary:
        path = Path(temporary) / "bench.json"
        done = subprocess.run(
            [sys.executable, "-c", _RUN, "bench", "--frames", str(frames), "--json", str(path)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode == 0:
            try:
                return dict(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError) as error:
                why = first_line(error)
        else:
            why = shown(done.stderr.strip().rsplit("\n", 1)[-1].rstrip("."), 200)
    raise UsageError(
        Message("The bench in {folder} failed: {why}.", folder=folder, why=why),
        remedy="Run it there on its own: python run.py bench",
    )


def _medians(report: Mapping[str, Any]) -> Times:
    """Read the medians from a report of `bench --json`."""
    found = {}
    for size in report["sizes"]:
        row = {stage: float(size["stages"][stage]["median_ms"]) for stage in STAGES}
        found[size["name"]] = row | {"live": float(size["live"]["median_ms"]), ROWS[-1]: float(size["prepare_ms"])}
    return found


def _commit(folder: Path) -> str:
    """Return the short hash of the commit that a folder is at; empty if unknown."""
    try:
        command = ["git", "-C", str(folder), "rev-parse", "--short=7", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
