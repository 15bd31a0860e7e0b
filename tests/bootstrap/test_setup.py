"""Set-up: the first run, a second run, interrupted runs, obstacles, and two runs at once."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import ROOT

from avatar import bootstrap
from avatar.bootstrap import uv
from avatar.bootstrap.causes import explain
from avatar.bootstrap.environment import Environment, base_python, python_tag
from avatar.bootstrap.steps import prepare
from avatar.errors import SetupError

MAKE = (base_python(), str(ROOT / "tests" / "support" / "fake_venv.py"))
FETCHES_MODEL = "import os, sys; open(os.environ['FAKE_PIP_CALLS'], 'a').write(' '.join(sys.argv[1:]) + '\\n')"


BOTH = pytest.mark.parametrize(
    "clone",
    ["pip", pytest.param("uv", marks=pytest.mark.skipif(sys.platform == "win32", reason="a script stands for uv"))],
    indirect=True,
)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A fresh clone with a run.py, a pip and, where BOTH asks for it, a uv that only note what is asked of them."""
    root = tmp_path / "clone"
    root.mkdir()
    (root / "requirements.txt").write_text("torch==2.13.0\n")
    (root / "requirements-dev.txt").write_text("-r requirements.txt\npytest\n")
    (root / "run.py").write_text(FETCHES_MODEL)
    monkeypatch.setenv("FAKE_PIP_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("FAKE_PIP", json.dumps({"uv": {}} if getattr(request, "param", "") == "uv" else {}))
    return root


def environment(clone: Path, *, test: bool = False) -> Environment:
    files = ("requirements.txt", "requirements-dev.txt") if test else ("requirements.txt",)
    return Environment(clone, files, make_command=MAKE)


def order(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    """Tell the installer what to do: uv, where there is one."""
    monkeypatch.setenv("FAKE_PIP", json.dumps({"uv": fields} if "uv" in json.loads(os.environ["FAKE_PIP"]) else fields))


def order_all(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    monkeypatch.setenv("FAKE_PIP", json.dumps(fields))


def calls(clone: Path) -> list[str]:
    """The last word of each thing that pip, uv or run.py was asked: a requirements file, or "pull"."""
    path = clone.parent / "calls"
    return [Path(line.split()[-1]).name for line in path.read_text().splitlines()] if path.exists() else []


# The way it should go


@BOTH
def test_a_fresh_clone_is_set_up_step_by_step(clone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    place = environment(clone, test=True)
    assert not place.is_ready()
    prepare(place)
    assert place.is_ready() and place.python.exists() and not place.marker.exists()
    assert calls(clone) == ["requirements.txt", "requirements-dev.txt", "pull"]
    told = capfd.readouterr().err
    files = ["Install requirements.txt", "Install requirements-dev.txt"]
    titles = ["Make the environment", *files, "Fetch the face model"]
    for number, what in enumerate(titles, start=1):
        assert f"[{number}/4] {what}" in told and f"[{number}/4] done in " in told
    assert "$ " in place.log.read_text() and "pip install" in place.log.read_text()


@BOTH
def test_a_second_start_does_nothing(clone: Path) -> None:
    prepare(environment(clone))
    before = calls(clone)
    began_s = time.monotonic()
    assert environment(clone).is_ready()
    assert time.monotonic() - began_s < 0.5
    prepare(environment(clone))
    assert calls(clone) == before


@BOTH
def test_tests_need_more_than_the_program(clone: Path) -> None:
    prepare(environment(clone))
    assert not environment(clone, test=True).is_ready()
    prepare(environment(clone, test=True))
    assert calls(clone) == ["requirements.txt", "pull", "requirements-dev.txt", "pull"]
    assert environment(clone).is_ready() and environment(clone, test=True).is_ready()


@BOTH
def test_a_changed_requirement_is_installed_into_what_is_there(clone: Path) -> None:
    prepare(environment(clone))
    (environment(clone).folder / "kept").touch()
    (clone / "requirements.txt").write_text("torch==2.14.0\n")
    assert not environment(clone).is_ready()
    prepare(environment(clone))
    assert calls(clone).count("requirements.txt") == 2 and (environment(clone).folder / "kept").exists()


@BOTH
def test_an_environment_of_another_python_is_made_anew(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(environment(clone))
    (environment(clone).folder / "gone").touch()
    for module in ("avatar.bootstrap.environment", "avatar.bootstrap.steps"):
        monkeypatch.setattr(f"{module}.python_tag", lambda: "cpython 3.99 elsewhere", raising=False)
    place = environment(clone)
    assert not place.is_ready() and not place.is_usable()
    prepare(place, with_models=False)
    assert not (place.folder / "gone").exists() and place.is_ready()


def test_the_tag_names_what_compiled_packages_depend_on() -> None:
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in python_tag() and sys.platform in python_tag()


# Cut short, and repaired by the next start


@BOTH
def test_a_killed_installation_is_made_anew(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = clone / "gate"
    order(monkeypatch, say="Installing collected packages: torch", wait_for=str(gate))
    process = start_elsewhere(clone)
    wait_for(lambda: calls(clone) == ["requirements.txt"])
    process.kill()
    process.wait(timeout=10)
    place = environment(clone)
    assert place.marker.exists() and not place.is_ready() and not place.is_usable()
    (place.folder / "half-made").touch()
    order(monkeypatch)
    following = start_elsewhere(clone)
    assert following.stdout is not None and "waiting" in following.stdout.readline()  # for the pip that lives on
    gate.touch()
    said, _ = following.communicate(timeout=20)
    process.communicate(timeout=10)
    assert following.returncode == 0, said
    assert place.is_ready() and not (place.folder / "half-made").exists()


@pytest.mark.parametrize("left", ["nothing", "folders", "no-python", "dead-python"])
def test_a_half_made_environment_is_made_anew(clone: Path, left: str) -> None:
    place = environment(clone)
    (place.folder / "bin").mkdir(parents=True)
    (place.folder / "lib").mkdir()
    if left in {"no-python", "dead-python"}:
        (place.folder / "pyvenv.cfg").touch()
    if left == "dead-python":
        place.python.write_text("#!/bin/sh\nexit 1\n")
        place.python.chmod(0o755)
    if left == "nothing":
        (place.folder / "bin").rmdir()
        (place.folder / "lib").rmdir()
    prepare(place)
    assert place.is_ready()


def test_a_folder_that_is_not_ours_is_left_alone(clone: Path) -> None:
    place = environment(clone)
    place.folder.mkdir()
    (place.folder / "thesis.txt").touch()
    with pytest.raises(SetupError, match=r"not an environment.*Move it away"):
        prepare(place)
    assert (place.folder / "thesis.txt").exists()


@pytest.mark.parametrize(("said", "whole"), [("Collecting torch", True), ("Installing collected packages: x", False)])
def test_after_a_failure_only_what_was_begun_is_done_again(
    clone: Path, monkeypatch: pytest.MonkeyPatch, said: str, whole: bool
) -> None:
    place = environment(clone)
    order(monkeypatch, say=said + "\nERROR: the sky fell", code=1)
    with pytest.raises(SetupError, match="the sky fell"):
        prepare(place)
    assert not place.is_ready() and place.is_usable() == whole
    order(monkeypatch)
    prepare(place)
    assert place.is_ready()


def test_a_model_that_cannot_be_fetched_fails_the_start_but_not_the_installation(clone: Path) -> None:
    (clone / "run.py").write_text("import sys; print('no network', file=sys.stderr); sys.exit(1)")
    place = environment(clone)
    with pytest.raises(SetupError, match=r"Everything is installed but the face model\. .*next start tries again"):
        prepare(place)
    assert place.is_ready()
    fresh = environment(clone)
    fresh.marker.touch()
    prepare(fresh, with_models=False)  # the way to `models import`
    assert fresh.is_ready()


# uv, and when pip installs instead

KNOWN = "error: Request failed after 3 retries in 7.2s\n  cause: Connection refused (os error 111)"
FULL = "error: Failed to install: x.whl (x==1)\n  cause: failed to copy: No space left on device (os error 28)"


def installers(clone: Path) -> list[str]:
    return [line.split()[0] for line in (clone.parent / "calls").read_text().splitlines() if "requirements" in line]


def test_uv_installs_where_it_can_be_had(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order_all(monkeypatch, uv={})
    prepare(environment(clone))
    call = (clone.parent / "calls").read_text().splitlines()[0]
    assert call.startswith(f"uv pip install --no-config --python {environment(clone).python} ")


@pytest.mark.parametrize("orders", [{}, {"uv": {"broken": 1}}, {"uv": {}, "config": "global.pre='1'"}])
def test_pip_installs_where_uv_does_not_come_or_run_or_understand(
    clone: Path, monkeypatch: pytest.MonkeyPatch, orders: dict[str, object]
) -> None:
    order_all(monkeypatch, **orders)
    prepare(environment(clone))
    assert installers(clone) == ["pip"] and environment(clone).is_ready()


def test_pip_installs_where_that_is_wished(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order_all(monkeypatch, uv={})
    monkeypatch.setenv("MASQUE_INSTALLER", "pip")
    prepare(environment(clone))
    assert installers(clone) == ["pip"]


def test_pip_tries_what_uv_failed_at_before_it_changed_anything(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    order_all(monkeypatch, uv={"say": KNOWN, "code": 2})
    prepare(environment(clone))
    assert installers(clone) == ["uv", "pip"] and environment(clone).is_ready()
    assert "pip tries" in capfd.readouterr().err


@pytest.mark.parametrize("said", ["Prepared 40 packages in 1s", "error: Failed to install: x.whl (x==1)\n  cause: odd"])
def test_after_uv_failed_in_the_middle_pip_makes_the_next_environment(
    clone: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """A package that uv copied in part looks whole to pip."""
    order_all(monkeypatch, uv={"say": said, "code": -9})
    with pytest.raises(SetupError, match="Start again"):
        prepare(environment(clone))
    place = environment(clone)
    assert installers(clone) == ["uv"] and not place.is_usable()
    (place.folder / "half-made").touch()
    prepare(place)
    assert installers(clone) == ["uv", "pip"] and place.is_ready() and not (place.folder / "half-made").exists()


def test_a_full_disk_is_told_at_once(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order_all(monkeypatch, uv={"say": FULL, "code": 2})
    with pytest.raises(SetupError, match="disk is full"):
        prepare(environment(clone))
    assert installers(clone) == ["uv"]
    order_all(monkeypatch, uv={})
    prepare(environment(clone))
    assert installers(clone) == ["uv", "uv"] and environment(clone).is_ready()


SETTINGS = {
    "global.index-url='https://u:p@mirror/simple'": {"UV_DEFAULT_INDEX": "https://u:p@mirror/simple"},
    ":env:.index-url='https://b'\nglobal.index-url='https://a'": {"UV_DEFAULT_INDEX": "https://b"},
    "install.find-links='/a /b'": {"UV_FIND_LINKS": "/a,/b"},
    "global.extra-index-url='https://a\\nhttps://b'": {
        "UV_INDEX": "https://a https://b", "UV_INDEX_STRATEGY": "unsafe-best-match",
    },
    ":env:.cert='/c.pem'\n:env:.proxy='http://x:1'": {
        "SSL_CERT_FILE": "/c.pem", "HTTP_PROXY": "http://x:1", "HTTPS_PROXY": "http://x:1",
    },
    ":env:.cache-dir='/cache'": {"UV_CACHE_DIR": str(Path("/cache") / "uv")},
    "global.no_cache_dir='true'": {"UV_NO_CACHE": "1"},
    "global.no-index='no'\nglobal.quiet='1'\nfreeze.all='1'\nglobal.timeout='60'": {"UV_HTTP_TIMEOUT": "60"},
    "global.constraint='/c.txt'\n:env:.config-file='/dev/null'": {"UV_CONSTRAINT": "/c.txt"},
    "global.no-index='1'": None,
    "global.only-binary=':all:'": None,
    "install.something-new='1'": None,
    "": {},
}  # fmt: skip


@pytest.mark.parametrize("said", SETTINGS)
def test_pip_s_settings_count_for_uv_or_pip_installs(said: str) -> None:
    assert uv.translated(uv.configured(said)) == SETTINGS[said]


def test_uv_is_told_what_pip_is_told(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "7")
    order_all(monkeypatch, uv={}, config="global.index-url='https://mirror/simple'\nglobal.retries='1'")
    prepare(environment(clone))
    said = environment(clone).log.read_text()
    assert "UV_DEFAULT_INDEX=https://mirror/simple" in said and "UV_HTTP_RETRIES=7" in said


# Two at once

PREPARE = """
import sys, pathlib
from avatar.bootstrap.environment import Environment
from avatar.bootstrap.steps import prepare
prepare(Environment(pathlib.Path(sys.argv[1]), ("requirements.txt",), make_command=tuple(sys.argv[2:])))
"""


def start_elsewhere(clone: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE, str(clone), *MAKE], env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def wait_for(condition: object) -> None:
    deadline_s = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)


@BOTH
def test_two_starts_take_turns(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = clone / "gate"
    order(monkeypatch, say="Installing collected packages: torch", wait_for=str(gate))
    first = start_elsewhere(clone)
    wait_for(lambda: calls(clone) == ["requirements.txt"])
    second = start_elsewhere(clone)
    assert second.stdout is not None and "waiting" in second.stdout.readline()
    gate.touch()
    for process in (first, second):
        said, _ = process.communicate(timeout=20)
        assert process.returncode == 0, said
    assert calls(clone) == ["requirements.txt", "pull"] and environment(clone).is_ready()


# What stands in the way, in one sentence

RETRY = "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by '{0}': /simple/torch/\n"
FORBIDDEN = "ERROR: HTTP error 403 while getting x\nERROR: 403 Client Error: Forbidden for url: https://index/"
NONE = (
    "ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: none)\n"
    "ERROR: No matching distribution found for torch==2.13.0\n"
)
SOME = NONE.replace("none", "2.14.0, 2.14.1")
OUTPUTS = {
    "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device": "disk is full",
    "ERROR: Could not install packages due to an OSError: [WinError 112] There is not enough space on the disk": "disk",
    RETRY.format("ProxyError('x', OSError('Tunnel connection failed: 407 Proxy'))") + NONE: "proxy",
    RETRY.format("NameResolutionError: Failed to resolve 'x' (Name or service not known)") + NONE: "network",
    RETRY.format("NewConnectionError: [Errno 111] Connection refused") + NONE: "did not answer",
    RETRY.format("ReadTimeoutError: Read timed out.") + SOME: "no torch==2.13.0 for this Python",
    NONE: "no torch==2.13.0 for this Python",
    SOME: "no torch==2.13.0 for this Python",
    FORBIDDEN: "refused access",
    "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'))": "trusted",
    "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.": "damaged",
    "zipfile.BadZipFile: Bad magic number for central directory": "damaged",
    "Downloading torch-2.13.0.whl (407 kB)\nERROR: ResolutionImpossible: for help": "do not fit together",
    "OSError: [Errno 13] Permission denied: '/x/.venv/lib'": "cannot be written",
    "The virtual environment was not created successfully because ensurepip is not available.": "pip is missing",
    "ERROR: Failed building wheel for PyQt5-sip": "no ready-made build",
    "ERROR: something new": "The set-up failed: something new",
    "": "stopped from outside",
}


@pytest.mark.parametrize("said", OUTPUTS)
def test_what_pip_says_becomes_a_sentence_and_a_remedy(tmp_path: Path, said: str) -> None:
    place = Environment(tmp_path, ("requirements.txt",))
    place.work.mkdir()
    place.log.touch()
    error = explain(said, place)
    assert OUTPUTS[said] in error.what and "{" not in error.what
    assert len(error.remedy) > 20 and str(place.log) in error.remedy


def test_a_python_without_ensurepip_names_the_package(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(SetupError, match=r"lacks the module ensurepip.*sudo apt install python3\.\d+-venv"):
        prepare(environment(clone))


def test_a_clone_that_cannot_be_written_says_so(clone: Path) -> None:
    (clone / ".setup").touch()  # a file where a folder must be: in the way whoever runs the tests
    with pytest.raises(SetupError, match=r"The set-up failed: .*File exists"):
        prepare(environment(clone))


def test_a_real_pip_without_an_index_ends_in_one_sentence(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The whole way, from run.py's side: a real environment, a real pip, a port where nobody listens."""
    for name, value in {"INDEX_URL": "http://127.0.0.1:9/simple", "RETRIES": "1", "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    for name in ("PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    (clone / "requirements.txt").write_text("a-package-that-is-nowhere==1.0\n")
    assert bootstrap.start(["animate"], root=clone) == 1
    told = capfd.readouterr().err
    assert "The package index did not answer" in told and "start again" in told and "pip.log" in told
    assert "Traceback" not in told
    assert Environment(clone, ("requirements.txt",)).is_usable()  # nothing was changed yet: the next start goes on


def test_a_clone_without_its_requirements_says_so(clone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (clone / "requirements.txt").unlink()
    assert bootstrap.start(["animate"], root=clone) == 1
    assert "lacks" in capfd.readouterr().err


# Handing over


def test_run_py_hands_its_words_to_the_environment(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = environment(clone)
    prepare(place)
    handed: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "_hand_over", lambda command: handed.append(command) or 7)
    assert bootstrap.start(["--debug", "animate", "a b.png"], root=clone) == 7
    assert handed == [[str(place.python), str(clone / "run.py"), "--no-setup", "--debug", "animate", "a b.png"]]


@pytest.mark.parametrize("words", ["--help", "--version", "--no-setup models list", "models list --no-setup"])
def test_some_starts_need_no_environment(clone: Path, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert bootstrap.start(words.split(), root=clone) == 0
    assert not (clone / ".venv").exists() and capfd.readouterr().out


def test_a_variable_stands_for_no_setup(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASQUE_NO_SETUP", "1")
    assert bootstrap.start(["models", "list"], root=clone) == 0
    assert not (clone / ".venv").exists()


# run.py before anything is there


def test_run_py_can_be_read_by_old_pythons() -> None:
    """Its version check is of no use to a Python that fails to parse the file."""
    tree = ast.parse((ROOT / "run.py").read_text(), feature_version=(3, 4))
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr))]
    imports = [node.names[0].name for node in tree.body if isinstance(node, ast.Import)]
    assert imports == ["sys"]


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 6, 15), (3, 10, 13), (3, 14, 0)])
def test_other_pythons_are_told_which_to_install(version: tuple[int, int, int]) -> None:
    text = ".".join(map(str, version))
    code = f"import runpy, sys; sys.version_info, sys.version = {version}, {text + ' (main)'!r}; "
    code += f"runpy.run_path({str(ROOT / 'run.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("Masque needs Python 3.11, 3.12 or 3.13")
    assert f"this is Python {text}." in done.stderr and "Traceback" not in done.stderr


def test_the_set_up_uses_the_standard_library_only() -> None:
    """Run without any installed package: -I -S leaves site-packages out."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import avatar.bootstrap, avatar.bootstrap.steps, avatar.cli"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_requirements_pin_what_must_be_pinned() -> None:
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    assert "torch==2.13.0" in lines and "PyQt5==5.15.11" in lines
    assert not any(line.startswith(("opencv-python-headless", "opencv-contrib", "PyQt5-Qt5")) for line in lines)
    assert (ROOT / "requirements-dev.txt").read_text().count("-r requirements.txt") == 1
