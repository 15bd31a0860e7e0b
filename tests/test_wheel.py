"""The wheel: what is in it, what it asks for, and that it runs from any folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path

import pytest
from fakes import make_clip
from packaging.requirements import Requirement
from places import ROOT

from avatar.system.program import EXTRAS

pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")


def build(kind: str, source: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(target.glob("masque-*.whl" if kind == "wheel" else "masque-*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def member(wheel: Path, ending: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(ending))).decode()


# What is in it


def test_all_code_and_data_are_in_it_and_nothing_else(wheel: Path) -> None:
    here = {
        path.relative_to(ROOT).as_posix()
        for folder in ("avatar", "ui", "models")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc" and "bootstrap" not in path.parts
    }
    expected = {re.sub("^models/", "avatar/models/", name) for name in here}
    assert {name for name in names(wheel) if ".dist-info/" not in name} == expected
    assert {"avatar/py.typed", "ui/py.typed", "avatar/models/manifest.toml", "ui/look/translations/de.toml"} <= expected


def test_the_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", ROOT, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    source = next(path for path in tmp_path.iterdir() if path.is_dir())
    assert (source / "run.py").is_file() and (source / "tests" / "conftest.py").is_file()
    assert names(build("wheel", source, tmp_path / "again")) == names(wheel)


def test_the_command_is_the_one_that_run_py_runs(wheel: Path) -> None:
    entry = ConfigParser()
    entry.read_string(member(wheel, "entry_points.txt"))
    assert dict(entry["console_scripts"]) == {"masque": "ui.__main__:main"}


# What it asks for


def requirements(file: str) -> dict[str, list[Requirement]]:
    """What a requirements file asks for, by name."""
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        if text and not text.startswith("-r"):
            requirement = Requirement(text)
            found.setdefault(requirement.name.lower(), []).append(requirement)
    return found


def project() -> dict[str, list[Requirement]]:
    """What the wheel asks for, by extra; "" without any."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {"": table["dependencies"]} | table["optional-dependencies"]
    return {extra: [Requirement(text) for text in texts] for extra, texts in lists.items()}


def test_the_wheel_and_requirements_txt_name_the_same_packages() -> None:
    wheel = {each.name.lower() for each in (one for many in project().values() for one in many)}
    pinned, dev = requirements("requirements.txt"), requirements("requirements-dev.txt")
    assert set(pinned) - wheel == set()
    assert wheel - set(pinned) == {"onnx", "onnxscript", "ray"} and {"onnx", "onnxscript", "ray"} <= set(dev)


def test_every_pin_lies_within_the_wheel_s_range() -> None:
    pinned = requirements("requirements.txt") | requirements("requirements-dev.txt")
    for wanted in (one for many in project().values() for one in many):
        for other in pinned[wanted.name.lower()]:
            for pin in other.specifier:
                version = pin.version if pin.operator in ("==", ">=") else None
                assert version is None or wanted.specifier.contains(version), f"{wanted} and {other}"
            assert str(wanted.marker or "") == str(other.marker or ""), f"{wanted} and {other}"


def test_to_animate_takes_neither_torch_nor_qt() -> None:
    base = {each.name.lower() for each in project()[""]}
    assert not base & {"torch", "pyqt5", "onnxruntime-gpu", "onnxruntime", "face-alignment", "scikit-image"}


def test_the_remedies_name_extras_that_exist() -> None:
    assert set(EXTRAS.values()) <= set(project())


def test_the_wheel_s_own_list_is_that_of_the_project(wheel: Path) -> None:
    metadata = Parser().parsestr(member(wheel, "METADATA"))
    assert set(metadata.get_all("Provides-Extra", [])) == set(project()) - {""}
    assert metadata["Requires-Python"] == "<3.14,>=3.11" and metadata["License-Expression"] == "GPL-3.0-or-later"


# Installed

# What only extras bring, by the beginnings of its names in site-packages.
EXTRA = "pyqt5 pyvirtualcam sounddevice _sounddevice torch pyyaml yaml _yaml face_alignment onnx skimage scikit_image"


@pytest.fixture(scope="module")
def masque(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of an environment of its own, with the packages of this one but those that only extras bring."""
    if sys.platform == "win32":
        pytest.skip("links to the packages need a right that few have on Windows")
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    scripts = folder / "bin"
    command = [sys.executable, "-m", "pip", "--python", str(scripts / "python"), "install", "--quiet", "--no-deps"]
    subprocess.run([*command, "--no-index", "--disable-pip-version-check", str(wheel)], check=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    hidden = tuple(EXTRA.split())
    for root in (Path(path) for path in sys.path if Path(path).name in ("site-packages", "dist-packages")):
        for entry in root.iterdir():
            wanted = not entry.name.lower().startswith(hidden) and entry.suffix != ".pth"
            if wanted and not (site / entry.name).exists():
                (site / entry.name).symlink_to(entry)
    return scripts / "masque"


def run(masque: Path, folder: Path, *words: str, code: int = 0) -> str:
    """What it prints when it is started in a folder."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DISPLAY")}
    done = subprocess.run(
        [str(masque), *words], cwd=folder, env=own, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_it_runs_in_a_folder_that_has_other_packages_of_these_names(masque: Path, tmp_path: Path) -> None:
    for name in ("avatar", "ui", "models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')")
    assert run(masque, tmp_path, "--version").startswith("Masque ")
    listed = run(masque, tmp_path, "models", "list")
    assert "face-landmarker" in listed and "vox-adv" in listed
    told = run(masque, tmp_path, "--help")
    assert "usage: masque " in told and "run.py" not in told and "--no-setup" not in told
    assert {path.name for path in tmp_path.iterdir()} == {"avatar", "ui", "models"}


def test_it_animates_without_any_extra(masque: Path, face_model: Path, tmp_path: Path) -> None:
    run(masque, tmp_path, "animate", "rusty", "idle", "-o", "rusty.mp4", "--size", "128")
    assert [path.name for path in tmp_path.iterdir()] == ["rusty.mp4"]


@pytest.mark.parametrize(
    ("words", "package"),
    [("animate rusty clip.mp4 -o x.mp4 --engine fomm", "torch"), ("live --virtual-camera --seconds 1", "pyvirtualcam")],
)
def test_a_missing_extra_is_one_sentence_and_a_command(
    masque: Path, face_model: Path, tmp_path: Path, words: str, package: str
) -> None:
    make_clip(tmp_path / "clip.mp4")
    said = run(masque, tmp_path, *words.split(), code=1)
    assert f"needs the package {package}" in said and "Traceback" not in said
    assert f"{masque.parent}" in said and "-m pip install" in said and f'"{package}' in said


def test_the_window_without_qt_says_what_is_missing(masque: Path, tmp_path: Path) -> None:
    code = "from ui.start import start; start()"
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"QT_QPA_PLATFORM": "offscreen"}
    command = [str(masque.parent / "python"), "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, check=False)
    assert "SetupError: The window needs the package PyQt5" in done.stderr and '"pyqt5' in done.stderr


def test_the_tests_are_where_the_source_is(masque: Path, tmp_path: Path) -> None:
    assert "python3 run.py test" in run(masque, tmp_path, "test", code=1)
