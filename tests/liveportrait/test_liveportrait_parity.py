"""Parity of our model with the authors' code on the same weights."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from places import SHARED
from torch import Tensor

from avatar.images.load import load_image
from avatar.liveportrait import (
    LivePortraitModel,
    MotionParameters,
    absolute_motion,
    load_liveportrait,
    relative_motion,
    scale_motion,
)

GOLDEN = SHARED / "golden" / "liveportrait_small.tar.xz"
KEYPOINTS, DEGREES, MAPS = 1e-4, 1e-3, 1e-3

pytestmark = pytest.mark.skipif(not GOLDEN.is_file(), reason=f"no golden results: {GOLDEN} is missing")

_TENSORS = {
    "pitch": "pitch", "yaw": "yaw", "roll": "roll", "t": "translation", "exp": "expression", "scale": "scale",
    "kp": "keypoints",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("golden")
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(place, filter="data")
    return place / "liveportrait_small"


@pytest.fixture(scope="module", params=[None, "models.yaml"], ids=["read off the weights", "with the YAML"])
def model(request: pytest.FixtureRequest, folder: Path) -> LivePortraitModel:
    return load_liveportrait(folder, request.param and folder / request.param)


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, Tensor]:
    with np.load(folder / "expected.npz") as stored:
        return {name: torch.from_numpy(stored[name]).float() for name in stored}


def picture(path: Path) -> Tensor:
    return torch.from_numpy(load_image(path).copy()).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def source(folder: Path) -> Tensor:
    return picture(folder / "source.png")


@pytest.fixture(scope="module")
def driving(folder: Path) -> Tensor:
    return torch.cat([picture(folder / f"driving_00{number}.png") for number in range(4)])


def furthest(a: Tensor, b: Tensor) -> float:
    return float((a - b.reshape(a.shape)).abs().max())


def test_motion_parameters(
    model: LivePortraitModel, expected: dict[str, Tensor], source: Tensor, driving: Tensor
) -> None:
    motion = model.motion(torch.cat([source, driving]))
    assert len(motion) == 5
    for number in range(5):
        one = motion[number : number + 1]
        for theirs, ours in _TENSORS.items():
            tolerance = DEGREES if ours in ("pitch", "yaw", "roll") else KEYPOINTS
            assert furthest(getattr(one, ours), expected[f"kp_info_{number}/{theirs}"]) < tolerance
        assert furthest(one.transformed(), expected[f"kp_info_{number}/transformed"]) < KEYPOINTS


Carry = Callable[[LivePortraitModel, MotionParameters, MotionParameters, dict[str, Tensor]], Tensor]


def _ratios(points: Tensor, *pairs: tuple[int, int, int, int]) -> Tensor:
    """(B, pairs): the distance of two points over that of two others."""
    return torch.stack(
        [(points[:, a] - points[:, b]).norm(dim=1) / (points[:, c] - points[:, d]).norm(dim=1) for a, b, c, d in pairs],
        dim=1,
    )


_RIGHT, _LEFT, _LIPS = (6, 18, 0, 12), (30, 42, 24, 36), (90, 102, 48, 66)


def _retargeted(model: LivePortraitModel, x_s: Tensor, expected: dict[str, Tensor]) -> Tensor:
    mine, theirs = expected["landmarks203_source"][None].expand(4, -1, -1), expected["landmarks203_driving"]
    x_s = x_s.expand(4, -1, -1)
    eyes = torch.cat([_ratios(mine, _RIGHT, _LEFT), _ratios(theirs, _RIGHT)], dim=1)
    lips = torch.cat([_ratios(mine, _LIPS), _ratios(theirs, _LIPS)], dim=1)
    return model.retarget_eyes(x_s, eyes) + model.retarget_lips(x_s, lips)


def _lips_closed(model: LivePortraitModel, x_s: Tensor, expected: dict[str, Tensor]) -> Tensor:
    open_by = _ratios(expected["landmarks203_source"][None], _LIPS)
    return model.retarget_lips(x_s, torch.cat([open_by, torch.zeros(1, 1)], dim=1))


def _modes() -> dict[str, Carry]:
    modes: dict[str, Carry] = {
        "relative_no_stitching": lambda m, s, d, e: relative_motion(s, d, d[:1]),
        "relative_pose_friendly": lambda m, s, d, e: m.stitch(s.transformed(), relative_motion(s, d, d[:1], "pose")),
        "relative_expression_friendly": lambda m, s, d, e: m.stitch(s.transformed(), relative_motion(s, d, d[:1])),
        "absolute": lambda m, s, d, e: m.stitch(s.transformed(), absolute_motion(s, d)),
        "relative_multiplier_0_6": lambda m, s, d, e: scale_motion(
            s.transformed(), m.stitch(s.transformed(), relative_motion(s, d, d[:1])), 0.6
        ),
        "relative_retargeting": lambda m, s, d, e: m.stitch(
            s.transformed(), s.transformed() + _retargeted(m, s.transformed(), e)
        ),
        "absolute_retargeting": lambda m, s, d, e: m.stitch(
            s.transformed(), absolute_motion(s, d) + _retargeted(m, s.transformed(), e)
        ),
        "relative_normalize_lip": lambda m, s, d, e: (
            m.stitch(s.transformed(), relative_motion(s, d, d[:1])) + _lips_closed(m, s.transformed(), e)
        ),
    }

    def relative(region: str) -> Carry:
        return lambda m, s, d, e: m.stitch(s.transformed(), relative_motion(s, d, d[:1], region=region))

    def absolute(region: str) -> Carry:
        return lambda m, s, d, e: m.stitch(s.transformed(), absolute_motion(s, d, region))

    for region in ("exp", "pose", "lip", "eyes"):
        modes[f"relative_region_{region}"], modes[f"absolute_region_{region}"] = relative(region), absolute(region)
    return modes


MODES = _modes()


@pytest.mark.parametrize("mode", MODES)
def test_keypoints_of_every_mode_and_region(
    model: LivePortraitModel, expected: dict[str, Tensor], source: Tensor, driving: Tensor, mode: str
) -> None:
    motion_source, motion_driving = model.motion(source), model.motion(driving)
    x_d = MODES[mode](model, motion_source, motion_driving, expected)
    assert furthest(motion_source.transformed(), expected[f"{mode}/x_s"]) < KEYPOINTS
    assert furthest(x_d, expected[f"{mode}/x_d"]) < KEYPOINTS


def test_every_golden_mode_is_looked_at(expected: dict[str, Tensor]) -> None:
    assert {name.removesuffix("/x_d") for name in expected if name.endswith("/x_d")} == set(MODES)


def test_maps_and_pictures(model: LivePortraitModel, expected: dict[str, Tensor], source: Tensor) -> None:
    mode = "relative_pose_friendly"
    x_s, x_d = expected[f"{mode}/x_s"], expected[f"{mode}/x_d"][1]
    appearance = model.appearance(source)
    assert furthest(appearance[0, :, ::5, ::7, ::7], expected["feature_3d_slice"]) < MAPS
    drawn = model.render(appearance, x_s, x_d)
    assert furthest(drawn.deformation[0, ::5, ::7, ::7], expected["deformation_slice"]) < MAPS
    assert drawn.occlusion_map is not None
    assert furthest(drawn.occlusion_map[0, 0, ::3, ::3], expected["occlusion_map_slice"]) < MAPS
    assert furthest(drawn.image[0, :, 200:264, 200:264], expected["out_float_crop"]) < MAPS
    assert furthest((drawn.image * 255).floor(), expected[f"{mode}/out"]) <= 1


@pytest.mark.parametrize("mode", ["relative_expression_friendly", "absolute"])
def test_pictures_of_other_modes(
    model: LivePortraitModel, expected: dict[str, Tensor], source: Tensor, mode: str
) -> None:
    x_s, x_d = expected[f"{mode}/x_s"], expected[f"{mode}/x_d"][1:3, 0]
    drawn = model.render(model.appearance(source), x_s, x_d)
    assert furthest((drawn.image[:, :, ::4, ::4] * 255).floor(), expected[f"{mode}/out"]) <= 1
