"""Protection of files: no command overwrites its inputs, another of its results, or anything but a regular file."""

from __future__ import annotations

import json
import os
import queue
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avatar import cli
from avatar.errors import OutputError, UsageError
from avatar.images.load import save_png
from avatar.outputs.files.target import check_apart, check_target
from avatar.outputs.live.recording_target import check_recording
from avatar.reports.json_report import check_json_target, write_json
from avatar.system.atomic import part_path, replacing

Links = Callable[[Path, Path], None]
LINKS: list[Links] = [os.link, lambda there, link: link.symlink_to(there)]


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusals come before any model is needed."""
    monkeypatch.setattr(cli, "NEED_FACE_MODEL", set())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with what looks like a user's files; commands that read them would fail."""
    monkeypatch.chdir(tmp_path)
    for name in ("clip.mp4", "other.mp4", "me.masque", "recipe.yaml", "model.safetensors", "model.yaml"):
        (tmp_path / name).write_bytes(b"precious " + name.encode())
    save_png(tmp_path / "me.png", np.full((64, 48, 3), 90, np.uint8))
    return tmp_path


COMMANDS = [
    "live --camera clip.mp4 --record clip.mp4",
    "live --camera clip.mp4 --record ./sub/../clip.mp4",
    "live --camera clip.mp4 --avatar me.png --report clip.mp4",
    "live --camera idle --avatar me.png --report me.png",
    "live --camera idle --avatar me.png --record new.mp4 --report new.mp4",
    "live --camera idle --avatar me.png --record new.mp4 --report NEW.mp4",
    "live --camera idle --avatar me.png --engine fomm --model model.safetensors --report model.safetensors",
    "evaluate me.png clip.mp4 other.mp4 --json me.png",
    "evaluate me.png clip.mp4 other.mp4 --json clip.mp4",
    "evaluate me.png clip.mp4 other.mp4 --json other.mp4",
    "animate me.png clip.mp4 -o clip.mp4",
    "animate me.png idle -o model.safetensors.mp4 --engine fomm --model model.safetensors.mp4",
    "template me.masque -o me.masque",
    "template clip.mp4 -o linked.masque",
    "models convert model.safetensors -o model.safetensors",
    "bench --json me.png",
    "train recipe.yaml --pack runs/model.safetensors -o runs",
]


@pytest.mark.parametrize("words", COMMANDS)
def test_no_command_replaces_its_inputs_or_its_other_results(
    folder: Path, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "sub").mkdir()
    (folder / "linked.masque").symlink_to("clip.mp4")
    (folder / "model.safetensors.mp4").write_bytes(b"precious")
    shutil.copyfile(Path(cli.__file__).parents[1] / "recipes" / "face.yaml", folder / "recipe.yaml")
    before = _contents(folder)
    assert cli.main(words.split()) in (cli.FAILED, cli.WRONG_USE)
    said = capsys.readouterr().err
    assert any(
        phrase in said for phrase in ("is itself an input", "are the same file or folder", "is not a report", "already")
    ), said
    assert _contents(folder) == before


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("link", LINKS)
def test_links_count_as_what_they_point_to(folder: Path, link: Links) -> None:
    link(folder / "clip.mp4", folder / "linked.mp4")
    for output, given in (("linked.mp4", "clip.mp4"), ("clip.mp4", "linked.mp4")):
        with pytest.raises(UsageError, match="itself an input"):
            check_apart([folder / output], [folder / given])


def test_links_to_what_is_not_there_yet(folder: Path) -> None:
    (folder / "to.mp4").symlink_to("new.mp4")
    with pytest.raises(UsageError, match="same file or folder"):
        check_apart([folder / "to.mp4", folder / "new.mp4"], [])


def test_a_folder_of_frames_does_not_replace_the_folder_its_input_lies_in(folder: Path) -> None:
    frames = folder / "frames"
    frames.mkdir()
    portrait = frames / "000001.png"
    save_png(portrait, np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UsageError, match="itself an input"):
        check_target(frames, [portrait])
    assert portrait.exists()


def test_what_is_apart_is_taken(folder: Path) -> None:
    check_apart([folder / "a.mp4", folder / "a.json"], [folder / "clip.mp4", folder / "Clip.png", folder / "me.png"])
    check_apart([folder / "frames"], [folder / "frames 2" / "clip.mp4"])


def test_a_report_replaces_a_report_and_nothing_else(folder: Path) -> None:
    report = folder / "report.json"
    for before in ("", "{}", "[]"):
        report.write_text(before)
        check_json_target(report)
        write_json(report, {"a": 1})
    for other in ("me.png", "clip.mp4", "recipe.yaml"):
        with pytest.raises(UsageError, match="not a report"):
            check_json_target(folder / other)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_not_replaced(folder: Path) -> None:
    for name in ("pipe.mp4", "pipe.gif", "pipe"):
        os.mkfifo(folder / name)
        with pytest.raises(OutputError, match=r"(a device or a pipe|not a folder)"):
            check_target(folder / name, [])
        with pytest.raises(OSError, match="not a file"), replacing(folder / name) as part:
            part.write_bytes(b"")
    with pytest.raises(OutputError, match="a device or a pipe"):
        check_recording(folder / "pipe.mp4")
    assert sorted(path.name for path in folder.iterdir() if path.is_fifo()) == ["pipe", "pipe.gif", "pipe.mp4"]


