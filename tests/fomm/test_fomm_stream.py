"""Streams: uint8 to uint8, CUDA graphs, and checks for NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from fomm_samples import sample_model

from avatar.errors import EngineError, ShapeError
from avatar.fomm import FirstOrderModel, stream
from avatar.fomm.dense_motion import DenseMotion
from avatar.fomm.fast import FastModel, KernelOptions, Padded
from avatar.fomm.fast_layers import Target
from avatar.fomm.generator import move
from avatar.fomm.moving import move_rows
from avatar.fomm.random_model import random_image
from avatar.fomm.stream import Drawn, Stream, StreamOptions, as_bytes
from avatar.frames import RgbImage
from avatar.motion.keypoints import Keypoints, relative_keypoints
from avatar.settings import MotionSettings

EXACT = StreamOptions(precision=torch.float32)


@pytest.fixture(scope="module")
def model() -> FirstOrderModel:
    return sample_model("as published")


@pytest.fixture(scope="module")
def pictures() -> list[RgbImage]:
    return [as_bytes(picture[None]).numpy() for picture in random_image(5, 256, seed=2)]


def plain(
    model: FirstOrderModel, pictures: list[RgbImage], adapt_scale: bool = True, relative: bool = True
) -> RgbImage:
    """What the plain model makes of source, reference and driving frame."""
    source, reference, driving = (torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255 for rgb in pictures)
    kp = [model.detect(image) for image in (source, driving, reference)]
    kp_norm = relative_keypoints(kp[0], kp[1], kp[2], adapt_scale) if relative else kp[1]
    return as_bytes(model.generate(source, kp[0], kp_norm)).numpy()


def furthest(a: RgbImage, b: RgbImage) -> int:
    return int(np.abs(a.astype(int) - b).max())


def opened(model: FirstOrderModel, pictures: list[RgbImage], options: StreamOptions = EXACT) -> Stream:
    made = Stream(model, options)
    made.set_source(pictures[0])
    made.calibrate(pictures[1])
    return made


@pytest.mark.parametrize(("relative", "adapt_scale"), [(True, True), (True, False), (False, True)])
def test_a_stream_draws_what_the_plain_model_does(
    model: FirstOrderModel, pictures: list[RgbImage], relative: bool, adapt_scale: bool
) -> None:
    options = StreamOptions(MotionSettings(relative=relative, adapt_scale=adapt_scale), precision=torch.float32)
    drawn = opened(model, pictures, options).animate(pictures[2])
    assert drawn.dtype == np.uint8 and furthest(drawn, plain(model, pictures[:3], adapt_scale, relative)) <= 1


def test_source_and_reference_can_be_changed(model: FirstOrderModel, pictures: list[RgbImage]) -> None:
    made = opened(model, pictures)
    made.animate(pictures[2])
    made.set_source(pictures[3])
    assert furthest(made.animate(pictures[2]), plain(model, [pictures[3], *pictures[1:3]])) <= 1
    made.calibrate(pictures[4])
    assert furthest(made.animate(pictures[2]), plain(model, [pictures[3], pictures[4], pictures[2]])) <= 1


def test_a_frame_stays_what_it_was(model: FirstOrderModel, pictures: list[RgbImage]) -> None:
    made = opened(model, pictures)
    first = made.animate(pictures[2])
    kept = first.copy()
    made.animate(pictures[3])
    assert (first == kept).all()


def test_without_calibration_the_first_frame_is_the_reference(model: FirstOrderModel, pictures: list[RgbImage]) -> None:
    made = Stream(model, EXACT)
    made.set_source(pictures[0])
    assert furthest(made.animate(pictures[1]), plain(model, [pictures[0], pictures[1], pictures[1]])) <= 1


@pytest.mark.parametrize("relative", [True, False])
def test_without_strength_nothing_moves(model: FirstOrderModel, pictures: list[RgbImage], relative: bool) -> None:
    made = opened(
        model, pictures, StreamOptions(MotionSettings(relative=relative, strength_head=0.0), precision=torch.float32)
    )
    still = plain(model, [pictures[0], pictures[0], pictures[0]])
    assert furthest(made.animate(pictures[2]), still) <= 1


def test_what_does_not_fit_is_refused(model: FirstOrderModel, pictures: list[RgbImage]) -> None:
    made = Stream(model, EXACT)
    with pytest.raises(EngineError, match="no portrait"):
        made.animate(pictures[0])
    for wrong in (pictures[0][:100], pictures[0].astype(np.float32)):
        with pytest.raises(ShapeError, match=r"uint8 images of \(256, 256, 3\)"):
            made.set_source(wrong)  # type: ignore[arg-type]


def test_another_picture_may_be_made_of_the_prediction(model: FirstOrderModel, pictures: list[RgbImage]) -> None:
    made = opened(model, pictures)
    made.set_source(pictures[0], finish=lambda prediction, motion: as_bytes(prediction)[:10])
    assert made.animate(pictures[2]).shape == (10, 256, 3)
    made.set_source(pictures[0])
    assert made.animate(pictures[2]).shape == (256, 256, 3)


# Graphs


class FakeGraph:
    """Does what a CUDA graph does: reads and writes the tensors that were there when it was recorded."""

    recorded = 0

    def __init__(self, step: Callable[[], Drawn]) -> None:
        FakeGraph.recorded += 1
        made = stream._tensors(made_state) if (made_state := step.__self__._state) else []  # type: ignore[attr-defined]
        self._step, self._outputs, self._inputs = step, step(), [tensor.data_ptr() for tensor in made]

    def replay(self) -> Drawn:
        now = stream._tensors(self._step.__self__._state)  # type: ignore[attr-defined]
        assert [tensor.data_ptr() for tensor in now] == self._inputs  # a real graph would read the old memory
        for kept, new in zip(stream._tensors(self._outputs), stream._tensors(self._step()), strict=True):
            kept.copy_(new)
        return self._outputs


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> type[FakeGraph]:
    FakeGraph.recorded = 0
    monkeypatch.setattr(stream, "record", lambda step, device, warm_up: FakeGraph(step))
    return FakeGraph


def recording(model: FirstOrderModel, options: StreamOptions = EXACT) -> Stream:
    made = Stream(model, options)
    made._may_record = True
    return made


def test_one_graph_serves_all_portraits_and_references(
    model: FirstOrderModel, pictures: list[RgbImage], graphs: type[FakeGraph]
) -> None:
    made = recording(model)
    made.set_source(pictures[0])
    made.calibrate(pictures[1])
    for _ in range(2):
        assert furthest(made.animate(pictures[2]), plain(model, pictures[:3])) <= 1
    made.set_source(pictures[3])
    assert furthest(made.animate(pictures[2]), plain(model, [pictures[3], *pictures[1:3]])) <= 1
    made.calibrate(pictures[4])
    assert furthest(made.animate(pictures[2]), plain(model, [pictures[3], pictures[4], pictures[2]])) <= 1
    assert graphs.recorded == 1 and made.graphed


def test_another_finish_is_recorded_anew(
    model: FirstOrderModel, pictures: list[RgbImage], graphs: type[FakeGraph]
) -> None:
    made = recording(model)
    made.set_source(pictures[0])
    made.animate(pictures[2])
    made.set_source(pictures[0], finish=lambda prediction, motion: as_bytes(prediction)[:10])
    assert made.animate(pictures[2]).shape == (10, 256, 3) and graphs.recorded == 2


def test_where_nothing_can_be_recorded_frames_still_come(
    model: FirstOrderModel, pictures: list[RgbImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(stream, "record", refuse)
    made = recording(model)
    made.set_source(pictures[0])
    made.calibrate(pictures[1])
    for _ in range(2):
        assert furthest(made.animate(pictures[2]), plain(model, pictures[:3])) <= 1
    assert len(made.notes) == 1 and "stream is capturing)" in made.notes[0]


def test_where_nothing_can_be_compiled_frames_still_come(
    model: FirstOrderModel, pictures: list[RgbImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        def step() -> Any:
            raise RuntimeError("no compiler")

        return step

    monkeypatch.setattr(torch, "compile", broken)
    made = opened(model, pictures, StreamOptions(precision=torch.float32, compiled=True))
    assert furthest(made.animate(pictures[2]), plain(model, pictures[:3])) <= 1
    assert "no compiler" in made.notes[0]


# NaN


def overflowing(monkeypatch: pytest.MonkeyPatch, *precisions: torch.dtype) -> None:
    """Let decoders of these precisions draw NaN."""
    original = FastModel.__init__

    def init(self: FastModel, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        if self.precision in precisions:
            decoder = self.decoder
            self.decoder = lambda moved: decoder(moved) * float("nan")  # type: ignore[assignment]

    monkeypatch.setattr(FastModel, "__init__", init)


@pytest.mark.parametrize("records", [False, True])
def test_a_model_that_overflows_goes_on_in_float32(
    model: FirstOrderModel,
    pictures: list[RgbImage],
    monkeypatch: pytest.MonkeyPatch,
    graphs: type[FakeGraph],
    records: bool,
) -> None:
    overflowing(monkeypatch, torch.bfloat16)
    made = Stream(model, StreamOptions(precision=torch.bfloat16))
    made._may_record = records
    made.set_source(pictures[0])
    made.calibrate(pictures[1])
    for source in (0, 3):  # remembered for the next portrait
        made.set_source(pictures[source])
        assert furthest(made.animate(pictures[2]), plain(model, [pictures[source], *pictures[1:3]])) <= 1
    assert made.precision == "float32" and made.notes == ["In bfloat16 this model computes NaN, so float32 is used."]


def test_nan_in_float32_is_an_error(
    model: FirstOrderModel, pictures: list[RgbImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    overflowing(monkeypatch, torch.bfloat16, torch.float32)
    with pytest.raises(EngineError, match="only NaN"):
        opened(model, pictures, StreamOptions(precision=torch.bfloat16)).animate(pictures[2])


# What CUDA does otherwise, on the CPU


@pytest.mark.parametrize("occludes", [True, False])
def test_rows_are_moved_as_maps_are(occludes: bool) -> None:
    random = torch.Generator().manual_seed(1)
    features = torch.randn(1, 16, 12, 20, generator=random).contiguous(memory_format=torch.channels_last)
    grid = torch.rand(2, 6, 7, 2, generator=random) * 3 - 1.5  # also far outside
    occlusion = torch.rand(2, 1, 6, 7, generator=random) if occludes else None
    motion = DenseMotion(grid, grid, occlusion)
    torch.testing.assert_close(move_rows(features, motion), move(features, motion), atol=1e-5, rtol=1e-5)


def test_rows_survive_places_that_are_no_numbers() -> None:
    grid = torch.full((1, 4, 4, 2), float("nan"))
    grid[0, 0] = float("inf")
    moved = move_rows(torch.ones(1, 8, 4, 4), DenseMotion(grid, grid, None))
    assert moved.shape == (1, 8, 4, 4)


@pytest.mark.parametrize(
    "kernels", [KernelOptions(rows=True), KernelOptions(aligned=True), KernelOptions(transposed=False)]
)
def test_kernel_options_change_nothing(
    model: FirstOrderModel, pictures: list[RgbImage], kernels: KernelOptions
) -> None:
    options = StreamOptions(precision=torch.float32, kernels=kernels)
    assert furthest(opened(model, pictures, options).animate(pictures[2]), plain(model, pictures[:3])) <= 1


@torch.no_grad()
def test_channels_that_come_to_nothing_are_left_out(model: FirstOrderModel) -> None:
    conv, x = model.generator.final, torch.randn(2, 8, 9, 11)
    got = Padded(conv, Target(torch.float32, torch.device("cpu"), packed=False))(x)
    torch.testing.assert_close(got, conv(x), atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("graph", [True, False])
def test_cuda(model: FirstOrderModel, pictures: list[RgbImage], graph: bool) -> None:
    on_device = sample_model("as published").to("cuda")
    made = opened(on_device, pictures, StreamOptions(graph=graph))
    for _ in range(2):
        drawn = made.animate(pictures[2])
    wanted = plain(model.to("cpu"), pictures[:3])
    assert np.square(drawn.astype(float) - wanted).mean() < 255**2 / 10**4.0
    assert made.graphed == graph and made.notes == []


def test_keypoints_of_a_picture(model: FirstOrderModel, pictures: list[RgbImage]) -> None:
    kp: Keypoints = Stream(model, EXACT).detect(pictures[0])
    wanted = model.detect(torch.from_numpy(pictures[0]).permute(2, 0, 1)[None] / 255)
    torch.testing.assert_close(kp.value, wanted.value, atol=1e-4, rtol=0)
