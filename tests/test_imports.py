"""Import rules: one direction, and heavy packages imported only when needed."""

from __future__ import annotations

import ast
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

import avatar

MODULES = sorted(module.name for module in pkgutil.walk_packages(avatar.__path__, "avatar."))
# Written in torch: loaded when used.
NETWORKS = [
    name
    for name in MODULES
    if name.startswith(("avatar.fomm.", "avatar.liveportrait.", "avatar.training."))
    or name.endswith(("_torch", ".fomm.speed", ".state_files"))
]
HEAVY = {
    "PyQt5", "torch", "av", "ai_edge_litert", "face_alignment", "onnxruntime", "skimage", "pyvirtualcam", "c2pa",
    "cryptography", "sounddevice",
}  # fmt: skip


def imported_names(path: Path) -> set[str]:
    """First parts of everything a file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
    return names


def loaded_by(*modules: str) -> set[str]:
    """Packages that a fresh process holds after importing these."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_one_module_imports_cv2() -> None:
    files = [path for folder in ("avatar", "ui", "tests") for path in (ROOT / folder).rglob("*.py")]
    assert [path for path in files if "cv2" in imported_names(path)] == [ROOT / "avatar" / "cv.py"]


def test_the_avatar_package_never_imports_qt_or_the_ui() -> None:
    assert [path for path in (ROOT / "avatar").rglob("*.py") if imported_names(path) & {"PyQt5", "ui"}] == []


def test_importing_everything_loads_nothing_heavy() -> None:
    assert loaded_by(*(name for name in MODULES if name not in NETWORKS)) & HEAVY == set()


def test_the_networks_load_torch_and_nothing_else_that_is_heavy() -> None:
    assert loaded_by(*NETWORKS) & HEAVY == {"torch"}


@pytest.mark.parametrize(
    "module",
    ["avatar.fomm", "avatar.fomm.config", "avatar.fomm.layout", "avatar.motion", "avatar.training.synthetic"],
)
def test_configs_and_keypoints_wait_for_torch(module: str) -> None:
    assert "torch" not in loaded_by(module)


@pytest.mark.parametrize("module", ["avatar.cli", "avatar.bootstrap", "avatar.weights", "avatar.commands.models"])
def test_the_way_to_a_command_loads_no_numbers_either(module: str) -> None:
    assert loaded_by(module) & (HEAVY | {"numpy", "cv2", "scipy"}) == set()


@pytest.mark.parametrize(("given", "expected"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3")])
def test_numpy_computes_on_one_thread_unless_told_otherwise(given: dict[str, str], expected: str) -> None:
    code = "import sys, avatar, os; print(os.environ['OPENBLAS_NUM_THREADS'], 'numpy' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"} | given
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    assert done.stdout.split() == [expected, "False"]


def test_importing_cv2_leaves_qt_alone() -> None:
    code = "import os; before = dict(os.environ); import avatar.cv; print(sorted(set(os.environ) - set(before)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


LOADERS = """
import sys, threading
from avatar.system.media import load_av
sys.setswitchinterval(1e-5)
gate, failed = threading.Barrier(3), []
def load(statement):
    gate.wait()
    try:
        {first}
        exec(statement)
    except Exception as error:
        failed.append(error)
parts = "import av", "from av.error import InvalidDataError", "from av.video.reformatter import VideoReformatter"
threads = [threading.Thread(target=load, args=[part]) for part in parts]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(failed)
"""


def test_threads_that_need_parts_of_pyav_at_the_same_time_all_get_them() -> None:
    """With `pass` in its place they fail nearly always: each finds the other's half unfinished."""
    code = LOADERS.format(first="load_av()")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
