"""What a runtime of the networks promises, whatever it does inside."""

from __future__ import annotations

import pytest
import torch
from liveportrait_samples import STRUCTURES, random_images, small_model

from avatar.errors import EngineError
from avatar.liveportrait import open_runtime


@pytest.mark.parametrize("structure", STRUCTURES)
def test_it_computes_what_the_model_computes(structure: str) -> None:
    model = small_model(structure)
    source, driving = random_images(2, seed=4).split(1)
    x_s, x_d = model.motion(source).transformed(), model.motion(driving).transformed()
    runtime = open_runtime(model, torch.float32)
    assert runtime.device.type == "cpu" and runtime.precision == "float32"
    assert torch.allclose(runtime.motion(driving).transformed(), x_d, atol=1e-5)
    runtime.prepare(model.appearance(source), x_s)
    drawn, expected = runtime.render(x_d), model.render(model.appearance(source), x_s, x_d)
    assert torch.allclose(drawn.image, expected.image, atol=1e-4)
    assert torch.allclose(drawn.deformation, expected.deformation, atol=1e-4)
    assert (drawn.occlusion_map is None) == (expected.occlusion_map is None)


def test_another_portrait_takes_the_place_of_the_first() -> None:
    model = small_model()
    runtime = open_runtime(model, torch.float32)
    one, two = random_images(2, seed=6).split(1)
    drawn = []
    for source in (one, two, one):
        x_s = model.motion(source).transformed()
        runtime.prepare(model.appearance(source), x_s)
        drawn.append(runtime.render(x_s).image.clone())
    assert torch.equal(drawn[0], drawn[2]) and not torch.allclose(drawn[0], drawn[1], atol=1e-2)


def test_without_a_portrait_there_is_nothing_to_render() -> None:
    with pytest.raises(EngineError, match="no portrait"):
        open_runtime(small_model()).render(torch.zeros(1, 21, 3))
