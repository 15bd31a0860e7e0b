"""A model of several files: fetched, taken in and told as one."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from fake_mirror import serving

from avatar import cli, weights
from avatar.engines.liveportrait.choice import choose_weights, how_to_get, sets
from avatar.errors import UsageError, WeightsError
from avatar.weights import manifest
from avatar.weights.stored import MISSING, READY

PARTS = {"first.pth": b"PK\x03\x04" + random.Random(1).randbytes(40_000), "second.pth": b"PK\x03\x04" + bytes(900)}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path / "models"))
    return tmp_path


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch, urls: dict[str, str], *, hashed: bool = True) -> None:
    """Put a set of two files, and another model, into a manifest of the test's own."""
    text = '[set.pair]\nabout = "two files"\n'
    for file, content in PARTS.items():
        text += f'\n[[model]]\nname = "pair-{file[:-4]}"\nset = "pair"\nfile = "{file}"\nabout = "a part"\n'
        text += f'licence = "MIT"\nkind = "liveportrait"\nshows = "faces"\nbytes = {len(content)}\n'
        text += f'sha256 = "{hashlib.sha256(content).hexdigest()}"\n' if hashed else ""
        text += f'urls = ["{urls.get(file, "http://127.0.0.1:9/" + file)}"]\n'
    text += '\n[[model]]\nname = "single"\nfile = "single.bin"\nabout = "alone"\nlicence = "MIT"\nkind = "fomm"\n'
    path = folder / "manifest.toml"
    path.write_text(text)
    monkeypatch.setattr(manifest, "MANIFEST", path)


def test_all_parts_are_fetched_with_one_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[int, int | None]] = []
    with serving(PARTS["first.pth"]) as one, serving(PARTS["second.pth"]) as two:
        enter(folder, monkeypatch, {"first.pth": one.url("good"), "second.pth": two.url("good")})
        place = weights.pull("pair", lambda have, total: counted.append((have, total)))
    assert {path.name: path.read_bytes() for path in place.glob("*.pth")} == PARTS
    whole = sum(map(len, PARTS.values()))
    assert place == folder / "models" / "pair" and counted[-1] == (whole, whole)
    assert [have for have, _ in counted] == sorted(have for have, _ in counted)
    assert weights.set_folder("pair") == place and choose_weights("pair") == place


def test_it_is_one_line_for_who_chooses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(folder, monkeypatch, {})
    pair, single = weights.list_choices()
    assert (pair.weight.name, pair.weight.about, pair.state) == ("pair", "two files", MISSING)
    assert pair.weight.bytes == sum(map(len, PARTS.values())) and pair.weight.downloadable
    assert single.weight.name == "single"
    for name, content in PARTS.items():
        (folder / name).write_bytes(content)
    weights.import_file("pair", folder)
    assert weights.list_choices()[0].state == READY


def test_a_folder_laid_out_as_the_authors_is_taken_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(folder, monkeypatch, {}, hashed=False)
    (folder / "theirs" / "base_models").mkdir(parents=True)
    for name, content in PARTS.items():
        (folder / "theirs" / "base_models" / name).write_bytes(content)
    assert cli.main(["models", "import", "pair", str(folder / "theirs")]) == 0
    said = capsys.readouterr().out
    assert said.count("remembered") == 2 and choose_weights("pair").name == "pair"
    (folder / "theirs" / "base_models" / "first.pth").unlink()
    with pytest.raises(WeightsError, match=r"lacks first\.pth"):
        weights.import_set("pair", folder / "theirs")
    with pytest.raises(WeightsError, match="not named as a part"):
        weights.import_set("pair", folder / "manifest.toml")


def test_a_part_that_is_wrong_stays_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(folder, monkeypatch, {})
    for name in PARTS:
        (folder / name).write_bytes(PARTS["first.pth"][:-10])  # half a download
    with pytest.raises(WeightsError, match="bytes instead of"):
        weights.import_set("pair", folder)
    assert not list((folder / "models").rglob("*.pth"))


def test_without_weights_the_message_names_both_commands_size_and_licence() -> None:
    with pytest.raises(WeightsError, match="is missing") as refused:
        choose_weights(None)
    said = refused.value.remedy
    for part in ("models pull liveportrait (522 MB, MIT)", "models import liveportrait FOLDER"):
        assert part in said
    assert "liveportrait_animals" in how_to_get("liveportrait-animals")
    with pytest.raises(WeightsError, match="no such folder"):
        choose_weights("nowhere")
    with pytest.raises(UsageError, match="no model called"):
        weights.members("nowhere")


def test_the_manifest_knows_the_five_files_of_each_set() -> None:
    from avatar.liveportrait.checkpoint import FILES

    known = sets()
    assert list(known) == ["liveportrait", "liveportrait-animals"]
    for parts in known.values():
        assert {Path(part.file).stem for part in parts} == set(FILES)
    assert sum(part.bytes or 0 for part in known["liveportrait"]) == 522_320_239
    assert all(part.downloadable for part in known["liveportrait"])
