from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fakes import NO_FACE, STRAIGHT, FakeEngine, FakeTracker, make_clip, plain
from motion_samples import make_face, swaying_track
from PIL import Image
from places import ROOT
from voices import syllables, write_wav

from avatar import cli
from avatar.commands import demo
from avatar.commands.animate import closing_line
from avatar.engines.base import Driving
from avatar.errors import (
    AvatarError,
    EngineError,
    FaceError,
    ImageError,
    LibraryError,
    OutputError,
    TemplateError,
    UsageError,
    VideoError,
)
from avatar.frames import AlphaImage, RgbImage
from avatar.images.box import Box
from avatar.images.load import load_image_alpha
from avatar.library.importing import Choice
from avatar.library.library import Library
from avatar.motion.template import save_template
from avatar.offline.animate import AnimateResult, animate, beside
from avatar.offline.background import replace_background
from avatar.offline.job import AnimateOptions, Tools
from avatar.outputs.background_choice import BackgroundChoice, parse_background
from avatar.portrait import check as portrait
from avatar.portrait.crop import crop_box, parse_crop
from avatar.settings import MotionSettings
from avatar.sources.video import open_driving
from avatar.tracking import Face, fan
from avatar.tracking.marks import NEEDED


class Bench:
    """A folder with a portrait and a clip, and the fakes that work on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.portrait = folder / "portrait.png"
        Image.fromarray(plain(STRAIGHT, (512, 512))).save(self.portrait)
        self.clip = folder / "clip.mp4"
        self.out = folder / "out.mp4"
        self.engine = FakeEngine()
        self.tracker = FakeTracker()
        self.stages: list[tuple[str, int, int]] = []

    def options(self, **changes: Any) -> AnimateOptions:
        given = {"source": self.portrait, "driving": self.clip, "output": self.out}
        return AnimateOptions(**{**given, **changes})

    def run(self, report: Callable[[str, int, int], None] | None = None, **changes: Any) -> AnimateResult:
        tools = Tools(open_tracker=lambda: self.tracker, open_engine=lambda options: self.engine)  # type: ignore[arg-type, return-value]

        def note(stage: str, done: int, total: int) -> None:
            self.stages.append((stage, done, total))
            if report is not None:
                report(stage, done, total)

        return animate(self.options(**changes), note, tools=tools)

    def refusal(self, kind: type[AvatarError], **changes: Any) -> AvatarError:
        """The error of a job that cannot be done; nothing may have been written."""
        before = {path.name for path in self.folder.iterdir()}
        with pytest.raises(kind) as caught:
            self.run(**changes)
        assert caught.value.remedy, "an error without a remedy"
        assert {path.name for path in self.folder.iterdir()} == before
        return caught.value


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def levels(*values: int) -> list[RgbImage]:
    return [plain(value) for value in values]


def read(path: Path) -> list[RgbImage]:
    with open_driving(path) as clip:
        return [frame.rgb for frame in clip]


def times_ms(path: Path) -> list[int]:
    with open_driving(path) as clip:
        return [round(frame.captured_ns / 1e6) for frame in clip]


def test_every_frame_is_drawn_at_its_time_and_the_sound_comes_along(bench: Bench) -> None:
    make_clip(bench.clip, rate=30, sound="aac")
    result = bench.run()
    assert (result.frames, result.faces, result.width_px, result.height_px) == (12, 12, 512, 512)
    assert (result.engine, result.device, result.output) == ("warp", "cpu", bench.out)
    assert times_ms(bench.out) == times_ms(bench.clip)
    assert len(bench.engine.seen) == 12
    drawn = [rgb.mean() for rgb in read(bench.out)]
    assert np.allclose(drawn, [STRAIGHT - 12 + 2 * n for n in range(12)], atol=4)
    with av.open(str(bench.out)) as file:
        assert len(file.streams.audio) == 1
    assert bench.engine.closed and bench.tracker.closed


def test_an_avatar_brings_its_own_face_and_part(bench: Bench) -> None:
    make_clip(bench.clip)
    picture = bench.folder / "cat.png"
    Image.fromarray(plain(NO_FACE, (512, 512))).save(picture)  # the tracker sees nothing in it
    face = make_face()
    marks = {name: (float(x), float(y)) for name, (at, *_) in NEEDED.items() for x, y in [face.landmarks[at, :2]]}
    choice = Choice(crop=Box(64, 32, 400, 440), marks=marks)
    Library().add(picture, detect=lambda rgb: [], choice=choice)
    result = bench.run(source="cat")
    assert (result.width_px, result.height_px) == (400, 440)
    assert bench.engine.face is not None
    assert bench.engine.face.landmarks[1, :2] == pytest.approx(face.landmarks[1, :2] - (64, 32), abs=3)
    assert bench.run(source="cat", crop="none").width_px == 512
    bench.refusal(FaceError, source=picture)


def test_progress_names_both_stages(bench: Bench) -> None:
    make_clip(bench.clip)
    bench.run()
    assert bench.stages == [("tracking", n, 12) for n in range(1, 13)] + [("drawing", n, 12) for n in range(1, 13)]


@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.gif", "frames"])
def test_every_kind_of_result(bench: Bench, name: str) -> None:
    make_clip(bench.clip, sound="libopus")
    bench.run(output=bench.folder / name)
    assert len(read(bench.folder / name)) == 12
    assert {path.name for path in bench.folder.iterdir()} == {"portrait.png", "clip.mp4", name}


def test_sound_can_be_left_out(bench: Bench) -> None:
    make_clip(bench.clip, sound="aac")
    bench.run(audio=False)
    with av.open(str(bench.out)) as file:
        assert not file.streams.audio


def test_a_variable_frame_rate_reaches_the_result(bench: Bench) -> None:
    ticks = [0, 30, 50, 250, 260, 900]
    make_clip(bench.folder / "clip.mkv", levels(*range(110, 116)), ticks=ticks)
    bench.run(driving=bench.folder / "clip.mkv")
    assert times_ms(bench.out) == ticks


def test_a_phone_held_upright(bench: Bench) -> None:
    make_clip(bench.clip, rotation=90)
    bench.run(side_by_side=True)
    assert read(bench.out)[0].shape == (512, 512 + 384, 3), "the clip is 48 x 64 when turned"


def test_frames_without_a_face_are_passed_on_as_such(bench: Bench) -> None:
    make_clip(bench.clip, levels(NO_FACE, 120, 128, NO_FACE, NO_FACE, 136))
    result = bench.run()
    assert [yaw is None for yaw in bench.engine.seen] == [True, False, False, True, True, False]
    assert (result.frames, result.faces) == (6, 3)


def test_a_clip_with_hardly_a_face_is_refused(bench: Bench) -> None:
    make_clip(bench.clip, levels(NO_FACE, 120, 128, NO_FACE, NO_FACE, NO_FACE))
    assert "2 of 6 frames" in bench.refusal(FaceError).what


def test_a_clip_without_a_face_is_refused(bench: Bench) -> None:
    make_clip(bench.clip, levels(*[NO_FACE] * 6))
    assert "no face" in bench.refusal(FaceError).what


@pytest.mark.parametrize(("wanted", "expected"), [("auto", 4), ("first", 1), (3, 3)])
def test_the_reference_frame(bench: Bench, wanted: str | int, expected: int) -> None:
    """The portrait looks straight ahead, as the driver does in frame 4 (a calm moment: its neighbours are alike)."""
    make_clip(bench.clip, levels(NO_FACE, 60, 90, 126, 128, 130, 170, 220))
    assert bench.run(reference=wanted).reference == expected
    assert bench.engine.reference is not None
    level = (NO_FACE, 60, 90, 126, 128, 130, 170, 220)[expected]
    assert bench.engine.reference.pose.yaw_deg == pytest.approx((level - STRAIGHT) / 4, abs=1)


@pytest.mark.parametrize(("wanted", "expected"), [(12, "There is no frame 12"), (0, "shows no face")])
def test_reference_frames_that_cannot_be(bench: Bench, wanted: int, expected: str) -> None:
    make_clip(bench.clip, levels(NO_FACE, *range(110, 121)))
    assert expected in bench.refusal(UsageError, reference=wanted).what


def test_side_by_side_shows_the_clip_at_the_left(bench: Bench) -> None:
    make_clip(bench.clip, levels(100, 110, 120, 130))
    bench.run(side_by_side=True)
    for rgb, level in zip(read(bench.out), (100, 110, 120, 130), strict=True):
        width = round(512 * 64 / 48)
        assert rgb.shape == (512, 512 + width + width % 2, 3)
        assert abs(rgb[:, : width - 4].mean() - level) < 5


def test_side_by_side_scales_to_the_drawn_height() -> None:
    both = beside(plain(10, (100, 40)), plain(20, (30, 80)))
    assert both.shape == (80, 230, 3) and (both[:, :200] == 10).all() and (both[:, 200:] == 20).all()


def test_a_template_drives(bench: Bench) -> None:
    save_template(swaying_track(20, rate=30), bench.folder / "nod.masque")
    result = bench.run(driving=bench.folder / "nod.masque")
    assert result.frames == 20
    assert np.allclose(times_ms(bench.out), [round(n * 1000 / 30) for n in range(20)], atol=1)
    with open_driving(bench.out) as clip:
        assert clip.facts.duration_s == pytest.approx(20 / 30, abs=0.002) and clip.facts.rate == 30


def test_a_damaged_template_is_refused(bench: Bench) -> None:
    (bench.folder / "nod.masque").write_bytes(b"no template")
    bench.refusal(TemplateError, driving=bench.folder / "nod.masque")


def test_a_template_has_nothing_to_show_at_the_side(bench: Bench) -> None:
    with pytest.raises(UsageError, match="holds no frames"):
        bench.options(driving=Path("nod.masque"), side_by_side=True)


def test_a_folder_and_a_gif_drive(bench: Bench) -> None:
    folder = bench.folder / "frames"
    folder.mkdir()
    frames = [Image.fromarray(picture) for picture in levels(100, 120, 140)]
    for number, frame in enumerate(frames):
        frame.save(folder / f"{number}.png")
    frames[0].save(bench.folder / "a.gif", save_all=True, append_images=frames[1:], duration=200)
    assert bench.run(driving=folder).frames == 3 and times_ms(bench.out) == [0, 40, 80]
    bench.engine = FakeEngine()
    assert bench.run(driving=bench.folder / "a.gif").frames == 3 and times_ms(bench.out) == [0, 200, 400]


def test_a_part_of_the_portrait(bench: Bench) -> None:
    wide = plain(STRAIGHT, (700, 512))
    wide[:, :150] = 200
    Image.fromarray(wide).save(bench.portrait)
    make_clip(bench.clip)
    result = bench.run(crop=Box(150, 0, 511, 511))
    assert (result.width_px, result.height_px) == (511, 511)
    assert bench.engine.source is not None and (bench.engine.source == STRAIGHT).all()
    assert read(bench.out)[0].shape == (512, 512, 3), "padded to an even size"


def test_a_small_face_in_a_large_picture_is_cropped_and_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    face = make_face(centre=(1000, 700), scale=110)
    moved = make_face(centre=(500, 500), scale=110)
    monkeypatch.setattr(bench.tracker, "detect", lambda rgb: [face] if rgb.shape[1] == 2000 else [moved])
    Image.fromarray(plain(90, (2000, 2400))).save(bench.portrait)
    make_clip(bench.clip, levels(120, 125, 130))
    result = bench.run()
    assert result.width_px < 1300 and any("--crop none" in note for note in result.notes)
    bench.engine = FakeEngine()
    assert bench.run(crop="none").width_px == 2000


def test_the_picture_s_own_transparency_reaches_the_engine(bench: Bench) -> None:
    make_clip(bench.clip)
    bench.run()
    assert bench.engine.alpha is None, "an opaque picture"
    rgba = np.full((700, 512, 4), STRAIGHT, np.uint8)
    rgba[..., 3] = 255
    rgba[:200, :60, 3] = 0
    Image.fromarray(rgba).save(bench.portrait)
    bench.engine = FakeEngine()
    bench.run(crop=Box(40, 10, 472, 690))
    alpha = bench.engine.alpha
    assert alpha is not None and alpha.shape == (690, 472)
    assert not alpha[:190, :20].any() and (alpha[190:] == 255).all() and (alpha[:, 20:] == 255).all()


def test_a_second_opinion_is_asked_where_no_face_is_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Second:
        def find(self, rgb: RgbImage, boxes: object) -> Face:
            return make_face()

    make_clip(bench.clip)
    monkeypatch.setattr(bench.tracker, "detect", lambda rgb: [])
    monkeypatch.setattr(bench.tracker, "guess_boxes", lambda rgb: [], raising=False)
    bench.refusal(FaceError)
    monkeypatch.setattr(fan, "open_fan", Second)
    assert bench.run().frames > 0


def test_a_huge_portrait_is_drawn_with_a_word_of_warning(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portrait, "LARGE_IMAGE_PX", 200_000)
    make_clip(bench.clip)
    assert any("--size" in note for note in bench.run(size="full").notes)
    for size in (300, None):
        bench.engine = FakeEngine()
        assert not any("--size" in note for note in bench.run(size=size).notes)


def test_portraits_that_cannot_be_animated(bench: Bench) -> None:
    make_clip(bench.clip)
    Image.fromarray(plain(NO_FACE, (512, 512))).save(bench.portrait)
    bench.refusal(FaceError)
    Image.fromarray(plain(STRAIGHT, (100, 100))).save(bench.portrait)  # the fake face is far outside
    bench.refusal(FaceError)
    bench.portrait.write_text("not a picture")
    bench.refusal(ImageError)
    bench.portrait.unlink()
    bench.refusal(LibraryError)


def test_clips_that_cannot_drive(bench: Bench) -> None:
    bench.refusal(VideoError, driving=bench.folder / "nowhere.mp4")
    (bench.folder / "text.mp4").write_text("no video")
    bench.refusal(VideoError, driving=bench.folder / "text.mp4")
    bench.refusal(VideoError, driving=make_clip(bench.folder / "one.mp4", levels(100)))


def test_results_that_cannot_be(bench: Bench) -> None:
    make_clip(bench.clip)
    bench.refusal(UsageError, output=bench.folder / "out.avi")
    bench.refusal(UsageError, output=bench.clip)
    bench.refusal(OutputError, output=bench.folder / "nowhere" / "out.mp4")
    (bench.folder / "taken.mp4").mkdir()
    bench.refusal(OutputError, output=bench.folder / "taken.mp4")
    assert bench.stages == [], "the clip was read before the result's place was checked"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"size": -3}, UsageError), ({"size": 0}, UsageError), ({"size": 100_000}, UsageError),
        ({"reference": -1}, UsageError), ({"engine": "magic"}, UsageError),
        ({"device": "cuda"}, EngineError), ({"model": "vox"}, UsageError), ({"show": "motion"}, UsageError),
        ({"engine": "fomm", "show": "all"}, UsageError),
        ({"engine": "fomm", "motion": MotionSettings(strength_head=0.5)}, UsageError),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(bench: Bench, changes: dict[str, Any], kind: type[AvatarError]) -> None:
    with pytest.raises(kind) as caught:
        bench.options(**changes)
    assert caught.value.remedy


def stop_at(stage: str, done: int, error: BaseException) -> Callable[[str, int, int], None]:
    def report(at_stage: str, at: int, total: int) -> None:
        if (at_stage, at) == (stage, done):
            raise error

    return report


@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.gif", "frames"])
@pytest.mark.parametrize(("stage", "done"), [("tracking", 5), ("drawing", 1), ("drawing", 11)])
def test_ctrl_c_leaves_the_older_result(bench: Bench, name: str, stage: str, done: int) -> None:
    make_clip(bench.clip, sound="aac")
    target = bench.folder / name
    bench.run(output=target)
    older = sorted((path.name, path.read_bytes()) for path in bench.folder.rglob("*") if path.is_file())
    bench.engine = FakeEngine()
    with pytest.raises(KeyboardInterrupt):
        bench.run(stop_at(stage, done, KeyboardInterrupt()), output=target)
    assert sorted((path.name, path.read_bytes()) for path in bench.folder.rglob("*") if path.is_file()) == older
    assert bench.tracker.closed


def test_an_engine_that_fails_leaves_nothing(bench: Bench) -> None:
    make_clip(bench.clip)
    for frame in (0, 7):
        bench.engine = FakeEngine(fail_at=frame)
        bench.refusal(EngineError)
        assert bench.engine.closed


def test_a_disk_that_fills_up_stops_the_drawing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(bench.clip, levels(*range(60, 180)))
    full = OutputError("The disk is full.", remedy="Make room.")

    def broken(self: Any, rgb: RgbImage, time_s: float) -> None:
        raise full

    monkeypatch.setattr("avatar.outputs.files.video_file.VideoFileWriter.write", broken)
    assert bench.refusal(OutputError) is full
    assert len(bench.engine.seen) < 120, "the rest was drawn for nothing"


# The command line


def run_command(*words: object) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture
def fake_tools(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_fetch_needed", lambda: None)
    tools = Tools(open_tracker=lambda: bench.tracker, open_engine=lambda options: bench.engine)  # type: ignore[arg-type, return-value]
    monkeypatch.setattr("avatar.offline.animate.Tools", lambda: tools)


@pytest.mark.usefixtures("fake_tools")
def test_the_command_says_what_it_did(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    make_clip(bench.clip)
    assert run_command("animate", bench.portrait, bench.clip, "-o", bench.out) == 0
    said = capsys.readouterr()
    assert "warp on cpu: 12 frames of 512 x 512" in said.out and str(bench.out) in said.out
    assert "Following the face" in said.err and "Drawing" in said.err
    assert "\r" not in said.err, "a bar that redraws itself, though there is no terminal"


@pytest.mark.usefixtures("fake_tools")
@pytest.mark.parametrize("existed", [False, True])
def test_ctrl_c_is_answered_by_one_sentence(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, existed: bool
) -> None:
    make_clip(bench.clip)
    if existed:
        bench.out.write_bytes(b"older")

    def interrupted(driving: Driving) -> RgbImage:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench.engine, "draw", interrupted)
    assert run_command("animate", bench.portrait, bench.clip, "-o", bench.out) == 1
    expected = f"Stopped; {bench.out} is untouched." if existed else f"Stopped; {bench.out} was not written."
    assert capsys.readouterr().err.strip().endswith(expected)
    assert bench.out.exists() == existed


WRONG = [
    (["--size", "-5"], 2, "out of range"),
    (["--size", "big"], 2, "not understood"),
    (["--crop", "10,10"], 2, "not understood"),
    (["--crop", "0,0,5,5"], 2, "no face fits"),
    (["--crop", "400,400,200,200"], 2, "outside the picture"),
    (["--reference", "middle"], 2, "not understood"),
    (["--reference", "-1"], 2, "not understood"),
    (["--reference", "99"], 2, "There is no frame 99"),
    (["--strength", "3"], 2, "not a number from 0 to 2"),
    (["--strength-head", "much"], 2, "not a number from 0 to 2"),
    (["--relative", "--absolute"], 2, "not allowed"),
    (["--device", "abacus"], 2, "no device"),
    (["--device", "cuda:0"], 1, "cannot use cuda:0"),
    (["--show", "motion"], 2, "belongs to --engine fomm"),
    (["--model", "vox"], 2, "belongs to --engine fomm"),
    (["--bogus"], 2, "unrecognized"),
]


@pytest.mark.usefixtures("fake_tools")
@pytest.mark.parametrize(("words", "code", "expected"), WRONG)
def test_wrong_words_get_one_sentence(
    bench: Bench, capsys: pytest.CaptureFixture[str], words: list[str], code: int, expected: str
) -> None:
    make_clip(bench.clip)
    assert run_command("animate", bench.portrait, bench.clip, "-o", bench.out, *words) == code
    said = capsys.readouterr().err
    assert expected in said and "Traceback" not in said and not bench.out.exists()


def options_for(monkeypatch: pytest.MonkeyPatch, *words: str) -> AnimateOptions:
    """What the command line makes of its words."""
    caught: list[AnimateOptions] = []
    monkeypatch.setattr(cli, "_fetch_needed", lambda: None)
    monkeypatch.setattr("avatar.commands.animate.run_job", lambda options: caught.append(options) or 0)
    assert cli.main(["animate", "a.jpg", "b.mp4", "-o", "c.mp4", *words]) == 0
    return caught[0]


def test_options_and_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    plain_options = AnimateOptions("a.jpg", Path("b.mp4"), Path("c.mp4"))
    assert options_for(monkeypatch) == plain_options
    assert options_for(monkeypatch, "--relative", "--adapt-scale", "--audio", "--device", "cpu") == replace(
        plain_options, device="cpu"
    )
    assert options_for(
        monkeypatch, "--absolute", "--no-adapt-scale", "--no-audio", "--side-by-side", "--size", "640",
        "--reference", "7", "--crop", "1,2,300,400", "--strength", "0.5", "--strength-expression", "1.5",
    ) == replace(
        plain_options, motion=MotionSettings(False, False, 0.5, 1.5), audio=False, side_by_side=True, size=640,
        reference=7, crop=Box(1, 2, 300, 400),
    )  # fmt: skip


def test_settings_fill_what_the_command_line_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(os.environ["MASQUE_SETTINGS"]).write_text("[motion]\nrelative = false\nstrength_head = 0.25\n")
    options = options_for(monkeypatch)
    assert options.motion == MotionSettings(relative=False, strength_head=0.25)
    assert options_for(monkeypatch, "--relative", "--strength", "1").motion.strength_head == 1


def test_idle_is_the_built_in_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[AnimateOptions] = []
    monkeypatch.setattr(cli, "_fetch_needed", lambda: None)
    monkeypatch.setattr("avatar.commands.animate.run_job", lambda options: caught.append(options) or 0)
    cli.main(["animate", "a.jpg", "idle", "-o", "c.mp4"])
    assert caught[0].driving.name == "idle.masque" and caught[0].driving.is_file()


def test_the_closing_line() -> None:
    result = AnimateResult(
        Path("o.mp4"), "warp", "cpu", 640, 480, frames=90, faces=88, reference=3, tracking_s=1.0, drawing_s=2.0,
        notes=(),
    )  # fmt: skip
    assert closing_line(result) == "warp on cpu: 90 frames (2 without a face) of 640 x 480 in 3.0 s, 30 frames/s: o.mp4"


# Which part of a picture


def test_reading_crops() -> None:
    assert parse_crop("auto") == "auto" and parse_crop("none") == "none"
    assert parse_crop("1,2,300,400") == Box(1, 2, 300, 400)
    for text in ("", "all", "1,2,3", "1,2,3,4,5", "-1,0,64,64", "1.5,0,64,64", "1,2,64,x", "٣,2,64,64"):
        with pytest.raises(UsageError):
            parse_crop(text)


def test_auto_takes_all_of_an_ordinary_portrait() -> None:
    assert crop_box("auto", 512, 512, make_face()) == Box(0, 0, 512, 512)
    assert crop_box("auto", 512, 512, None) == Box(0, 0, 512, 512)
    assert crop_box("none", 4000, 3000, make_face()) == Box(0, 0, 4000, 3000)


@pytest.mark.parametrize("centre", [(2000, 1500), (150, 150), (3900, 2900), (150, 2900)])
def test_auto_takes_head_and_shoulders_around_a_small_face(centre: tuple[float, float]) -> None:
    face = make_face(centre=centre, scale=100)
    box = crop_box("auto", 4000, 3000, face)
    assert box.width < 1500 and box.height < 1500
    assert box.left >= 0 and box.top >= 0 and box.left + box.width <= 4000 and box.top + box.height <= 3000
    low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
    visible_low, visible_high = np.maximum(low, 0), np.minimum(high, (4000, 3000))
    assert box.left <= visible_low[0] and box.left + box.width >= visible_high[0] - 1
    assert box.top <= visible_low[1] and box.top + box.height >= visible_high[1] - 1
    if centre == (2000.0, 1500.0):
        tall = (high - low).max()
        assert box.top + box.height - high[1] > 2 * (low[1] - box.top) > tall, "more room below than above"


# The demo


def test_the_demo_goes_where_it_can(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert demo.writable_target([tmp_path / "nowhere", tmp_path / "file", tmp_path]) == tmp_path / demo.NAME
    with pytest.raises(OutputError):
        demo.writable_target([tmp_path / "nowhere"])


@pytest.mark.usefixtures("fake_tools")
def test_no_command_animates_the_built_in_portrait(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench.tracker, "detect", lambda rgb: [make_face(centre=(150, 150), scale=60)])
    assert cli.main([]) == 0
    assert len(read(tmp_path / demo.NAME)) == 270
    said = capsys.readouterr()
    assert str(tmp_path / demo.NAME) in said.out and "animate PORTRAIT.jpg" in said.out


# The real thing


@pytest.fixture(scope="module")
def nodding_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut's picture, tilted a little more in every frame: real motion of a real face."""
    from avatar.cv import cv2
    from avatar.images.load import load_image
    from avatar.library.builtin import builtin_avatars

    rgb = load_image(builtin_avatars()[0].image_path)[:320, 60:380]
    tilts = [cv2.getRotationMatrix2D((160, 125), 3.0 * n, 1.0) for n in range(8)]
    pictures = [cv2.warpAffine(rgb, tilt, (320, 320), borderMode=cv2.BORDER_REFLECT) for tilt in tilts]
    return make_clip(tmp_path_factory.mktemp("clip") / "nod.mp4", pictures, rate=25, codec_options={"crf": "12"})


