"""The landmark network computes the same with its slopes repeated along rows, whatever the file holds."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar.frames import FloatArray
from avatar.tracking.networks import BLENDSHAPES, DETECTOR, MESH
from avatar.tracking.quiet import without_notes
from avatar.tracking.slopes import with_slopes_by_row

WIDE = 69  # PReLUs of the landmark network


def member(face_model: Path, name: str) -> bytes:
    with zipfile.ZipFile(face_model) as archive:
        return archive.read(name)


def interpreter(model: bytes) -> Any:
    module = pytest.importorskip("ai_edge_litert.interpreter")
    with without_notes():
        made = module.Interpreter(model_content=model, num_threads=1)
        made.allocate_tensors()
    return made


def results(runner: Any, values: FloatArray) -> list[FloatArray]:
    runner.set_tensor(runner.get_input_details()[0]["index"], values)
    runner.invoke()
    return [runner.get_tensor(detail["index"]) for detail in runner.get_output_details()]


def test_results_are_the_same_to_the_bit(face_model: Path) -> None:
    model = member(face_model, MESH)
    plain, wide = interpreter(model), interpreter(with_slopes_by_row(model))
    for seed in range(3):
        values = np.random.default_rng(seed).uniform(0, 1, (1, 256, 256, 3)).astype(np.float32)
        for one, other in zip(results(plain, values), results(wide, values), strict=True):
            np.testing.assert_array_equal(one, other)


def test_every_slope_is_repeated_and_xnnpack_takes_all_of_the_network(face_model: Path) -> None:
    runner = interpreter(with_slopes_by_row(member(face_model, MESH)))
    shapes = {detail["index"]: tuple(detail["shape"]) for detail in runner.get_tensor_details()}
    operators = runner._get_ops_details()
    pairs = [[shapes[index] for index in each["inputs"]] for each in operators if each["op_name"] == "PRELU"]
    assert len(pairs) == WIDE and all(slopes == (1, *image[2:]) for image, slopes in pairs)
    assert sum(each["op_name"] == "DELEGATE" for each in operators) == 1


@pytest.mark.parametrize("name", [DETECTOR, BLENDSHAPES])
def test_networks_without_slopes_stay_as_they_are(face_model: Path, name: str) -> None:
    model = member(face_model, name)
    assert with_slopes_by_row(model) == model


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_never_raise(face_model: Path, seed: int) -> None:
    rng, model = np.random.default_rng(seed), member(face_model, MESH)
    for _ in range(10):
        damaged = bytearray(model[: rng.integers(0, len(model))] if rng.random() < 0.5 else model)
        for at in rng.integers(0, max(1, len(damaged)), 2000 if damaged else 0):
            damaged[at] = rng.integers(0, 256)
        assert len(with_slopes_by_row(bytes(damaged))) >= len(damaged)
    assert with_slopes_by_row(b"") == b""
