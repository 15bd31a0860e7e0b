"""Names and values from files and drivers are printed quoted, short and on one line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import plain

from avatar import cli
from avatar.errors import ImageError
from avatar.images.load import save_png
from avatar.library.library import Library
from avatar.live.events import AvatarRefused, SourceBack
from avatar.live.statistics import LiveStatistics
from avatar.live.terminal import Terminal, status_line
from avatar.sources import camera_list
from avatar.sources.base import SourceFacts
from avatar.sources.camera_list import CameraInfo, list_cameras
from tools.evaluate.table import Pair, markdown, write_tables

FORGED = "done.\nUnchanged since it was signed.\x1b[2K\x1b]0;x\x07\u202e"
HOSTILE = FORGED + "x" * 300_000


def check(text: str, *, most: int = 3000) -> None:
    assert all(line.isprintable() and len(line) <= most for line in text.split("\n")), text[:500]
    assert not any(line.startswith("Unchanged") for line in text.split("\n"))


def checkpoint(path: Path, name: str) -> list[str]:
    import torch

    parts = {"generator": {name: torch.zeros(1)}, "kp_detector": {name: "no tensor"}}
    torch.save(parts, path)
    return ["models", "convert", str(path), "-o", str(path.with_suffix(".out.safetensors"))]


def other_checkpoint(path: Path, name: str) -> list[str]:
    import torch

    torch.save({name: 1}, path)
    return ["models", "convert", str(path), "-o", str(path.with_suffix(".out.safetensors"))]


def config(path: Path, name: str) -> list[str]:
    sections = {"common_params": {"num_kp": name}, "kp_detector_params": {}, "generator_params": {}}
    path.with_suffix(".yaml").write_text(json.dumps({"model_params": sections}))
    words = checkpoint(path, "x")
    return [*words, "--config", str(path.with_suffix(".yaml"))]


def recipe(path: Path, name: str) -> list[str]:
    path.write_text(json.dumps({"model_params": None, name: 1}))
    return ["train", str(path), "-o", str(path.with_name("out"))]


def recipe_value(path: Path, name: str) -> list[str]:
    path.write_text(f"data: {{hold_out_every: {json.dumps(name)}}}")
    return ["train", str(path), "-o", str(path.with_name("out"))]


def huge_number(path: Path, name: str) -> list[str]:
    path.write_text(f"data: {{crop: 0x{'f' * 20_000}}}")  # Python refuses to print so many digits
    return ["train", str(path), "-o", str(path.with_name("out"))]


def settings(path: Path, name: str) -> list[str]:
    Path(os.environ["MASQUE_SETTINGS"]).write_text(f"threads = {json.dumps(name)}")
    return ["live", "--camera", "idle"]


def marks(path: Path, name: str) -> list[str]:
    save_png(path.with_suffix(".png"), plain(3))
    path.write_text("".join(f"{key} = [1, 2]\n" for key in (json.dumps(name), "chin")))
    return ["avatars", "add", str(path.with_suffix(".png")), "--marks", str(path)]


def template(path: Path, name: str) -> list[str]:
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(1, np.float32)}, path, {"version": name.replace("/", "")})
    masque = path.rename(path.with_suffix(".masque"))
    return ["animate", "astronaut", str(masque), "-o", str(path.with_name("out.mp4"))]


def avatar_name(path: Path, name: str) -> list[str]:
    return ["avatars", "remove", name]


READERS = [
    checkpoint, other_checkpoint, config, recipe, recipe_value, huge_number, settings, marks, template, avatar_name,
]  # fmt: skip


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_errors_quote_what_a_file_says(
    reader: Callable[[Path, str], list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(cli, "_fetch_needed", lambda: None)
    words = reader(tmp_path / "file.bin", HOSTILE)
    assert cli.main(words) in (1, 2)
    said = capfd.readouterr()
    check(said.out)
    check(said.err)
    assert "Internal error" not in said.err and "Traceback" not in said.err, said.err[:2000]
    assert len(said.err.strip().split("\n")) <= 3, "what happened and what to do, whatever the file holds"


def test_the_list_of_avatars_shows_notes_as_notes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = Library().folder / "Odd"
    folder.mkdir(parents=True)
    save_png(folder / "picture.png", plain(3))
    (folder / "avatar.toml").write_text(
        f'picture = "picture.png"\nsource = {json.dumps(HOSTILE)}\nlicence = {json.dumps(FORGED)}\n'
    )
    if sys.platform != "win32":
        hand_made = Library().folder / FORGED.replace("/", "")
        hand_made.mkdir()
        save_png(hand_made / "picture.png", plain(4))
    assert cli.main(["avatars", "list"]) == 0
    said = capfd.readouterr().out
    check(said)
    assert sum(line.startswith(("Odd", "done.")) for line in said.split("\n")) >= 1


def test_cameras_are_called_by_visible_names(monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = [CameraInfo("usb-1", HOSTILE, 0), CameraInfo("usb-2", HOSTILE, 2), CameraInfo("usb-3", "Webcam", 4)]
    monkeypatch.setattr(camera_list, "_ask", lambda: cameras)
    found = list_cameras()
    assert len({camera.name for camera in found}) == 3 and found[2].name == "Webcam"
    assert all(camera.name.isprintable() and len(camera.name) < 100 for camera in found)


def test_a_live_session_prints_names_on_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.tell(SourceBack(HOSTILE, SourceFacts(640, 480, 30.0)))
    terminal.tell(AvatarRefused(HOSTILE, ImageError(f"{HOSTILE} is damaged.")))
    said = capfd.readouterr().err
    check(said)
    assert len(said.strip().split("\n")) == 2
    for statistics in (LiveStatistics(avatar=HOSTILE), LiveStatistics(avatar=HOSTILE, drawn=3)):
        assert status_line(statistics).isprintable() and len(status_line(statistics)) < 300


def test_tables_of_measurements_keep_their_columns(tmp_path: Path) -> None:
    pair = Pair("clip | a\n| b", os.fsdecode(b"caf\xe9"), failure=HOSTILE)
    check(markdown([pair, replace(pair, clip="x")], []))
    check(pair.line())
    row = next(line for line in markdown([pair], []).split("\n") if "caf" in line)
    assert row.replace("\\|", "").count("|") == 4
    write_tables(tmp_path, [pair])  # a name that is no UTF-8 is written all the same
    assert json.loads((tmp_path / "grid.json").read_text(encoding="utf-8"))["pairs"][0]["portrait"].startswith("caf")


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a\nb", "", "x" * 300])
def test_a_recipe_cannot_choose_a_folder_elsewhere(name: str) -> None:
    from avatar.fomm.config import VOX
    from avatar.training.config import TrainConfig

    with pytest.raises(ValueError, match="not one that a folder can have"):
        TrainConfig(name, VOX)
    assert TrainConfig("masque-face 2.0", VOX).name == "masque-face 2.0"
