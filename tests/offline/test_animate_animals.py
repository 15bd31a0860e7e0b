"""Animals: weights of their own by import, and a face marked by hand, which gives the crop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import NO_FACE, FakeTracker, plain
from liveportrait_samples import tiny_model, write_files
from motion_samples import make_face
from PIL import Image

from avatar import cli, weights
from avatar.engines.liveportrait.framing import square_of_portrait
from avatar.errors import WeightsError
from avatar.images.load import load_image
from avatar.library.importing import Choice
from avatar.library.library import Library
from avatar.offline.animate import animate
from avatar.offline.job import AnimateOptions, Tools
from avatar.tracking.marks import NEEDED, fit_marks
from avatar.weights import manifest

ANIMALS = "liveportrait-animals"


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Random weights in the layout of the authors' animal folder; no hash is known of any of them."""
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path / "models"))
    known = manifest.MANIFEST.read_text(encoding="utf-8")
    stitching = known.index(f'name = "{ANIMALS}-stitching"')
    lines = known[stitching:].splitlines(keepends=True)
    (tmp_path / "manifest.toml").write_text(
        known[:stitching] + "".join(line for line in lines if not line.startswith(("bytes", "sha256"))), "utf-8"
    )
    for beside in manifest.MANIFEST.parent.glob("*.safetensors"):
        (tmp_path / beside.name).symlink_to(beside)
    monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "manifest.toml")
    flat, folder = tmp_path / "flat", tmp_path / "liveportrait_animals"
    write_files(tiny_model(seed=4), flat)
    for file in flat.iterdir():
        place = folder / ("retargeting_models" if file.stem.startswith("stitching") else "base_models_v1.1")
        place.mkdir(parents=True, exist_ok=True)
        file.rename(place / file.name)
    return folder


def test_imported_animal_weights_move_a_marked_face(
    theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WeightsError) as missing:
        animate(AnimateOptions("rusty", tmp_path / "clip", tmp_path / "out", "liveportrait", ANIMALS))
    assert f"models import {ANIMALS} FOLDER" in missing.value.remedy
    assert cli.main(["models", "import", ANIMALS, str(theirs)]) == 0
    assert capsys.readouterr().out.count("Its hash was not known; remembered") == 5
    assert weights.set_folder(ANIMALS) == tmp_path / "models" / ANIMALS

    cat = np.random.default_rng(0).integers(0, NO_FACE, (400, 480, 3)).astype(np.uint8)  # no face to the tracker
    Image.fromarray(cat).save(tmp_path / "cat.png")
    truth = make_face(scale=60, centre=(200, 180), roll=15)
    marks = {name: (float(x), float(y)) for name in NEEDED for x, y, _ in [truth.landmarks[NEEDED[name][0]]]}
    Library().add(tmp_path / "cat.png", detect=lambda _: [], choice=Choice(marks=marks))
    (tmp_path / "clip").mkdir()
    for number, level in enumerate((128, 152, 176)):
        Image.fromarray(plain(level, (160, 120))).save(tmp_path / "clip" / f"{number}.png")
    result = animate(
        AnimateOptions("cat", tmp_path / "clip", tmp_path / "out", "liveportrait", ANIMALS),
        tools=Tools(open_tracker=FakeTracker),  # type: ignore[arg-type]
    )
    assert not any("No face was found" in note for note in result.notes)
    frames = [load_image(path).astype(int) for path in sorted((tmp_path / "out").glob("*.png"))]
    assert len(frames) == 3 and np.abs(frames[2] - frames[0]).max() > 3

    square = square_of_portrait(fit_marks(marks, 480, 400).landmarks)
    changed = np.argwhere((np.abs(frames[0] - cat) > 0).any(axis=2))  # (y, x)
    cos, sin = np.cos(square.angle_rad), np.sin(square.angle_rad)
    at = (changed[:, ::-1] - (square.x, square.y)) @ np.array([[cos, -sin], [sin, cos]]) / square.side
    assert (
        len(changed) > 5000 and np.abs(at).max() < 0.51 and square.angle_rad == pytest.approx(np.radians(15), abs=0.05)
    )
