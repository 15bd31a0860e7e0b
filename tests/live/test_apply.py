"""`Pipeline.apply`: whatever ran before, what runs afterwards is what would run had it started that way.

Every field of LiveConfig has values to try and a probe that says what the pipeline makes of it. A field without them
fails these tests, and so does one that `apply` forgets.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import STRAIGHT, FakeTracker, plain
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from live_fakes import FakeLiveEngine, FakeOutput, FakeSource, Rig, engine_error

from avatar.cv import cv2
from avatar.engines.base import Checkpoint
from avatar.frames import Frame, RgbImage
from avatar.live.changes import NEEDS, Need, change_between
from avatar.live.config import IDLE, LiveConfig
from avatar.live.events import AvatarReady, AvatarRefused, EngineFailed, FaceFound, SourceBack
from avatar.live.motion_source import DrivingState
from avatar.outputs.canvas import size_on_canvas
from avatar.portrait.source import PortraitSource
from avatar.settings import CanvasSettings, MotionSettings

PORTRAIT = (64, 48)
AVATARS = {"one": "one.png", "two": "two.png"}  # LiveConfig has the path in the rig's folder


class Painter(FakeLiveEngine):
    """Paints what it was opened and prepared with: each is a colour, above the driver's picture."""

    def __init__(self, options: LiveConfig) -> None:
        super().__init__(options)
        self.opened = (options.engine, options.model, options.device, options.render, options.remote)

    def prepare(
        self, source: PortraitSource, config: LiveConfig, *, use_second_core: bool, checkpoint: Checkpoint
    ) -> Any:
        super().prepare(source, config, use_second_core=use_second_core, checkpoint=checkpoint)
        shown = round(size_on_canvas(*PORTRAIT, config.canvas) * config.sharpness)
        return Path(config.avatar).name, config.size or shown

    def draw(self, state: DrivingState, frame_width_px: int, time_s: float) -> RgbImage:
        super().draw(state, frame_width_px, time_s)
        name, size = self.portrait
        assert self.motion is not None
        carried = dataclasses.replace(self.motion, smoothing=True)  # filters landmarks, which are not seen here
        drawn = np.zeros((size, size, 3), np.uint8)
        drawn[: size // 2] = list(zlib.crc32(repr((self.opened, name, carried)).encode()).to_bytes(4, "big")[1:])
        if state.image is not None:
            drawn[size // 2 :] = cv2.resize(state.image, (size, size - size // 2), interpolation=cv2.INTER_NEAREST)
        return drawn


class Tracker(FakeTracker):
    """Knows how it was opened."""

    def __init__(self, smoothing: bool) -> None:
        super().__init__()
        self.smoothing = smoothing


class LopsidedSource(FakeSource):
    """Sends pictures that a mirror changes."""

    def read(self) -> Frame:
        frame = super().read()
        frame.rgb[:, : frame.width_px // 4, 2] += 40
        return frame


class Screen(FakeOutput):
    """Shows what it is sent, as a virtual camera does."""

    facts = "screen"

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.shows: RgbImage = plain(0)
        self.passed_through = False

    def send(self, frame: Frame) -> None:
        super().send(frame)
        self.shows, self.passed_through = frame.rgb, frame.passed_through

    def resize(self, size: tuple[int, int]) -> None:
        self.size = size


class Show:
    """A running pipeline whose every part can be asked what it goes by."""

    def __init__(self, folder: Path, config: LiveConfig) -> None:
        sources: dict[str, FakeSource] = {
            name: LopsidedSource(name, level=level) for name, level in (("a", STRAIGHT), ("b", STRAIGHT + 9))
        }
        self.trackers: list[Tracker] = []
        given = {each.name: getattr(config, each.name) for each in dataclasses.fields(config)}
        self.rig = Rig(folder, sources=sources, **(given | {"avatar": str(folder / config.avatar)}))
        self.rig.engine_kind = Painter
        self.rig.tracker_of = self._open_tracker
        self.folder, self.pipeline = folder, self.rig.pipeline
        self.engine = self.pipeline._engine
        self.screen = Screen(config.canvas.size)

    def apply(self, config: LiveConfig) -> None:
        self.pipeline.apply(dataclasses.replace(config, avatar=str(self.folder / config.avatar)))

    def camera(self) -> Any:
        """What is open: source, size and rate."""
        source = self.engine._source
        return (source, *self.rig.asked_of_source[-1]) if source != IDLE and self.rig.asked_of_source else source

    def painter(self) -> Painter:
        """The one that draws, not one that is being opened."""
        painter = [each for each in self.rig.engines if each.portrait is not None][-1]
        assert isinstance(painter, Painter)
        return painter

    def state(self) -> dict[str, Any]:
        """What each field has come to."""
        return {path: probe(self) for path, probe in PROBES.items()}

    def pictures(self) -> list[bytes]:
        return [repr(self.screen.shows.shape).encode(), self.screen.shows.tobytes()]

    def is_on(self) -> None:
        """Wait for the first avatar and for the driver."""
        self.rig.wait_for(AvatarReady)
        if self.pipeline.config.source != IDLE:
            self.rig.wait_for(FaceFound)

    def _open_tracker(self, smoothing: bool) -> FakeTracker:
        self.trackers.append(Tracker(smoothing))
        return self.trackers[-1]


def motion(name: str) -> Callable[[Show], Any]:
    return lambda show: getattr(show.painter().motion, name)


def crop(name: str) -> Callable[[Show], Any]:
    return lambda show: getattr(show.engine._crop.settings, name)


def size(number: int) -> Callable[[Show], Any]:
    """Where a side of the canvas counts: in the output, for the blank picture, and for pass-through's mark."""
    name = ("width_px", "height_px")[number]
    return lambda show: (
        getattr(show.pipeline._composer.canvas, name),
        show.pipeline._gate._blank_size[number],
        getattr(show.engine.manager.wanted.canvas, name),
    )


PROBES: dict[str, Callable[[Show], Any]] = {
    "source": Show.camera,
    "camera_size": Show.camera,
    "camera_rate": lambda show: (show.camera(), show.engine._period_s),
    "avatar": lambda show: show.painter().portrait[0],
    "engine": lambda show: show.painter().opened,
    "model": lambda show: show.painter().opened,
    "device": lambda show: show.painter().opened,
    "render": lambda show: show.painter().opened,
    "remote": lambda show: show.painter().opened,
    "size": lambda show: show.painter().portrait[1],
    "sharpness": lambda show: show.painter().portrait[1],
    "mirror_driving": lambda show: show.engine.tracking.settings.mirror,
    "motion.relative": motion("relative"),
    "motion.adapt_scale": motion("adapt_scale"),
    "motion.strength_head": motion("strength_head"),
    "motion.strength_expression": motion("strength_expression"),
    "motion.region": motion("region"),
    "motion.strength_mouth": motion("strength_mouth"),
    "motion.strength_eyes": motion("strength_eyes"),
    "motion.strength_brows": motion("strength_brows"),
    "motion.retarget_eyes": motion("retarget_eyes"),
    "motion.retarget_lips": motion("retarget_lips"),
    "motion.close_mouth": motion("close_mouth"),
    "motion.smoothing": lambda show: (show.engine.tracking.settings.smoothing, motion("smoothing")(show)),
    "crop.auto": crop("auto"),
    "crop.frozen": crop("frozen"),
    "crop.zoom": crop("zoom"),
    "crop.pan_x": crop("pan_x"),
    "crop.pan_y": crop("pan_y"),
    "canvas.width_px": size(0),
    "canvas.height_px": size(1),
    "canvas.fit": lambda show: (show.pipeline._composer.canvas.fit, show.painter().portrait[1]),
    "canvas.mirror": lambda show: show.pipeline._composer.canvas.mirror,
    "canvas.label": lambda show: show.pipeline._composer.canvas.label,
    "canvas.background": lambda show: (
        show.pipeline._composer.canvas.background,
        show.engine.manager.wanted.canvas.background,
    ),
    "canvas.background_colour": lambda show: show.pipeline._composer.canvas.background_colour,
    "canvas.background_image": lambda show: show.pipeline._composer.canvas.background_image,
    "canvas.places": lambda show: show.pipeline._composer.canvas.places,
    "calibration.search": lambda show: show.engine.calibration.search,
    "calibration.drift_hint": lambda show: show.engine.calibration.drift_hint,
    "crossfade_ms": lambda show: show.engine._crossfade.length_ms,
    "threads": lambda show: cv2.getNumThreads(),
}
VALUES: dict[str, list[Any]] = {
    "source": ["a", "b", IDLE],
    "camera_size": [(1280, 720), (640, 480)],
    "camera_rate": [30, 60],
    "avatar": ["one.png", "two.png"],
    "engine": ["warp", "fomm"],
    "model": [None, "vox"],
    "device": ["auto", "cpu"],
    "render": ["auto", "graphics"],
    "remote": ["", "127.0.0.1:8974"],
    "size": [None, 40],
    "sharpness": [1.0, 2.0],
    "mirror_driving": [False, True],
    "motion.relative": [True, False],
    "motion.adapt_scale": [True, False],
    "motion.strength_head": [1.0, 0.5],
    "motion.strength_expression": [1.0, 1.5],
    "motion.region": ["all", "lip"],
    "motion.strength_mouth": [1.0, 0.5],
    "motion.strength_eyes": [1.0, 0.5],
    "motion.strength_brows": [1.0, 0.5],
    "motion.retarget_eyes": [False, True],
    "motion.retarget_lips": [False, True],
    "motion.close_mouth": [False, True],
    "motion.smoothing": [True, False],
    "crop.auto": [True, False],
    "crop.frozen": [False, True],
    "crop.zoom": [1.0, 1.2],
    "crop.pan_x": [0.0, -1.0],
    "crop.pan_y": [0.0, 1.0],
    "canvas.width_px": [64, 96],
    "canvas.height_px": [36, 80],
    "canvas.fit": ["blur", "fill", "fit"],
    "canvas.mirror": [False, True],
    "canvas.label": [True, False],
    "canvas.background": ["own", "green", "transparent"],
    "canvas.background_colour": ["#2f5d8a", "#ffffff"],
    "canvas.background_image": ["", "sea.jpg"],
    "canvas.places": [{}, {"one": [1.5, 0.25, -0.125]}],
    "calibration.search": [False, True],
    "calibration.drift_hint": [True, False],
    "crossfade_ms": [0, 120],
    "threads": [2, 1, 3],
}


def paths(record: Any, before: str = "") -> Iterator[str]:
    """The names of all fields, "canvas.fit" for those of a record inside."""
    for each in dataclasses.fields(record):
        value = getattr(record, each.name)
        yield from (
            paths(value, f"{before}{each.name}.") if dataclasses.is_dataclass(value) else [f"{before}{each.name}"]
        )


def with_values(values: dict[str, Any]) -> LiveConfig:
    config = LiveConfig()
    for path, value in values.items():
        outer, _, inner = path.partition(".")
        new = dataclasses.replace(getattr(config, outer), **{inner: value}) if inner else value
        config = dataclasses.replace(config, **{outer: new})
    return config


FIRST = with_values({path: values[0] for path, values in VALUES.items()})
FIELDS = list(paths(LiveConfig()))
configs = st.fixed_dictionaries({path: st.sampled_from(values) for path, values in VALUES.items()}).map(with_values)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No waiting, and OpenCV as it was."""
    monkeypatch.setattr("avatar.live.engine_thread.GAP_S", 5.0)
    threads = cv2.getNumThreads()
    yield
    cv2.setNumThreads(threads)


@contextlib.contextmanager
def show(folder: Path, config: LiveConfig) -> Iterator[Show]:
    opened = Show(folder, config)
    opened.pipeline.add_output("screen", lambda: opened.screen)
    with opened.rig:
        opened.is_on()
        yield opened


def settled(of: Callable[[], Any]) -> Any:
    """What it says once it has said the same for a while."""
    deadline_s, before, since_s = time.monotonic() + 20, of(), time.monotonic()
    while time.monotonic() - since_s < 0.15 and time.monotonic() < deadline_s:
        time.sleep(0.01)
        if (now := of()) != before:
            before, since_s = now, time.monotonic()
    return before


def becomes(of: Callable[[], Any], wanted: Any) -> Any:
    """What it says as soon as that is what is wanted, or after long."""
    deadline_s = time.monotonic() + 10
    while (now := of()) != wanted and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return now


def test_every_field_has_values_and_a_probe_and_says_what_it_needs() -> None:
    assert set(VALUES) == set(PROBES) == set(FIELDS)
    assert {each.name for each in dataclasses.fields(LiveConfig)} <= set(NEEDS) <= {
        *FIELDS, "motion", "crop", "canvas", "calibration",
    }  # fmt: skip


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_that_changes_arrives(path: str, tmp_path: Path) -> None:
    changed = with_values({name: values[name == path] for name, values in VALUES.items()})
    with show(tmp_path, changed) as one:
        wanted, picture = settled(one.state), settled(one.pictures)
    with show(tmp_path, FIRST) as other:
        assert settled(lambda: PROBES[path](other)) != wanted[path], "the probe tells nothing"
        other.apply(changed)
        assert becomes(other.state, wanted) == wanted
        assert becomes(other.pictures, picture) == picture


@given(before=configs, after=configs)
@settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # the test above says which field it is
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_started_one_way_and_changed_is_started_the_other_way(
    before: LiveConfig, after: LiveConfig, tmp_path: Path
) -> None:
    with show(tmp_path, after) as one:
        wanted, picture = settled(one.state), settled(one.pictures)
        one.pipeline.pass_through(True)
        passed = settled(one.pictures)
    with show(tmp_path, before) as other:
        other.apply(after)
        assert becomes(other.state, wanted) == wanted
        assert becomes(other.pictures, picture) == picture
        other.pipeline.pass_through(True)
        assert becomes(other.pictures, passed) == passed


def test_only_what_changed_is_done(tmp_path: Path) -> None:
    with show(tmp_path, FIRST) as running:
        rig = running.rig
        for change in ({"motion": MotionSettings(strength_head=0.5)}, {"canvas": CanvasSettings(64, 36, mirror=True)}):
            rig.change(**change)
            becomes(lambda: running.engine.manager.wanted, rig.pipeline.config)
        rig.pipeline.apply(rig.pipeline.config)
        running.screen.wait_for(5)
        assert len(rig.of(AvatarReady)) == len(rig.of(SourceBack)) == len(rig.engines) == 1
        assert [tracker.smoothing for tracker in running.trackers] == [True, False], (
            "one to follow, one for the portrait"
        )
        rig.change(canvas=CanvasSettings(96, 36))
        rig.wait_for(AvatarReady, 2)
        assert len(rig.of(SourceBack)) == len(rig.engines) == 1 and not running.screen.closed


def test_model_and_device_go_with_their_engine() -> None:
    change = change_between(FIRST, dataclasses.replace(FIRST, device="cpu"))
    assert change.fields == {"engine", "model", "device", "render", "remote"} and change.needs == Need.PORTRAIT


def test_what_changes_before_the_start_counts_from_the_start(tmp_path: Path) -> None:
    waiting = Show(tmp_path, FIRST)
    waiting.apply(dataclasses.replace(FIRST, source="b"))
    with waiting.rig:
        waiting.is_on()
        assert waiting.rig.opened_sources == ["b"]


def test_an_output_that_opens_later_has_the_new_canvas(tmp_path: Path) -> None:
    with show(tmp_path, FIRST) as running:
        running.rig.change(canvas=CanvasSettings(96, 80))
        late = Screen(FIRST.canvas.size)  # as the window asked for it a moment before
        running.pipeline.add_output("late", lambda: late)
        assert becomes(lambda: late.shows.shape, (80, 96, 3)) == (80, 96, 3)


@pytest.mark.parametrize("refused", ["avatar", "engine"])
def test_a_refusal_keeps_the_new_canvas(refused: str, tmp_path: Path) -> None:
    with show(tmp_path, FIRST) as running:
        rig = running.rig
        rig.broken_engines = {"fomm": engine_error()}
        bad = {"avatar": {"avatar": str(rig.faceless)}, "engine": {"engine": "fomm"}}[refused]
        rig.change(**bad, canvas=CanvasSettings(96, 80))
        rig.wait_for(AvatarRefused if refused == "avatar" else EngineFailed)
        rig.wait_for(AvatarReady, 2)
        assert running.painter().portrait == ("one.png", size_on_canvas(*PORTRAIT, CanvasSettings(96, 80)))
        assert running.engine.manager.wanted.canvas == CanvasSettings(96, 80)
        rig.change(motion=MotionSettings(relative=False))
        running.screen.wait_for(5)
        assert len(rig.of(AvatarRefused)) + len(rig.of(EngineFailed)) == 1, "what was refused is not tried again"


def test_an_avatar_that_was_refused_is_shown_once_its_picture_is_better(tmp_path: Path) -> None:
    with show(tmp_path, FIRST) as running:
        rig = running.rig
        rig.change(avatar=str(rig.faceless))
        rig.wait_for(AvatarRefused)
        rig.faceless.write_bytes(rig.other.read_bytes())
        rig.pipeline.show_again()
        assert rig.wait_for(AvatarReady, 2).name == str(rig.faceless)
