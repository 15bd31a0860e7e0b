"""Trial of the graphics chip's driver in a child process: some crash the process that opens them.

`python -m avatar.engines.warp.graphics.trial` opens the chip and compiles the shader, as the program does after it. A
driver that passed is not tried again, unless the program did not survive opening it: so only a first start waits.
"""

from __future__ import annotations

import contextlib
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from avatar.engines.warp.graphics.chip import PACKAGE, NoChipError, find_chip
from avatar.system.installation import IMPORT_ROOT
from avatar.system.message import Message
from avatar.system.trial import become_child, can_try, run_trial

TIMEOUT_S = 30.0  # a driver may compile its own shaders at first


def child_command() -> list[str]:
    """Return the command that tries the driver."""
    return [sys.executable, "-m", "avatar.engines.warp.graphics.trial"]


def record_file() -> Path:
    """Return the file that says which driver passed."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("masque", appauthor=False)) / "graphics-driver.txt"


@contextlib.contextmanager
def survived() -> Iterator[None]:
    """Open the chip inside this; a trial comes first where none was passed.

    Raises:
        NoChipError: the trial crashed or hung.
    """
    record, key = record_file(), f"{_wgpu_version()} {platform.platform()} {platform.version()}"
    if _read(record) != key:
        check_driver()
    with contextlib.suppress(OSError):
        record.unlink(missing_ok=True)  # if this process does not survive, the next one tries again
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(key, encoding="utf-8")


def check_driver() -> None:
    """Open the chip in a child process; takes a second or two. Raises: NoChipError: that crashed or hung."""
    if not can_try():
        return
    trial = run_trial(child_command(), TIMEOUT_S, cwd=str(IMPORT_ROOT))
    if trial.failure:
        raise NoChipError(
            Message("The graphics chip cannot be used safely: a trial {reason}.", reason=trial.failure),
            remedy="Update the driver of its maker, or draw on the processor.",
        )


def _wgpu_version() -> str:
    return metadata.version(PACKAGE)


def _read(record: Path) -> str:
    try:
        return record.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def main() -> None:
    """Open the chip and compile the shader; errors are left to the program, which meets them too."""
    from avatar.engines.warp.graphics.renderer import GraphicsRenderer

    become_child(TIMEOUT_S + 5.0)  # the program, while it lives, ends it first
    try:
        GraphicsRenderer(find_chip()).close()
    except NoChipError:
        return


if __name__ == "__main__":
    main()
