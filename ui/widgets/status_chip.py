"""The status chip in the avatar's corner: rate, latency and device, with colour and text for problems."""

from __future__ import annotations

from avatar.live.config import VOICE
from avatar.live.statistics import LiveStatistics
from ui.look.language import later, tr
from ui.session import LiveState

SLOW = 0.8  # fraction of the camera's rate


def chip(statistics: LiveStatistics, state: LiveState, wanted_device: str) -> list[tuple[str, str]]:
    """Return the parts of the chip: (text, name of a colour); no rates until an avatar is shown for the first time."""
    camera, engine = statistics.camera_rate, statistics.engine_rate
    drawn = bool(state.avatar) and not state.passing  # nothing is drawn while the camera image is shown
    slow = drawn and 0 < camera * SLOW > engine
    parts = [(tr("{rate:.0f} fps", rate=engine), "warning" if slow else "text")] if drawn else []
    if statistics.latency is not None:
        parts.append((tr("{ms:.0f} ms", ms=statistics.latency.p50_ms), "text"))
    if state.engine is not None:
        fell_back = wanted_device not in ("auto", state.engine.device.split(":")[0])
        wrong = fell_back or state.engine_problem or slow
        parts.append((state.engine.device.upper(), "danger" if wrong else "text"))
        if fell_back or state.engine_problem:
            parts.append((state.engine_problem or state.engine.why or tr("not the device you chose"), "danger"))
    if slow:
        voice = state.source.partition(":")[0] == VOICE
        than = later("slower than the camera ({rate:.0f} fps)")
        parts.append((tr(later("slower than the voice ({rate:.0f} fps)") if voice else than, rate=camera), "warning"))
    return parts
