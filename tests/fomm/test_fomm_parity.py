"""Parity of our model with the authors' code on the same checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fomm_samples import psnr_db
from places import SHARED
from torch import Tensor

from avatar.fomm import FirstOrderModel, convert_checkpoint, load_checkpoint
from avatar.fomm.fast import FastModel
from avatar.images.load import load_image
from avatar.motion import Keypoints, relative_keypoints

GOLDEN = SHARED / "golden" / "fomm_vox_small"
KEYPOINTS, PREDICTION, MASK = 1e-4, 1e-3, 2e-3  # predictions and masks are stored as float16

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden results: {GOLDEN} is missing")


@pytest.fixture(scope="module", params=[None, "config.yaml"], ids=["read off the weights", "from the YAML"])
def model(request: pytest.FixtureRequest) -> FirstOrderModel:
    config = request.param and GOLDEN / request.param
    return load_checkpoint(GOLDEN / "checkpoint.pth.tar", config)


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    with np.load(GOLDEN / "expected.npz") as stored:
        return {name: torch.from_numpy(stored[name]).float() for name in stored}


def picture(name: str) -> Tensor:
    rgb = load_image(GOLDEN / name)
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def source() -> Tensor:
    return picture("source.png")


@pytest.fixture(scope="module")
def driving() -> Tensor:
    return torch.cat([picture(f"driving_00{number}.png") for number in range(3)])


def furthest(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


def check_keypoints(kp: Keypoints, expected: dict[str, Tensor], name: str) -> None:
    assert kp.jacobian is not None
    assert furthest(kp.value, expected[f"{name}_value"]) < KEYPOINTS
    assert furthest(kp.jacobian, expected[f"{name}_jacobian"]) < KEYPOINTS


def test_keypoints(model: FirstOrderModel, source: Tensor, driving: Tensor, expected: dict[str, Tensor]) -> None:
    check_keypoints(model.detect(source), expected, "kp_source")
    check_keypoints(model.detect(driving), expected, "kp_driving")


def test_relative_motion(model: FirstOrderModel, source: Tensor, driving: Tensor, expected: dict[str, Tensor]) -> None:
    kp_source, kp_driving, kp_reference = model.detect(source), model.detect(driving), model.detect(driving[:1])
    plain = relative_keypoints(kp_source, kp_driving, kp_reference, adapt_scale=False)
    assert furthest(plain.value, expected["relative_kp_value"]) < KEYPOINTS
    adapted = relative_keypoints(kp_source, kp_driving, kp_reference)
    assert furthest(adapted.value, expected["relative_adapt_kp_value"]) < KEYPOINTS
    motion = model.dense_motion(source, kp_source, adapted)
    assert motion.occlusion_map is not None
    assert furthest(motion.deformation, expected["deformation"]) < KEYPOINTS
    assert furthest(motion.occlusion_map, expected["occlusion_map"]) < KEYPOINTS
    assert furthest(motion.mask, expected["mask"]) < MASK
    prediction = model.generate(source, kp_source, adapted)
    assert furthest(prediction, expected["relative_adapt_prediction"]) < PREDICTION


def test_absolute_motion(model: FirstOrderModel, source: Tensor, driving: Tensor, expected: dict[str, Tensor]) -> None:
    kp_driving = model.detect(driving)
    assert furthest(kp_driving.value, expected["absolute_kp_value"]) < KEYPOINTS
    last = model.detect(driving[2:])  # the one whose prediction is stored
    prediction = model.generate(source, model.detect(source), last)
    assert furthest(prediction, expected["absolute_prediction"]) < PREDICTION


def test_the_fast_model_in_float32(
    model: FirstOrderModel, source: Tensor, driving: Tensor, expected: dict[str, Tensor]
) -> None:
    fast = FastModel(model, precision=torch.float32)
    kp_source, kp_driving, kp_reference = fast.set_source(source), fast.detect(driving), fast.detect(driving[:1])
    check_keypoints(kp_driving, expected, "kp_driving")
    prediction = fast.generate(relative_keypoints(kp_source, kp_driving, kp_reference))
    assert furthest(prediction, expected["relative_adapt_prediction"]) < PREDICTION


def test_half_the_size_is_nearly_the_same(source: Tensor, driving: Tensor, tmp_path: Path) -> None:
    checkpoint, small = GOLDEN / "checkpoint.pth.tar", tmp_path / "small.safetensors"
    size = convert_checkpoint(checkpoint, small)
    assert size < 0.56 * checkpoint.stat().st_size  # batch-norm, a large share of a model so small, stays float32
    exact, half = load_checkpoint(checkpoint), load_checkpoint(small)
    assert half.config == exact.config
    predictions = [model.generate(source, model.detect(source), model.detect(driving)) for model in (exact, half)]
    assert psnr_db(*predictions) > 50
