"""The steps of the set-up: each is shown with its duration and can be repeated after an interruption."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from avatar.bootstrap import uv
from avatar.bootstrap.causes import explain, is_final
from avatar.bootstrap.environment import Environment, base_python
from avatar.bootstrap.installer import run_logged
from avatar.bootstrap.lock import file_lock
from avatar.errors import SetupError


@dataclass(frozen=True)
class Step:
    """One step of the set-up."""

    title: str
    do: Callable[[], None]


def prepare(environment: Environment, *, with_models: bool = True) -> None:
    """Complete the environment; safe to call from several processes at once.

    Raises:
        SetupError: a step failed; with a remedy. The next call resumes from there.
        FileNotFoundError: this copy of Masque lacks a requirements file.
    """
    environment.missing()  # so that a copy without requirements files fails before an environment is created
    try:
        environment.work.mkdir(exist_ok=True)
        with file_lock(environment.work / "lock", on_wait=lambda: _say("Another start is at it: waiting ...")) as lock:
            os.set_inheritable(lock, True)  # a pip that outlives this process blocks the next start until it ends
            if not environment.is_ready():
                _perform(_steps(environment, with_models))
    except FileNotFoundError:
        raise  # a file of this copy is missing, which the environment did not cause
    except OSError as error:
        raise explain(str(error), environment) from error


def _steps(environment: Environment, with_models: bool) -> list[Step]:
    steps = []
    if not environment.is_usable():
        steps.append(Step(f"Make the environment {environment.folder}", lambda: _make(environment)))
    steps += [
        Step(f"Install {name}", functools.partial(_install, environment, name)) for name in environment.requirements
    ]
    if with_models:
        steps.append(Step("Fetch the face model", lambda: _fetch_models(environment)))
    return steps


def _perform(steps: list[Step]) -> None:
    _say("Masque sets itself up. This happens once, needs a network, and may take some minutes.")
    for number, step in enumerate(steps, start=1):
        _say(f"[{number}/{len(steps)}] {step.title} ...")
        began_s = time.monotonic()
        step.do()
        _say(f"[{number}/{len(steps)}] done in {time.monotonic() - began_s:.1f} s")


def _require_venv_module() -> None:
    """Check for the modules venv and ensurepip, which Debian and its derivatives package separately."""
    lacking = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if lacking:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetupError(
            f"This Python {version} lacks the module {lacking[0]}, which makes environments.",
            remedy=f"On Debian and Ubuntu: sudo apt install python{version}-venv - "
            "elsewhere install Python from https://www.python.org/downloads",
        )


def _make(environment: Environment) -> None:
    """Create the environment from scratch, replacing an incomplete one or one of another Python."""
    _require_venv_module()
    _remove(environment)
    environment.marker.touch()
    command = environment.make_command or (base_python(), "-m", "venv")
    code, said = run_logged([*command, str(environment.folder)], environment.log, append=False)
    if code != 0:
        raise explain(said, environment)


def _remove(environment: Environment) -> None:
    folder = environment.folder
    if folder.is_symlink() or (folder.is_dir() and any(folder.iterdir()) and not _is_environment(folder)):
        raise SetupError(f"{folder} is not an environment that Masque made.", remedy="Move it away and start again.")
    if folder.exists():
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise SetupError(
                f"The half-made environment {folder} cannot be removed ({error.strerror}).",
                remedy="Close every running Masque, delete that folder and start again.",
            ) from error


def _is_environment(folder: Path) -> bool:
    """Return whether a folder looks like an environment; after a kill, only empty folders and pyvenv.cfg may exist."""
    return (folder / "pyvenv.cfg").exists() or {path.name for path in folder.iterdir()} <= {
        "bin", "include", "lib", "lib64", "Include", "Lib", "Scripts",
    }  # fmt: skip


def _install(environment: Environment, name: str) -> None:
    """Install one requirements file, preferably by uv. The marker is removed once the environment is complete."""
    if name not in environment.missing():
        return
    environment.marker.touch()
    if not _install_by_uv(environment, name):
        _install_by_pip(environment, name)
    environment.record(name)
    environment.marker.unlink(missing_ok=True)


def _install_by_uv(environment: Environment, name: str) -> bool:
    """Install a requirements file by uv; False if it changed nothing and pip should be tried.

    Raises:
        SetupError: pip would fail too, or uv left partly installed packages, which pip would treat as complete.
    """
    if environment.without_uv.exists() or os.environ.get("MASQUE_INSTALLER") == "pip":
        return False
    program = uv.fetch(environment)
    variables = uv.settings(environment) if program is not None else None
    if program is None or variables is None:
        return False
    code, said = run_logged(uv.install_command(program, environment, name), environment.log, variables=variables)
    if code == 0:
        return True
    untouched, final = uv.left_untouched(said), is_final(said)
    if untouched and not final:
        _say("uv did not manage to install that; pip tries.")
        return False
    if untouched:
        environment.marker.unlink(missing_ok=True)
    if not final:
        environment.without_uv.touch()
    raise explain(said, environment)


def _install_by_pip(environment: Environment, name: str) -> None:
    command = [str(environment.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    code, said = run_logged([*command, "--requirement", str(environment.root / name)], environment.log)
    if code == 0:
        return
    if "Installing collected packages" not in said:  # it failed before changing anything
        environment.marker.unlink(missing_ok=True)
    raise explain(said, environment)


def _fetch_models(environment: Environment) -> None:
    command = [str(environment.python), str(environment.root / "run.py"), "--no-setup", "models", "pull"]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=dict(os.environ))
    if done.returncode != 0:
        raise SetupError(
            "Everything is installed but the face model.",
            remedy="The reason stands above; the next start tries again.",
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
