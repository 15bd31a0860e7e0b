"""Speed check of the warp engine."""

from __future__ import annotations

from collections.abc import Iterator

from avatar.doctor.check import BROKEN, OK, WARNING, Check
from avatar.errors import AvatarError

_FRAMES = 30
_CAMERA_MS = 1000 / 30


def look_at_speed() -> Iterator[Check]:
    """Track, animate and draw the built-in portrait for about half a second."""
    from avatar.offline.bench import run_bench

    try:
        size = run_bench(frames=_FRAMES, sizes=(("512x512", 512, 512),)).sizes[0]
    except AvatarError as error:
        yield Check("speed", BROKEN, f"Not measured: {error.what}", error.remedy)
        return
    rate = min(1000 / size.live.median_ms, 999)
    took = f"{size.live.median_ms:.0f} ms (95 %: {size.live.p95_ms:.0f})"
    what = f"A live frame of 512 x 512 takes {took}: {rate:.0f} a second."
    if size.live.median_ms > _CAMERA_MS:
        yield Check("speed", WARNING, what, "Close other programs, or choose a smaller --size.")
    else:
        yield Check("speed", OK, what)
