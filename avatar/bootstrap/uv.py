"""uv, which installs several times faster than pip: its installation, and the translation of pip's settings.

uv reads neither pip's configuration nor PIP_* variables. These are translated, because they select the package index;
if a setting has no counterpart in uv, pip is used.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from avatar.bootstrap.environment import Environment
from avatar.bootstrap.installer import run_logged

REQUIREMENT = "uv==0.13.9"
_QUICK = ["--no-input", "--disable-pip-version-check", "--only-binary", ":all:", "--no-deps", "--retries", "1"]
_SECTIONS = ("global", "install", ":env:")  # sections of pip's configuration, in ascending precedence


def fetch(environment: Environment) -> Path | None:
    """Return the path of uv in the environment, installed by pip if missing; None if that fails."""
    program = environment.python.with_name("uv.exe" if sys.platform == "win32" else "uv")
    if not program.exists():
        command = [str(environment.python), "-m", "pip", "install", *_QUICK, REQUIREMENT]
        code, _ = run_logged(command, environment.log)
        if code != 0 or not program.exists():
            return None
    try:  # an installed uv may still not run on this system
        answer = subprocess.run([str(program), "--version"], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        return None
    return program if answer.returncode == 0 else None


def install_command(program: Path, environment: Environment, name: str) -> list[str]:
    """Return the command that installs a requirements file; uv's own configuration files are ignored."""
    wanted = ["--requirement", str(environment.root / name)]
    return [str(program), "pip", "install", "--no-config", "--python", str(environment.python), *wanted]


def left_untouched(said: str) -> bool:
    """Return whether uv reports that it failed before changing anything; a killed one reports nothing."""
    return "error: " in said and not any(word in said for word in ("Prepared ", "nstalled ", "Failed to install"))


def settings(environment: Environment) -> dict[str, str] | None:
    """Return pip's configuration as variables for uv; None if a setting has no counterpart.

    Variables of uv that are set already have precedence.
    """
    command = [str(environment.python), "-m", "pip", "config", "list"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    variables = translated(configured(answer.stdout)) if answer.returncode == 0 else None
    if variables is None:
        return None
    return {name: value for name, value in variables.items() if not (name.startswith("UV_") and name in os.environ)}


def configured(listed: str) -> dict[str, str]:
    """Parse the output of `pip config list`, section.name='value', for the sections that installing reads."""
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in found:
            found[section][name.replace("_", "-")] = str(ast.literal_eval(value))
    return {name: value for section in _SECTIONS for name, value in found[section].items()}


def translated(options: Mapping[str, str]) -> dict[str, str] | None:
    """Translate options of pip to variables of uv; None if one of them has no counterpart."""
    variables: dict[str, str] = {}
    for name, value in options.items():
        if name in _OF_NO_MATTER or not value.strip() or _is_default(name, value):
            continue
        if name not in _WORDS:
            return None
        variables |= _WORDS[name](value)
    return variables


def _is_default(name: str, value: str) -> bool:
    return name in _SWITCHES and value.strip().lower() in ("0", "false", "no", "off")


def _as(variable: str, separator: str = " ") -> Callable[[str], dict[str, str]]:
    """Return a translation to one variable, whose values pip separates by blanks and line breaks."""
    return lambda value: {variable: separator.join(value.split())}


def _cache(folder: str) -> dict[str, str]:
    return {"UV_CACHE_DIR": os.path.join(os.path.expanduser(folder), "uv")}  # noqa: PTH111, PTH118 - nothing else does


def _proxy(address: str) -> dict[str, str]:
    return {"HTTP_PROXY": address, "HTTPS_PROXY": address}


def _extra(indexes: str) -> dict[str, str]:
    """Translate additional indexes: like pip, uv should take the newest version from all of them."""
    return {"UV_INDEX": " ".join(indexes.split()), "UV_INDEX_STRATEGY": "unsafe-best-match"}


_WORDS: dict[str, Callable[[str], dict[str, str]]] = {
    "index-url": _as("UV_DEFAULT_INDEX"),
    "extra-index-url": _extra,
    "find-links": _as("UV_FIND_LINKS", ","),
    "constraint": _as("UV_CONSTRAINT"),
    "trusted-host": _as("UV_INSECURE_HOST"),
    "cert": _as("SSL_CERT_FILE"),
    "client-cert": _as("SSL_CLIENT_CERT"),
    "proxy": _proxy,
    "timeout": _as("UV_HTTP_TIMEOUT"),
    "default-timeout": _as("UV_HTTP_TIMEOUT"),
    "retries": _as("UV_HTTP_RETRIES"),
    "cache-dir": _cache,
    "no-cache-dir": lambda _: {"UV_NO_CACHE": "1"},
}
_SWITCHES = {"no-index", "pre", "prefer-binary", "require-hashes", "no-cache-dir", "no-deps"}  # without effect if off
_OF_NO_MATTER = {
    "user", "break-system-packages", "require-virtualenv", "disable-pip-version-check", "no-input", "progress-bar",
    "no-color", "quiet", "verbose", "log", "root-user-action", "no-warn-script-location", "no-warn-conflicts",
    "no-compile", "exists-action", "config-file", "no-python-version-warning",
}  # fmt: skip
