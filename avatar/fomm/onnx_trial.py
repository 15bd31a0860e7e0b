"""Tries ONNX files in a process of its own first: what opening one costs cannot be told from its size.

`python -m avatar.fomm.onnx_trial BYTES FILE ...` ends with 0 if all can be opened and run within so much memory; what
ONNX Runtime says otherwise is its last line of output.
"""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from avatar.errors import WeightsError
from avatar.foreign_text import first_line, shown
from avatar.limits import MAX_WEIGHT_BYTES, MEMORY_BYTES, TIME_S, megabytes

_REFUSED = 3  # exit code
_REMEDY = "Write it again: python run.py models export NAME -o FOLDER"


def check_onnx(paths: Sequence[Path]) -> None:
    """Open files and run them once in a child process with limits; unchanged ones are not tried again.

    Raises:
        WeightsError: one is missing, too large, no ONNX, or takes more memory or time than the budgets.
    """
    for path in paths:
        try:
            size = path.stat().st_size
        except OSError as error:
            raise WeightsError(f"{path} is missing.", remedy=_REMEDY) from error
        if size > MAX_WEIGHT_BYTES:
            what = f"{path} has {megabytes(size)}; the limit is {megabytes(MAX_WEIGHT_BYTES)}."
            raise WeightsError(what, remedy="Export a smaller model.")
    _try(tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths))


@functools.lru_cache(maxsize=16)
def _try(files: tuple[tuple[str, int, int], ...]) -> None:
    paths = [path for path, *_ in files]
    command = [sys.executable, "-m", "avatar.fomm.onnx_trial", str(MEMORY_BYTES), *paths]
    limits = f"{megabytes(MEMORY_BYTES)} of memory or {TIME_S:.0f} s"
    folder = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise WeightsError(f"{Path(paths[0]).parent} takes more than {limits}.", remedy=_REMEDY) from error
    if done.returncode == 0:
        return
    name, _, why = done.stdout.decode("utf-8", "replace").strip().rpartition("\n")[2].partition("\t")
    if done.returncode != _REFUSED or "alloc" in why:  # killed; "bad allocation", "Failed to allocate"
        raise WeightsError(f"{name or Path(paths[0]).parent} takes more than {limits}.", remedy=_REMEDY)
    raise WeightsError(f"{name} cannot be opened by ONNX Runtime: {shown(why, 200)}.", remedy=_REMEDY)


def main(most_bytes: int, paths: Sequence[str]) -> int:
    """Open and run files one after the other within the memory that is allowed from here on."""
    import numpy as np
    import onnxruntime

    _limit_memory(most_bytes)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # of ONNX Runtime's levels: nothing but what it raises
    for path in paths:
        try:
            session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
            # Run too: constants that do not fit are left for later without a word.
            session.run(None, {each.name: np.ones(each.shape, np.float32) for each in session.get_inputs()})
        except Exception as error:  # of ONNX Runtime's own kinds
            print(f"{path}\t{first_line(error)}", flush=True)
            return _REFUSED
    return 0


def _limit_memory(more_bytes: int) -> None:
    """As much as is used now, and so much more. Where the system has no such limit (Windows), time alone is limited."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
