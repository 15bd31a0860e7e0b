"""ONNX: the exported files give the model's results, by operators that every provider has."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from liveportrait_samples import small_model, tiny_model, write_files

from avatar import cli
from avatar.errors import EngineError, OutputError
from avatar.fomm.random_model import random_image
from avatar.liveportrait.onnx_check import largest_difference
from avatar.liveportrait.onnx_export import FILES, MOTION, export_onnx

pytestmark = pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="onnx is not installed")


@pytest.mark.parametrize("structure", ["other depths", "no occlusion map"])
def test_exported_files_compute_what_torch_computes(structure: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    import onnx

    model = small_model(structure)
    source, driving = random_image(2, 256, seed=3).split(1)
    files = export_onnx(model, tmp_path / "made")
    assert [path.name for path in files] == list(FILES)
    operators = {node.op_type for path in files for node in onnx.load(str(path)).graph.node}
    assert not operators & {"GridSample", "ScatterND", "DFT", "Loop", "If"}

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    appearance, motion, render = (
        onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"]) for path in files
    )
    (volume,) = appearance.run(None, {"portrait": source.numpy()})
    wanted = model.appearance(source)
    np.testing.assert_allclose(volume, wanted.numpy(), atol=1e-3, rtol=0)
    expected = model.motion(driving)
    for name, found in zip(MOTION, motion.run(list(MOTION), {"image": driving.numpy()}), strict=True):
        np.testing.assert_allclose(found, getattr(expected, name).numpy(), atol=1e-3, rtol=0)
    x_s, x_d = model.motion(source).transformed(), expected.transformed()
    (image,) = render.run(None, {"appearance": volume, "x_s": x_s.numpy(), "x_d": x_d.numpy()})
    np.testing.assert_allclose(image, model.render(wanted, x_s, x_d).image.numpy(), atol=1e-3, rtol=0)
    assert torch.from_numpy(image).std() > 0.1


def test_the_command_exports_and_says_how_close_the_files_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    weights, made = tmp_path / "weights", tmp_path / "made"
    write_files(tiny_model(), weights)
    assert cli.main(["models", "export", str(weights), "-o", str(made)]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in FILES)
    found = re.search(r"on the processor: (\S+)", said)
    assert found is not None and float(found[1]) < 1e-3
    assert cli.main(["models", "convert", str(weights), "-o", str(tmp_path / "half.safetensors")]) == 0
    again = ["models", "export", str(tmp_path / "half.safetensors"), "-o", str(made), "--engine", "liveportrait"]
    assert cli.main(again) == 0
    (made / FILES[2]).write_bytes((made / FILES[0]).read_bytes())
    with pytest.raises(EngineError, match="cannot compute"):
        largest_difference(tiny_model(), made)


def test_files_that_compute_something_else_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    export_onnx(tiny_model(seed=1), tmp_path)
    with pytest.raises(EngineError, match="differ from torch by"):
        largest_difference(tiny_model(seed=2), tmp_path)


def test_what_cannot_be_exported_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_files(tiny_model(), tmp_path / "weights")
    words = ["models", "export", str(tmp_path / "weights"), "-o"]
    assert cli.main([*words, str(tmp_path / "made"), "--half"]) == 2
    assert "exported in float32" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert cli.main(["models", "export", str(tmp_path / "empty"), "-o", str(tmp_path / "made")]) == 1
    assert "models pull liveportrait" in capsys.readouterr().err and not (tmp_path / "made").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        export_onnx(small_model("other depths"), tmp_path / "file")
