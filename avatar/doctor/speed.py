"""Speed check of the warp engine."""

from __future__ import annotations

from collections.abc import Iterator

from avatar.doctor.check import BROKEN, OK, WARNING, Check
from avatar.errors import AvatarError
from avatar.system.message import Message, together

_FRAMES = 30
_CAMERA_MS = 1000 / 30


def look_at_speed() -> Iterator[Check]:
    """Track, animate and draw the built-in portrait for about half a second."""
    from avatar.offline.bench import run_bench

    try:
        size = run_bench(frames=_FRAMES, sizes=(("512x512", 512, 512),)).sizes[0]
    except AvatarError as error:
        yield Check("speed", BROKEN, together("It was not measured.", error.what), error.remedy)
        return
    rate = min(1000 / size.live.median_ms, 999)
    what = Message(
        "A live frame of 512 x 512 takes {median:.0f} ms (95 %: {most:.0f}): {rate:.0f} a second.",
        median=size.live.median_ms, most=size.live.p95_ms, rate=rate,
    )  # fmt: skip
    if size.live.median_ms > _CAMERA_MS:
        yield Check("speed", WARNING, what, "Close other programs, or choose a smaller --size.")
    else:
        yield Check("speed", OK, what)
