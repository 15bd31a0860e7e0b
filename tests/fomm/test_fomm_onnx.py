"""ONNX: exported files give the model's results, and runtimes are never asked for missing providers."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fomm_samples import STRUCTURES, authors_state, sample_model, save_checkpoint
from places import SHARED

from avatar.cli import main
from avatar.errors import EngineError, ShapeError, WeightsError
from avatar.fomm import load_checkpoint, onnx_export, onnx_stream, onnx_trial
from avatar.fomm.onnx_export import FILES, export_onnx
from avatar.fomm.onnx_stream import OnnxStream, has_cuda
from avatar.fomm.random_model import random_image
from avatar.fomm.stream import Stream, StreamOptions, as_bytes
from avatar.frames import RgbImage
from avatar.images.load import load_image
from avatar.settings import MotionSettings

GOLDEN = SHARED / "golden" / "fomm_vox_small"

pytestmark = pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="onnx is not installed")


@pytest.fixture(scope="module")
def older_exporter() -> Any:
    """The exporter that needs no onnxscript: it takes seconds where the newer one takes a minute."""
    patch = pytest.MonkeyPatch()
    patch.setattr(onnx_export, "has_newer_exporter", lambda: False)
    yield patch
    patch.undo()


@pytest.fixture(scope="module")
def folder(older_exporter: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("onnx")
    export_onnx(sample_model("as published"), made)
    return made


def pictures(size: int) -> list[RgbImage]:
    return [as_bytes(picture[None]).numpy() for picture in random_image(3, size, seed=2)]


def drawn_by(stream: Stream | OnnxStream, given: list[RgbImage]) -> RgbImage:
    stream.set_source(given[0])
    stream.calibrate(given[1])
    return stream.animate(given[2])


def furthest(a: RgbImage, b: RgbImage) -> int:
    return int(np.abs(a.astype(int) - b).max())


@pytest.mark.parametrize("name", ["no jacobian", "single jacobian map", "no occlusion map", "other blocks"])
def test_every_structure_is_drawn_as_torch_draws_it(older_exporter: Any, name: str, tmp_path: Path) -> None:
    model, size = sample_model(name), STRUCTURES[name][0].frame_size
    given = pictures(size)
    export_onnx(model, tmp_path)
    wanted = drawn_by(Stream(model, StreamOptions(precision=torch.float32)), given)
    assert furthest(drawn_by(OnnxStream(tmp_path, device="cpu"), given), wanted) <= 1


@pytest.mark.parametrize(
    "options",
    [
        StreamOptions(),
        StreamOptions(MotionSettings(relative=False)),
        StreamOptions(MotionSettings(adapt_scale=False)),
        StreamOptions(MotionSettings(strength_head=0.5)),
        StreamOptions(MotionSettings(relative=False, strength_head=0.5)),
    ],
)
def test_motion_is_carried_over_alike(folder: Path, options: StreamOptions) -> None:
    from dataclasses import replace

    given = pictures(256)
    stream = Stream(sample_model("as published"), replace(options, precision=torch.float32))
    other = OnnxStream(folder, options, device="cpu")
    assert furthest(drawn_by(stream, given), drawn_by(other, given)) <= 1
    assert stream.drawn is not None and other.drawn is not None
    torch.testing.assert_close(other.drawn.motion.deformation, stream.drawn.motion.deformation, atol=1e-4, rtol=0)


def test_motion_changed_while_it_runs_counts_at_once(folder: Path) -> None:
    given = pictures(256)
    stream = OnnxStream(folder, device="cpu")
    usual = drawn_by(stream, given)
    stream.set_motion(MotionSettings(strength_head=0.0))
    still = stream.animate(given[-1])
    assert not np.array_equal(still, usual)
    stream.set_motion(MotionSettings())
    assert np.array_equal(stream.animate(given[-1]), usual)


def test_half_precision_is_close(older_exporter: Any, tmp_path: Path) -> None:
    model, given = sample_model("as published"), pictures(256)
    export_onnx(model, tmp_path, half=True)
    stream = OnnxStream(tmp_path, device="cpu")
    wanted = drawn_by(Stream(model, StreamOptions(precision=torch.float32)), given)
    assert np.square(drawn_by(stream, given).astype(float) - wanted).mean() < 255**2 / 10**4.5
    assert stream.precision == "float16" and stream.providers == ["CPUExecutionProvider"]


@pytest.mark.skipif(importlib.util.find_spec("onnxscript") is None, reason="onnxscript is not installed")
def test_the_newer_exporter_writes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "has_newer_exporter", lambda: True)
    model, given = sample_model("other blocks"), pictures(STRUCTURES["other blocks"][0].frame_size)
    export_onnx(model, tmp_path)
    wanted = drawn_by(Stream(model, StreamOptions(precision=torch.float32)), given)
    assert furthest(drawn_by(OnnxStream(tmp_path, device="cpu"), given), wanted) <= 1


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden results: {GOLDEN} is missing")
def test_golden_parity(older_exporter: Any, tmp_path: Path) -> None:
    export_onnx(load_checkpoint(GOLDEN / "checkpoint.pth.tar"), tmp_path)
    stream = OnnxStream(tmp_path, device="cpu")
    stream.set_source(load_image(GOLDEN / "source.png"))
    driving = [load_image(GOLDEN / f"driving_00{number}.png") for number in range(3)]
    stream.calibrate(driving[0])
    with np.load(GOLDEN / "expected.npz") as expected:
        for number, rgb in enumerate(driving):
            stream.animate(rgb)
            drawn = stream.drawn
            assert drawn is not None and drawn.kp_driving.jacobian is not None
            assert drawn.motion.occlusion_map is not None
            for got, name, limit in (
                (drawn.kp_driving.value, "kp_driving_value", 1e-4),
                (drawn.kp_driving.jacobian, "kp_driving_jacobian", 1e-4),
                (drawn.kp_norm.value, "relative_adapt_kp_value", 1e-4),
                (drawn.motion.deformation, "deformation", 1e-4),
                (drawn.motion.occlusion_map, "occlusion_map", 1e-4),
                (drawn.logits, "relative_adapt_prediction", 1e-3),
            ):
                assert np.abs(got[0].numpy() - expected[name][number].astype(np.float32)).max() < limit, name


def test_what_is_wrong_is_said(folder: Path, tmp_path: Path) -> None:
    stream = OnnxStream(folder, device="cpu")
    with pytest.raises(EngineError, match="no portrait"):
        stream.animate(pictures(256)[0])
    with pytest.raises(ShapeError, match="uint8 images"):
        stream.set_source(pictures(128)[0])
    with pytest.raises(WeightsError, match=r"encoder\.onnx is missing"):
        OnnxStream(tmp_path, device="cpu")
    for name in FILES:
        (tmp_path / name).write_bytes(b"no model at all")
    with pytest.raises(WeightsError, match="cannot be opened by ONNX Runtime"):
        OnnxStream(tmp_path, device="cpu")


def test_a_model_of_somebody_else(folder: Path, tmp_path: Path) -> None:
    import onnx

    for name in FILES:
        content = onnx.load(str(folder / name))
        del content.metadata_props[:]
        onnx.save(content, str(tmp_path / name))
    with pytest.raises(WeightsError, match="was not written by Masque"):
        OnnxStream(tmp_path, device="cpu")


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (2, 1, 0), (0, 0, 2), (0, 1, 1)])
def test_swapped_files(folder: Path, tmp_path: Path, order: tuple[int, ...]) -> None:
    for number, name in zip(order, FILES, strict=True):
        shutil.copyfile(folder / FILES[number], tmp_path / name)
    with pytest.raises(WeightsError, match="is another network, or does not fit") as caught:
        OnnxStream(tmp_path, device="cpu")
    assert "export" in caught.value.remedy


def test_files_of_two_models(older_exporter: Any, folder: Path, tmp_path: Path) -> None:
    export_onnx(sample_model("no jacobian"), tmp_path)
    shutil.copyfile(folder / FILES[2], tmp_path / FILES[2])
    with pytest.raises(WeightsError, match=r"detector\.onnx is another network, or does not fit"):
        OnnxStream(tmp_path, device="cpu")


def test_a_network_that_fails_while_it_computes(folder: Path, tmp_path: Path) -> None:
    """The names and shapes are right, and an index inside is out of range."""
    import onnx

    for name in FILES:
        shutil.copyfile(folder / name, tmp_path / name)
    content = onnx.load(str(tmp_path / FILES[1]))
    graph = content.graph
    spare = onnx.helper.make_tensor("far", onnx.TensorProto.INT64, [3], [0, 0, 99])
    graph.initializer.append(spare)
    graph.node.append(onnx.helper.make_node("Gather", ["value", "far"], ["beyond"], axis=1))
    graph.node.append(onnx.helper.make_node("ReduceSum", ["beyond"], ["sum"], keepdims=0))
    last = next(node for node in graph.node if "jacobian" in node.output)
    last.output[list(last.output).index("jacobian")] = "inner"
    graph.node.append(onnx.helper.make_node("Add", ["inner", "sum"], ["jacobian"]))
    onnx.save(content, str(tmp_path / FILES[1]))
    with pytest.raises((EngineError, WeightsError), match="ONNX Runtime") as caught:
        OnnxStream(tmp_path, device="cpu").detect(pictures(256)[0])
    assert caught.value.remedy


def test_a_constant_over_the_budget(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 MB of ones in 200 bytes: little enough to be harmless, and more than is allowed here."""
    import onnx
    from onnx import TensorProto, helper

    for name in FILES:
        shutil.copyfile(folder / name, tmp_path / name)
    shape = helper.make_tensor("shape", TensorProto.INT64, [1], [100_000_000])
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["ones"], value=one),
        helper.make_node("ReduceSum", ["ones"], ["sum"], keepdims=0),
        helper.make_node("Add", ["image", "sum"], ["value"]),
    ]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])] for name in ("image", "value")]
    graph = helper.make_graph(nodes, "net", *ends, initializer=[shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(tmp_path / FILES[1]))
    with pytest.raises(WeightsError, match="is another network"):
        OnnxStream(tmp_path, device="cpu")
    onnx_trial._try.cache_clear()
    monkeypatch.setattr(onnx_trial, "MEMORY_BYTES", 300 * 2**20)
    with pytest.raises(WeightsError, match=r"detector\.onnx takes more than 300 MB of memory"):
        OnnxStream(tmp_path, device="cpu")


def test_a_file_over_the_budget(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_trial, "MAX_WEIGHT_BYTES", 1000)
    with pytest.raises(WeightsError, match="the limit is 1 MB"):
        OnnxStream(folder, device="cpu")


# Devices


def test_cuda_is_not_asked_for_where_there_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_stream, "has_cuda", lambda: False)
    assert OnnxStream(folder).providers == ["CPUExecutionProvider"]
    with pytest.raises(EngineError, match="no CUDA device") as raised:
        OnnxStream(folder, device="cuda")
    assert "auto or cpu" in raised.value.remedy