def test_the_portrait_tilts_as_the_driver_does(face_model: Path, nodding_clip: Path, tmp_path: Path) -> None:
    from avatar.tracking import open_tracker

    out = tmp_path / "out.mp4"
    result = animate(AnimateOptions("astronaut", nodding_clip, out, reference="first"))
    assert result.frames == result.faces == 8
    tracker = open_tracker()
    driven, drawn = (
        [face.pose.roll_deg for rgb in read(path) if (face := tracker.track(rgb)) is not None]
        for path in (nodding_clip, out)
    )
    tracker.close()
    assert len(driven) == len(drawn) == 8 and abs(driven[-1] - driven[0]) > 15
    assert np.allclose(np.array(drawn) - drawn[0], np.array(driven) - driven[0], atol=4)


def test_what_a_generator_draws_is_cut_out_as_it_moves(face_model: Path, nodding_clip: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    out, transparent = tmp_path / "frames", parse_background("transparent")
    options = AnimateOptions("astronaut", nodding_clip, out, engine="fomm", size=320, background=transparent)
    animate(replace(options, reference="first"))
    alphas = [alpha for each in sorted(out.iterdir()) if (alpha := load_image_alpha(each)[1]) is not None]
    assert len(alphas) == 8
    for alpha in alphas:
        assert 0.1 < (alpha > 128).mean() < 0.7 and alpha[:20, :20].max() < 40 and alpha[:20, -20:].max() < 40
    changes = [float(np.abs(alpha.astype(int) - alphas[0]).mean()) for alpha in alphas]
    assert changes == sorted(changes) and changes[-1] > 2, "the head tilts more and more, and its outline with it"


@pytest.mark.skipif(os.name != "posix", reason="the signal is a POSIX one")
def test_a_polite_kill_clears_up(face_model: Path, nodding_clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"older")
    words = ["--no-setup", "animate", "astronaut", "idle", "-o", str(out), "--size", "720"]
    process = subprocess.Popen([sys.executable, "run.py", *words], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline_s = time.monotonic() + 60
    while not any(path.suffix == ".part" for path in tmp_path.iterdir()) and time.monotonic() < deadline_s:
        assert process.poll() is None, "it ended before anything was written"
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and f"Stopped; {out} is untouched." in said
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"] and out.read_bytes() == b"older"


@pytest.mark.parametrize(("levels", "enough"), [((100, 130), True), ((100, 0), False), ((100, 0, 130, 0), False)])
def test_a_clip_of_two_frames_is_no_glimpse_of_a_face(tmp_path: Path, levels: tuple[int, ...], enough: bool) -> None:
    from avatar.offline.driving_motion import read_motion

    clip = make_clip(tmp_path / "a.mp4", [plain(level) for level in levels])
    refused = contextlib.nullcontext() if enough else pytest.raises(FaceError, match=f"of {len(levels)} frames")
    with refused:
        motion = read_motion(clip, FakeTracker(), lambda done, total: None)  # type: ignore[arg-type]
        assert motion.faces == len(motion.track) == 2


def test_the_rate_of_a_template_is_read_off_its_times(tmp_path: Path) -> None:
    from avatar.offline.driving_motion import read_motion

    for rate, expected in ((30, Fraction(30)), (25, Fraction(25)), (29.97, Fraction(2997, 100))):
        save_template(swaying_track(30, rate=rate), tmp_path / "a.masque")
        motion = read_motion(tmp_path / "a.masque", FakeTracker(), lambda done, total: None)  # type: ignore[arg-type]
        assert float(motion.facts.rate) == pytest.approx(float(expected), rel=1e-3)
        assert motion.end_s == pytest.approx(30 / rate, abs=1e-3)


class LayeredFake(FakeEngine):
    """Paints a square person before a background of one colour."""

    def draw(self, driving: Driving) -> RgbImage:
        drawn = super().draw(driving)
        drawn[self.matte() == 0] = 9
        return drawn

    def background(self) -> RgbImage:
        assert self.source is not None
        return np.full_like(self.source, 9)

    def matte(self) -> AlphaImage:
        assert self.source is not None
        matte = np.zeros(self.source.shape[:2], np.uint8)
        matte[128:384, 128:384] = 255
        return matte


def decoded_alpha(path: Path) -> list[AlphaImage]:
    """The alpha of every frame of a WebM; FFmpeg's own decoder of VP9 leaves it out."""
    decoder: Any = av.CodecContext.create("libvpx-vp9", "r")
    with av.open(str(path)) as file:
        frames = [frame for packet in file.demux(video=0) for frame in decoder.decode(packet)]
    return [frame.to_ndarray(format="rgba")[..., 3] for frame in frames]


@pytest.mark.parametrize("size", [(512, 512), (511, 513)])
def test_a_webm_keeps_transparency(bench: Bench, size: tuple[int, int]) -> None:
    make_clip(bench.clip, rate=30)
    bench.engine = LayeredFake()
    Image.fromarray(plain(STRAIGHT, size)).save(bench.portrait)
    out = bench.folder / "cut.webm"
    result = bench.run(output=out, background=parse_background("transparent"), crop="none")
    alphas = decoded_alpha(out)
    assert len(alphas) == result.frames == 12
    for alpha in alphas:
        assert alpha[200, 256] > 250 and alpha[20, 20] < 5
    edge = alphas[0][200, 120:137].astype(int)
    assert edge.min() < 20 and edge.max() > 235 and (np.diff(edge) > 60).sum() <= 2, "a sharp edge"
    colours = read(out)[0][200, 126:132].astype(int)
    assert np.abs(colours - colours[-1]).max() < 30, "the person's colour goes on where nothing is seen"
    with av.open(str(out)) as file:
        assert "1" in {value for key, value in file.streams.video[0].metadata.items() if key.lower() == "alpha_mode"}


def test_png_frames_keep_transparency_beside_an_opaque_driver(bench: Bench) -> None:
    make_clip(bench.clip, rate=30)
    bench.engine = LayeredFake()
    out = bench.folder / "frames"
    bench.run(output=out, background=parse_background("transparent"), side_by_side=True)
    rgb, alpha = load_image_alpha(out / "000000.png")
    assert alpha is not None and alpha[:, 0].min() == 255, "the driver"
    assert (alpha[:, -20:] == 0).all() and rgb.shape[1] > 1000


@pytest.mark.parametrize("background", ["green", "#ff8000", "blur"])
def test_a_result_has_another_background(bench: Bench, background: str) -> None:
    make_clip(bench.clip, rate=30)
    bench.engine = LayeredFake()
    bench.run(background=parse_background(background))
    seen = {"green": (0, 177, 64), "#ff8000": (255, 128, 0), "blur": (9, 9, 9)}[background]
    first = read(bench.out)[0].astype(int)
    assert np.abs(first[20, 20] - seen).max() < 12
    assert np.abs(first[256, 256] - (STRAIGHT - 12)).max() < 6


def test_the_panels_beside_a_frame_keep_their_background() -> None:
    engine = LayeredFake()
    engine.source = plain(60, (512, 512))
    panels = plain(200, (512, 512))
    drawn = np.hstack([engine.draw(Driving()), panels])
    green = replace_background(engine, parse_background("green"))(drawn)
    assert tuple(green[20, 20]) == (0, 177, 64) and np.array_equal(green[:, 512:], panels)
    cut = replace_background(engine, parse_background("transparent"))(drawn)
    assert cut[20, 20, 3] == 0 and np.array_equal(cut[:, 512:, :3], panels) and (cut[:, 512:, 3] == 255).all()


def test_without_a_person_to_tell_there_is_no_other_background(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(bench.clip)
    bench.engine = LayeredFake()
    monkeypatch.setattr(LayeredFake, "background", lambda self: None)
    refused = bench.refusal(UsageError, background=parse_background("green"))
    assert "No face" in refused.what and "--background" in refused.remedy


def test_transparency_needs_a_file_for_it(bench: Bench) -> None:
    make_clip(bench.clip)
    transparent = parse_background("transparent")
    assert ".webm" in bench.refusal(UsageError, background=transparent).remedy
    bench.refusal(UsageError, background=transparent, output=bench.folder / "out.gif")
    with pytest.raises(UsageError):
        bench.run(background=BackgroundChoice("image", image=bench.portrait), output=bench.portrait)


def test_a_recording_of_a_voice_drives(bench: Bench, tmp_path: Path) -> None:
    speech = write_wav(tmp_path / "speech.wav", syllables(4))
    result = bench.run(driving=speech, reference="first")
    with av.open(str(result.output)) as file:
        assert file.streams.audio and float(file.streams.video[0].average_rate) == 30
    assert abs(result.frames - len(syllables(4)) * 30 / 16_000) <= 1
    bench.refusal(UsageError, driving=speech, side_by_side=True)
    bench.refusal(UsageError, driving=speech, engine="fomm")
