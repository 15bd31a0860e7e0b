"""The results of many pairs as JSON and as a Markdown table against the targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from avatar.offline.evaluate import GAIN_RANGE, SHARPNESS_TARGET, TARGETS, Evaluation
from avatar.offline.evaluate_motion import CHANNELS, Channel
from avatar.reports.json_report import write_json
from avatar.system.foreign_text import MOST_OF_SENTENCE, shown


@dataclass(frozen=True)
class Pair:
    """One clip on one portrait."""

    clip: str
    portrait: str
    reference: int = -1  # frame of the clip
    evaluation: Evaluation | None = None
    failure: str = ""  # why there is no evaluation
    draw_ms: tuple[float, float] = (0.0, 0.0)  # motion and drawing of a frame: median, 95th percentile
    prepare_ms: float = 0.0  # of the portrait, once
    measure_ms: float = 0.0  # of a frame: tracking the result and comparing images

    @property
    def name(self) -> str:
        """Name of the pair, from clip and portrait."""
        return f"{self.clip} on {self.portrait}"

    def line(self) -> str:
        """Format the pair as one line, for the terminal."""
        if self.evaluation is None:
            return shown(f"{self.name}: {self.failure}", MOST_OF_SENTENCE)
        found = self.evaluation.channels.values()
        words = [f"{channel.name} {channel.correlation:.2f}" for channel in found if channel.correlation is not None]
        return f"{shown(self.name)}: {' '.join(words)} draw {self.draw_ms[0]:.1f} ms"

    def as_json(self) -> dict[str, Any]:
        """Convert the pair to JSON values."""
        measured = None if self.evaluation is None else self.evaluation.as_json()
        facts = {"clip": self.clip, "portrait": self.portrait, "reference": self.reference, "failure": self.failure}
        timing = {"draw_ms": self.draw_ms, "prepare_ms": self.prepare_ms, "measure_ms": self.measure_ms}
        return facts | timing | {"evaluation": measured}


@dataclass(frozen=True)
class Summary:
    """One channel over all pairs whose driver moves it."""

    name: str
    correlation: float  # median
    gain: float  # median
    lowest: float  # correlation
    lowest_pair: str
    pairs: int
    met: int  # pairs that reach the target by themselves
    clear_correlation: float | None  # median over the pairs whose driver moves it well above the tracker's noise
    clear_gain: float | None
    clear_pairs: int


def write_tables(folder: Path, pairs: Sequence[Pair]) -> None:
    """Write grid.json and grid.md. Raises: OutputError."""
    summaries = summarise(pairs)
    report = {"pairs": [pair.as_json() for pair in pairs], "summary": [vars(summary) for summary in summaries]}
    write_json(folder / "grid.json", report)
    (folder / "grid.md").write_text(markdown(pairs, summaries), encoding="utf-8")


def summarise(pairs: Sequence[Pair]) -> list[Summary]:
    """Compute medians per channel, in the order of CHANNELS; channels without motion in any clip are left out."""
    return [summary for name in CHANNELS if (summary := _summary(name, pairs)) is not None]


def markdown(pairs: Sequence[Pair], summaries: Sequence[Summary]) -> str:
    """Format the results: medians against targets, other measurements, and the correlations of every pair."""
    parts = [_channel_table(summaries), _image_table(pairs), _pair_table(pairs)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(name: str, pairs: Sequence[Pair]) -> Summary | None:
    found: list[tuple[float, float, str, bool]] = []
    for pair in pairs:
        channel = None if pair.evaluation is None else pair.evaluation.channels.get(name)
        if channel is not None and channel.correlation is not None and channel.gain is not None:
            found.append((channel.correlation, channel.gain, pair.name, channel.clear))
    if not found:
        return None
    clear = [item for item in found if item[3]]
    lowest, target = min(found), TARGETS.get(name, -1.0)
    return Summary(
        name,
        correlation=median(item[0] for item in found),
        gain=median(item[1] for item in found),
        lowest=lowest[0],
        lowest_pair=lowest[2],
        pairs=len(found),
        met=sum(item[0] >= target for item in found),
        clear_correlation=median(item[0] for item in clear) if clear else None,
        clear_gain=median(item[1] for item in clear) if clear else None,
        clear_pairs=len(clear),
    )


def _channel_table(summaries: Sequence[Summary]) -> str:
    low, high = GAIN_RANGE
    rows = [
        "| channel | correlation, median | target | gain, median | lowest correlation | pairs | of them at target "
        "| clearly moved: correlation x gain, pairs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for item in summaries:
        gain = f"{item.gain:.2f}" + ("" if low <= item.gain <= high else " **out**")
        met = item.met if item.name in TARGETS else ""
        rows.append(
            f"| {item.name} | {item.correlation:.3f} | {_target(item)} | {gain} "
            f"| {item.lowest:.2f} ({_words(item.lowest_pair)}) | {item.pairs} | {met} | {_clear(item)} |"
        )
    return "\n".join(rows)


def _target(item: Summary) -> str:
    if item.name not in TARGETS:
        return ""
    short = TARGETS[item.name] - item.correlation
    return f"{TARGETS[item.name]} " + (f"**missed by {short:.3f}**" if short > 0 else "met")


def _clear(item: Summary) -> str:
    if item.clear_correlation is None or item.clear_gain is None:
        return ""
    return f"{item.clear_correlation:.3f} x{item.clear_gain:.2f}, {item.clear_pairs}"


def _image_table(pairs: Sequence[Pair]) -> str:
    def of(measure: Callable[[Evaluation], float | None]) -> list[float]:
        values = (measure(pair.evaluation) for pair in pairs if pair.evaluation is not None)
        return [value for value in values if value is not None]

    rows = ["| measure | median | worst | target |", "|---|---|---|---|"]
    sharpness, change = of(lambda found: found.sharpness), of(lambda found: found.background_change)
    lost = of(lambda found: float(found.frames_lost))
    drawn = [pair for pair in pairs if pair.evaluation is not None]
    if sharpness:
        rows.append(f"| sharpness | {median(sharpness):.3f} | {min(sharpness):.3f} | {SHARPNESS_TARGET} |")
    if change:
        rows.append(f"| background change | {median(change):.2f} | {max(change):.2f} | |")
    if lost:
        rows.append(f"| frames lost | {median(lost):.0f} | {max(lost):.0f} | |")
    if drawn:
        medians, tails = [pair.draw_ms[0] for pair in drawn], [pair.draw_ms[1] for pair in drawn]
        rows.append(f"| drawing, ms, median of a pair | {median(medians):.1f} | {max(medians):.1f} | |")
        rows.append(f"| drawing, ms, 95 % of a pair | {median(tails):.1f} | {max(tails):.1f} | |")
        prepared = [pair.prepare_ms for pair in drawn]
        rows.append(f"| preparing a portrait, ms | {median(prepared):.0f} | {max(prepared):.0f} | |")
    return "\n".join(rows)


def _pair_table(pairs: Sequence[Pair]) -> str:
    rows = [f"| clip | portrait | {' | '.join(CHANNELS)} | sharp |", "|---" * (len(CHANNELS) + 3) + "|"]
    for pair in pairs:
        if pair.evaluation is None:
            rows.append(f"| {_words(pair.clip)} | {_words(pair.portrait)} | {_words(pair.failure)} |")
            continue
        cells = [_cell(pair.evaluation.channels[name]) for name in CHANNELS]
        sharpness = pair.evaluation.sharpness
        cells.append("" if sharpness is None else f"{sharpness:.2f}")
        rows.append(f"| {_words(pair.clip)} | {_words(pair.portrait)} | {' | '.join(cells)} |")
    return "Correlation x gain of every pair; empty where the driver does not move the channel.\n\n" + "\n".join(rows)


def _words(text: str) -> str:
    """Escape file names for a table cell."""
    return shown(text, 200).replace("|", "\\|")


def _cell(channel: Channel) -> str:
    if channel.correlation is None or channel.gain is None:
        return ""
    return f"{channel.correlation:.2f} x{channel.gain:.2f}"