def test_what_the_session_offers_decides(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A driver may be there and the libraries not: the runtime then falls back without a word."""
    import onnxruntime

    monkeypatch.setattr(onnx_stream, "has_cuda", lambda: True)
    original, asked = onnxruntime.InferenceSession, []

    def session(path: str, settings: Any, providers: list[Any]) -> Any:
        asked.append(providers)
        return original(path, settings, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    assert OnnxStream(folder).place == "cpu"
    assert asked[0][0][0] == "CUDAExecutionProvider"
    with pytest.raises(EngineError, match="did not get CUDA to work"):
        OnnxStream(folder, device="cuda:1")
    assert asked[-1][0][1]["device_id"] == 1
    with pytest.raises(EngineError):
        OnnxStream(folder, device="cuda", tensorrt=True, cache=tmp_path)
    name, options = asked[-1][0]
    assert name == "TensorrtExecutionProvider" and options["trt_engine_cache_path"] == str(tmp_path)


@pytest.mark.parametrize(("answer", "count", "there"), [(0, 1, True), (0, 0, False), (100, 1, False)])
def test_a_driver_is_asked_for_its_devices(
    answer: int, count: int, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def devices(found: Any) -> int:
        found._obj.value = count
        return 0

    driver = SimpleNamespace(cuInit=lambda flags: answer, cuDeviceGetCount=devices)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert has_cuda(lambda name: driver) is there


def test_without_a_driver_there_is_no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert not has_cuda(missing)


def test_without_the_runtime_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match="ONNX Runtime is not installed"):
        OnnxStream(folder)


# The command


def test_the_command_exports(
    older_exporter: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sample_model("other blocks")
    checkpoint = save_checkpoint(tmp_path / "net-cpk.pth.tar", authors_state(model, pruned=True))
    target = tmp_path / "made" / "onnx"
    assert main(["models", "export", str(checkpoint), "-o", str(target)]) == 0
    said = capsys.readouterr()
    assert all(name in said.out for name in FILES) and f"--model {target}" in said.err
    assert sorted(path.name for path in target.iterdir()) == sorted(FILES)
    (tmp_path / "file").write_text("in the way")
    assert main(["models", "export", str(checkpoint), "-o", str(tmp_path / "file")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnx", None)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onnx" else find(name, *rest))
    assert main(["models", "export", str(checkpoint), "-o", str(target)]) == 1
    assert "pip install -r requirements-dev.txt" in capsys.readouterr().err
