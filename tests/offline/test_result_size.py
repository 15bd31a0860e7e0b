"""Size of rendered videos: by default one that every player supports."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fakes import FakeEngine, FakeTracker, make_clip, plain
from motion_samples import make_face
from PIL import Image

from avatar.engines.base import Driving, Portrait
from avatar.errors import UsageError
from avatar.frames import RgbImage
from avatar.offline.animate import AnimateResult, animate
from avatar.offline.job import AnimateOptions, Tools
from avatar.offline.result_size import h264_level, plan_size
from avatar.offline.size import FULL, parse_size
from avatar.outputs.files.video_file import open_output
from avatar.sources.facts import DrivingFacts
from avatar.tracking import Face


class ScalingEngine(FakeEngine):
    """Draws a grey picture as large as the real engine would."""

    def prepare(self, portrait: Portrait, size_px: int | None = None, *, use_second_core: bool = True) -> Any:
        height, width = portrait.rgb.shape[:2]
        scale = 1.0 if size_px is None else size_px / max(height, width)
        return round(width * scale), round(height * scale)

    def show(self, prepared: Any) -> None:
        self._size = prepared

    def draw(self, driving: Driving) -> RgbImage:
        return plain(100, self._size)


class SeeingTracker(FakeTracker):
    """Sees a large face in every picture."""

    def detect(self, rgb: RgbImage) -> list[Face]:
        face = make_face()
        low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
        middle = np.array(rgb.shape[1::-1]) / 2 - (low + high) / 2
        return [face.shifted(*middle.tolist())]


def drawn(tmp_path: Path, shape: tuple[int, int], out: str = "out.mp4", **changes: Any) -> AnimateResult:
    portrait, clip = tmp_path / "portrait.jpg", tmp_path / "clip.mp4"
    Image.fromarray(plain(128, shape)).save(portrait)
    make_clip(clip, rate=30)
    options = AnimateOptions(portrait, clip, tmp_path / out, reference="first", crop="none", **changes)
    tools = Tools(open_tracker=SeeingTracker, open_engine=lambda _: ScalingEngine())  # type: ignore[arg-type]
    return animate(options, tools=tools)


def coded_level(path: Path) -> float:
    """Of H.264, as the header of an MP4 says."""
    data = path.read_bytes()
    return data[data.index(b"avcC") + 7] / 10


@pytest.mark.parametrize("out", ["out.mp4", "out.webm", "out.gif", "frames"])
def test_a_phones_portrait_becomes_what_players_play(tmp_path: Path, out: str) -> None:
    result = drawn(tmp_path, (3024, 4032), out)
    assert (result.width_px, result.height_px) == (1440, 1920)
    said = [note for note in result.notes if "3024 x 4032" in note]
    assert len(said) == 1 and "1920" in said[0] and "--size full" in said[0] and "--size N" in said[0]
    if out == "out.mp4":
        assert coded_level(result.output) <= 5.1


def test_the_portraits_own_size_on_request_with_a_warning(tmp_path: Path) -> None:
    result = drawn(tmp_path, (3024, 4032), size=FULL)
    assert (result.width_px, result.height_px) == (3024, 4032)
    assert any("level 6.0" in note for note in result.notes) and coded_level(result.output) == 6.0
    result = drawn(tmp_path, (3024, 4032), size=900)
    assert (result.width_px, result.height_px) == (675, 900) and not result.notes


def test_small_portraits_stay_as_they_are(tmp_path: Path) -> None:
    result = drawn(tmp_path, (1280, 1920))
    assert (result.width_px, result.height_px) == (1280, 1920) and not any("--size" in each for each in result.notes)


def facts(rate: int | Fraction = 30, size: tuple[int, int] = (1920, 1080)) -> DrivingFacts:
    return DrivingFacts(Path("clip.mp4"), *size, Fraction(rate), Fraction(1, 90_000), 1.0, 30, has_audio=False)


def options(**changes: Any) -> AnimateOptions:
    return AnimateOptions(**{"source": "a", "driving": Path("b.mp4"), "output": Path("c.mp4"), **changes})


SHAPES = ((4032, 3024), (3024, 4032), (1920, 1920), (8000, 500), (500, 8000), (640, 480))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rate", [10, 30, 60, 120, 240, 1000])
@pytest.mark.parametrize("beside", [{}, {"side_by_side": True}, {"engine": "fomm", "show": "motion"}])
def test_unasked_no_frame_needs_more_than_level_5_1(shape: tuple[int, int], rate: int, beside: dict[str, Any]) -> None:
    job, clip = options(**beside), facts(rate)
    planned = plan_size(job, *shape, clip)
    side = planned.side_px or max(shape)
    assert side <= 1920 and (rate > 60 or beside or side == min(1920, max(shape)))
    width, height = (round(each * side / max(shape)) for each in shape)
    width += round(1920 * height / 1080) if job.side_by_side else height if job.show else 0
    assert float(h264_level(width, height, clip.rate)) <= 5.1


def test_a_size_that_was_asked_for_is_kept() -> None:
    planned = plan_size(options(size=4000, side_by_side=True), 500, 500, facts())
    assert planned.side_px == 4000 and "level" in planned.notes[0]
    assert plan_size(options(size=FULL), 5000, 4000, facts()).side_px is None
    assert not plan_size(options(size=FULL, output=Path("frames")), 5000, 4000, facts()).notes, "frames have no level"


@pytest.mark.parametrize("rate", [30, 60])
@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (1920, 1080), (1440, 1920), (3840, 2160)])
def test_the_level_is_the_one_that_the_encoder_writes(tmp_path: Path, size: tuple[int, int], rate: int) -> None:
    """Named levels are the usual ones: what the encoder writes is that one or a lower one between."""
    with open_output(tmp_path / "a.mp4", *size, facts(rate)) as writer:
        for number in range(2):
            writer.write(plain(90, size), number / rate)
        writer.commit()
    expected = float(h264_level(*size, Fraction(rate)))
    assert coded_level(tmp_path / "a.mp4") <= expected
    if expected >= 4.2:
        assert coded_level(tmp_path / "a.mp4") == expected
    with av.open(str(tmp_path / "a.mp4")) as file:
        context = file.streams.video[0].codec_context
        assert context.pix_fmt == "yuv420p" and context.width % 2 == context.height % 2 == 0


@pytest.mark.parametrize(("text", "size"), [("1080", 1080), ("full", FULL)])
def test_sizes_in_words(text: str, size: int | str) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("size", ["big", "", 8, 9000, -5, "10.5"])
def test_sizes_that_are_none(size: int | str) -> None:
    with pytest.raises(UsageError):
        options(size=parse_size(size) if isinstance(size, str) else size)


def test_a_clip_without_a_rate_is_coded_as_one_of_30(tmp_path: Path) -> None:
    """Irregular times and no rate gave level 6.0: 1000 frames a second."""
    steps_ms: Sequence[int] = [round(33.4 + step) for step in np.random.default_rng(5).normal(0, 4, 75)]
    coded = make_clip(tmp_path / "coded.webm", [plain(80 + n % 60, (256, 256)) for n in range(75)], codec="libvpx")
    with av.open(str(coded)) as source, av.open(str(tmp_path / "b.webm"), "w", options={"live": "1"}) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.dts is not None]
        for number, packet in enumerate(packets):
            packet.pts = packet.dts = sum(steps_ms[:number])
            packet.duration, packet.stream = 0, stream
            output.mux(packet)
    Image.fromarray(plain(128, (640, 480))).save(tmp_path / "portrait.png")
    levels = []
    for clip in (tmp_path / "b.webm", make_clip(tmp_path / "same.mp4", [plain(100 + n) for n in range(75)], rate=30)):
        job = AnimateOptions(tmp_path / "portrait.png", clip, tmp_path / "out.mp4", reference="first", crop="none")
        tools = Tools(open_tracker=SeeingTracker, open_engine=lambda _: ScalingEngine())  # type: ignore[arg-type]
        levels.append(coded_level(animate(job, tools=tools).output))
    assert levels[0] == levels[1] <= 3.0
