"""Privacy: no output ever receives a camera pixel, whatever fails, unless pass-through was requested."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from live_fakes import holds_camera
from never_leak import FAULTS, Show, Watched, hurry  # noqa: F401 - a fixture


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a failure depends on the moment, so it cannot be shrunk
)
@given(
    st.lists(st.tuples(st.sampled_from(FAULTS), st.floats(0.0, 0.06)), min_size=4, max_size=14),
    st.sampled_from([0, 200]),
)
def test_the_camera_is_seen_only_when_asked_for(faults: list[tuple[str, float]], crossfade_ms: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        show = Show(Path(folder), crossfade_ms=crossfade_ms)
        show.pipeline.add_output("watched", lambda: Watched(show.seen_s, show.checked))
        with show.rig as rig:
            rig.output.wait_for(1)
            for fault, wait_s in faults:
                show.happen(fault)
                time.sleep(wait_s)
            time.sleep(0.1)
        leaks = [time_s for time_s in show.seen_s if not show.asked_for(time_s)]
        # Each of two outputs may be about to send one frame at the moment when pass-through ends.
        assert len(leaks) <= 2 * sum(end < float("inf") for _, end in show.passing)
        assert all(any(0 <= time_s - end < 1.0 for _, end in show.passing) for time_s in leaks)
        assert not any(holds_camera(frame.rgb) and not frame.passed_through for frame in rig.output.frames)
        assert rig.output.frames and show.checked


def test_the_watch_would_see_a_leak(tmp_path: Path) -> None:
    show = Show(tmp_path)
    show.pipeline.add_output("watched", lambda: Watched(show.seen_s, show.checked))
    with show.rig as rig:
        rig.output.wait_for(2)
        rig.engine.draw = lambda *_: rig.sources["camera"].read().rgb  # type: ignore[method-assign]
        from avatar.live.events import OutputFailed

        rig.wait_for(OutputFailed)  # by the assertion in `Watched`


def test_pass_through_works_at_all(tmp_path: Path) -> None:
    show = Show(tmp_path)
    show.pipeline.add_output("watched", lambda: Watched(show.seen_s, show.checked))
    with show.rig as rig:
        rig.output.wait_for(2)
        show.happen("pass through")
        rig.output.wait_for(3)
        deadline_s = time.monotonic() + 5
        while not show.seen_s and time.monotonic() < deadline_s:
            time.sleep(0.01)
    assert show.seen_s and all(show.asked_for(time_s) for time_s in show.seen_s)


def test_a_camera_that_is_lost_does_not_stay_while_the_engine_is_down(tmp_path: Path) -> None:
    show = Show(tmp_path)
    with show.rig as rig:
        rig.output.wait_for(2)
        show.happen("pass through")
        while not rig.output.wait_for(1)[-1].passed_through:
            pass
        show.happen("engine never opens")
        show.happen("engine fails")
        show.happen("camera hangs")
        deadline_s = time.monotonic() + 5
        while rig.output.frames[-1].passed_through and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert not rig.output.frames[-1].passed_through


def test_freezing_hides_a_camera_that_was_passed_through(tmp_path: Path) -> None:
    show = Show(tmp_path)
    with show.rig as rig:
        rig.output.wait_for(2)
        show.happen("pass through")
        while not rig.output.wait_for(1)[-1].passed_through:
            pass
        show.happen("freeze")
        deadline_s = time.monotonic() + 5
        while rig.output.frames[-1].passed_through and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert not rig.output.frames[-1].passed_through
        rig.pipeline.pass_through(True)  # a panic key is stronger
        still = rig.output.frames[-1].rgb
        assert all(frame.rgb is still for frame in rig.output.wait_for(3)[-3:])