@pytest.mark.timeout(30)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_report_can_go_into_a_pipe(folder: Path) -> None:
    pipe, read = folder / "pipe", queue.SimpleQueue[str]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.put(pipe.read_text()))
    reader.start()
    check_json_target(pipe)
    write_json(pipe, {"a": 1})
    assert json.loads(read.get(timeout=20)) == {"a": 1} and pipe.is_fifo()
    reader.join()


@pytest.mark.parametrize("name", ["n" * 251 + ".mp4", "名" * 83 + ".mp4", "é" * 125 + ".mp4"])
def test_a_name_as_long_as_the_disk_takes_can_be_written(tmp_path: Path, name: str) -> None:
    check_target(tmp_path / name, [])
    assert len(os.fsencode(part_path(tmp_path / name).name)) <= 255
    with replacing(tmp_path / name) as part:
        part.write_bytes(b"done")
    assert (tmp_path / name).read_bytes() == b"done"


LONG = "n" * 300
TOO_LONG = [
    f"live --camera {LONG} --avatar astronaut",
    f"live --camera idle --avatar {LONG}",
    f"live --camera idle --avatar astronaut --record {LONG}.mp4",
    f"live --camera idle --avatar astronaut --report {LONG}.json",
    f"live --camera idle --avatar astronaut --engine fomm --model {LONG}",
    f"animate {LONG} idle -o out.mp4",
    f"animate {LONG}.png idle -o out.mp4",
    f"animate me.png {LONG}.mp4 -o out.mp4",
    f"animate me.png idle -o {LONG}.mp4",
    f"animate me.png idle -o {LONG}",
    f"animate me.png idle -o {LONG}/out.mp4",
    f"animate me.png idle -o out.mp4 --engine fomm --model {LONG}.pth.tar",
    f"animate me.png idle -o out.mp4 --engine fomm --config {LONG}.yaml",
    f"template {LONG}.mp4 -o out.masque",
    f"template clip.mp4 -o {LONG}.masque",
    f"avatars add {LONG}.png",
    f"avatars add me.png --name {LONG}",
    f"avatars add me.png --marks {LONG}.toml",
    f"avatars check {LONG}",
    f"avatars remove {LONG}",
    f"avatars restore {LONG}",
    f"avatars confirm {LONG}",
    f"avatars change {LONG}",
    f"models pull {LONG}",
    f"models import vox {LONG}",
    f"models import {LONG} model.safetensors",
    f"models convert {LONG} -o out.safetensors",
    f"models convert model.safetensors -o {LONG}.safetensors",
    f"models export {LONG} -o out",
    f"models export model.safetensors -o {LONG}",
    f"verify {LONG}.mp4",
    f"evaluate {LONG} clip.mp4 other.mp4",
    f"evaluate me.png {LONG}.mp4 other.mp4",
    f"evaluate me.png clip.mp4 {LONG}.mp4",
    f"evaluate me.png clip.mp4 other.mp4 --json {LONG}.json",
    f"bench --json {LONG}.json",
    f"train {LONG}.yaml",
    f"train recipe.yaml --data {LONG}",
    f"train recipe.yaml --pack {LONG}",
    f"train recipe.yaml -o {LONG}",
]


@pytest.mark.parametrize("words", TOO_LONG)
def test_names_that_are_too_long_get_a_sentence(folder: Path, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words.split()) in (cli.FAILED, cli.WRONG_USE)
    said = capsys.readouterr().err
    assert "Internal error" not in said and "Traceback" not in said
    assert len(said.strip().splitlines()) >= 1


def test_a_report_does_not_replace_the_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = folder / "settings.toml"
    settings.write_text('[camera]\nsource = "idle"\n', encoding="utf-8")  # begins as a list in JSON does
    monkeypatch.setenv("MASQUE_SETTINGS", str(settings))
    (folder / "link.json").symlink_to(settings)
    for report in (settings, folder / "link.json"):
        with pytest.raises(UsageError, match="itself an input"):
            check_json_target(report)
    assert cli.main(["live", "--report", "link.json"]) == 2
    assert "idle" in settings.read_text(encoding="utf-8")


def test_a_recording_does_not_follow_a_link_to_something_else(folder: Path) -> None:
    (folder / "show.mp4").symlink_to("recipe.yaml")
    with pytest.raises(UsageError, match=r"recipe\.yaml, which does not end"):
        check_recording(folder / "show.mp4")
    assert cli.main(["live", "--camera", "idle", "--seconds", "0.2", "--record", "show.mp4"]) == 2
    assert (folder / "recipe.yaml").read_bytes() == b"precious recipe.yaml"
    (folder / "link.mp4").symlink_to("clip.mp4")
    check_recording(folder / "link.mp4")


@pytest.mark.timeout(60)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize(
    "words",
    [
        "models import vox pipe",
        "models convert pipe -o out.safetensors",
        "models export pipe -o out",
        "animate me.png idle -o out.mp4 --engine fomm --model pipe",
        "animate me.png pipe -o out.mp4",
        "template pipe -o out.masque",
        "verify pipe",
    ],
)
def test_a_pipe_as_input_is_not_waited_for(folder: Path, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(folder / "pipe")
    assert cli.main(words.split()) in (cli.FAILED, cli.WRONG_USE)
    assert "Internal error" not in capsys.readouterr().err
