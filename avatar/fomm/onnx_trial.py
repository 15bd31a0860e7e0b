"""Trial runs of ONNX files in a child process: the size of a file does not bound the memory it takes to open.

`python -m avatar.fomm.onnx_trial BYTES FILE ...` exits with 0 if all files can be opened and run within BYTES of
memory; otherwise its last line of output is ONNX Runtime's error.
"""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from avatar.errors import WeightsError
from avatar.system.foreign_text import first_line, shown
from avatar.system.installation import IMPORT_ROOT
from avatar.system.limits import MAX_WEIGHT_BYTES, MEMORY_BYTES, TIME_S, megabytes
from avatar.system.message import Message

_REFUSED = 3  # exit code
_REMEDY = "Write it again: python run.py models export NAME -o FOLDER"


def check_onnx(paths: Sequence[Path]) -> None:
    """Open files and run them once in a child process with limits; results are cached for unchanged files.

    Raises:
        WeightsError: a file is missing, too large or not ONNX, or exceeds the memory or time budget.
    """
    for path in paths:
        try:
            size = path.stat().st_size
        except OSError as error:
            raise WeightsError(Message("{path} is missing.", path=path), remedy=_REMEDY) from error
        if size > MAX_WEIGHT_BYTES:
            what = Message(
                "{path} has {size}; the limit is {limit}.",
                path=path,
                size=megabytes(size),
                limit=megabytes(MAX_WEIGHT_BYTES),
            )
            raise WeightsError(what, remedy="Export a smaller model.")
    _try(tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths))


@functools.lru_cache(maxsize=16)
def _try(files: tuple[tuple[str, int, int], ...]) -> None:
    paths = [path for path, *_ in files]
    command = [sys.executable, "-m", "avatar.fomm.onnx_trial", str(MEMORY_BYTES), *paths]
    limits = Message("{size} of memory or {seconds:.0f} s", size=megabytes(MEMORY_BYTES), seconds=TIME_S)
    try:
        done = subprocess.run(
            command, cwd=IMPORT_ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise WeightsError(
            Message("{name} takes more than {limits}.", name=Path(paths[0]).parent, limits=limits), remedy=_REMEDY
        ) from error
    if done.returncode == 0:
        return
    name, _, why = done.stdout.decode("utf-8", "replace").strip().rpartition("\n")[2].partition("\t")
    if done.returncode != _REFUSED or "alloc" in why:  # killed; "bad allocation", "Failed to allocate"
        raise WeightsError(
            Message("{name} takes more than {limits}.", name=name or Path(paths[0]).parent, limits=limits),
            remedy=_REMEDY,
        )
    raise WeightsError(
        Message("{name} cannot be opened by ONNX Runtime: {why}.", name=name, why=shown(why, 200)), remedy=_REMEDY
    )


def main(most_bytes: int, paths: Sequence[str]) -> int:
    """Open and run files one after the other with at most `most_bytes` of additional memory."""
    import numpy as np
    import onnxruntime

    _limit_memory(most_bytes)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # "fatal": errors are raised anyway
    for path in paths:
        try:
            session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
            # Run it as well: constants that do not fit in memory are deferred silently.
            session.run(None, {each.name: np.ones(each.shape, np.float32) for each in session.get_inputs()})
        except Exception as error:  # ONNX Runtime has exception classes of its own
            print(f"{path}\t{first_line(error)}", flush=True)
            return _REFUSED
    return 0


def _limit_memory(more_bytes: int) -> None:
    """Limit memory to the current use plus `more_bytes`. Does nothing on Windows, where only time is limited."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
