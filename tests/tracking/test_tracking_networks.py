"""The two runtimes give the same results, and either may be absent."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import WeightsError
from avatar.tracking import FaceTracker, networks
from avatar.tracking.networks import OUTPUTS, open_networks
from avatar.tracking.quiet import without_notes


def test_both_runtimes_agree(face_model: Path) -> None:
    litert, opencv = (open_networks(face_model, runtime=name) for name in ("litert", "opencv"))
    rng = np.random.default_rng(0)
    inputs = {
        "detector": rng.uniform(-1, 1, (1, 128, 128, 3)),
        "mesh": rng.uniform(0, 1, (1, 256, 256, 3)),
        "blendshapes": rng.uniform(100, 300, (1, 146, 2)),
    }
    for name, values in inputs.items():
        ours = getattr(litert, name).run(values.astype(np.float32))
        theirs = getattr(opencv, name).run(values.astype(np.float32))
        for one, other in zip(ours, theirs, strict=True):
            assert one.size == other.size
            np.testing.assert_allclose(one.reshape(-1), other.reshape(-1), atol=2e-3 * max(1, np.abs(one).max()))


def test_tracker_works_without_litert(face_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skimage import data

    (expected,) = FaceTracker(face_model).detect(data.astronaut())
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)  # importing it now fails
    assert open_networks(face_model).runtime == "opencv"
    (face,) = FaceTracker(face_model).detect(data.astronaut())
    np.testing.assert_allclose(face.landmarks, expected.landmarks, atol=0.1)
    np.testing.assert_allclose(face.blendshapes, expected.blendshapes, atol=0.01)


def test_litert_is_taken_where_it_is_installed(face_model: Path) -> None:
    pytest.importorskip("ai_edge_litert.interpreter")
    assert open_networks(face_model).runtime == "litert"


def test_loading_says_nothing_on_the_terminal(face_model: Path) -> None:
    pytest.importorskip("ai_edge_litert.interpreter")
    load = "import sys, pathlib; from avatar.tracking import FaceTracker; FaceTracker(pathlib.Path(sys.argv[1]))"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", load, str(face_model)], cwd=root, capture_output=True, check=True)
    assert done.stderr == b""  # LiteRT announces its first network of a process


def test_only_notes_are_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with without_notes():
        os.write(2, b"INFO: chatter\nERROR: worth knowing\n")
    os.write(2, b"INFO: of somebody else\n")
    assert capfd.readouterr().err == "ERROR: worth knowing\nINFO: of somebody else\n"


def test_notes_are_held_back_after_an_error_too(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), without_notes():
        os.write(2, b"INFO: chatter\nwhy it failed\n")
        raise RuntimeError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "why it failed\nafter\n"


def changed(face_model: Path, path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The face model with other members."""
    with zipfile.ZipFile(face_model) as old, zipfile.ZipFile(path, "w") as new:
        for name in OUTPUTS:
            new.writestr(name, change(name, old.read(name)))
    return path


def zeroed(name: str, data: bytes) -> bytes:
    """The same network in form, most of its weights gone: it loads, and fails when it is run."""
    start, end = len(data) * 3 // 10, len(data) * 8 // 10
    return data[:start] + bytes(end - start) + data[end:]


@pytest.mark.parametrize("runtime", ["litert", "opencv"])
@pytest.mark.parametrize("kind", ["zeros", "zeros inside", "swapped", "empty"])
def test_a_face_model_that_cannot_run_is_refused_at_once(
    face_model: Path, tmp_path: Path, runtime: str, kind: str
) -> None:
    if runtime == "litert":
        pytest.importorskip("ai_edge_litert.interpreter")
    with zipfile.ZipFile(face_model) as archive:
        others = [*[*OUTPUTS][1:], *[*OUTPUTS][:1]]
        after = {name: archive.read(other) for name, other in zip(OUTPUTS, others, strict=True)}
    changes: dict[str, Callable[[str, bytes], bytes]] = {
        "zeros": lambda name, data: bytes(len(data)),
        "zeros inside": zeroed,
        "swapped": lambda name, data: after[name],
        "empty": lambda name, data: b"",
    }
    path = changed(face_model, tmp_path / "face.task", changes[kind])
    with pytest.raises(WeightsError, match="cannot be loaded") as caught:
        open_networks(path, runtime=runtime)
    assert "models pull face-landmarker" in caught.value.remedy and "\n" not in caught.value.what


def test_a_member_over_the_budget(face_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "MAX_FACE_NETWORK_BYTES", 1_000_000)
    with pytest.raises(WeightsError, match="holds more than 1 MB"):
        open_networks(face_model)
