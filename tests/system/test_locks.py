"""Locks between processes: held, waited for, released by death, and done without where a file system has none."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import filelock
import pytest
from places import ROOT

from avatar.bootstrap import lock as setup_lock
from avatar.system import locks

Lock = Callable[..., AbstractContextManager[object]]
_HOLD = """
import sys
from pathlib import Path
from avatar.system.locks import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that holds `tmp_path/lock` until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path / "lock")],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_lock_that_another_process_holds_is_waited_for(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    told: list[str] = []

    def told_to_wait() -> None:
        told.append("waiting")
        holder.communicate()  # it ends, and the lock with it

    with locks.file_lock(tmp_path / "lock", on_wait=told_to_wait):
        assert told == ["waiting"] and holder.returncode == 0
    with locks.free_lock(tmp_path / "lock"):
        pass


def test_a_killed_holder_leaves_a_free_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(BlockingIOError), locks.free_lock(tmp_path / "lock"):
        pass
    holder.kill()
    holder.communicate()
    with locks.free_lock(tmp_path / "lock"):
        pass


def test_a_block_of_this_process_keeps_out_the_others(tmp_path: Path) -> None:
    entered = threading.Event()

    def enter() -> None:
        with locks.file_lock(tmp_path / "lock"):
            entered.set()

    with locks.free_lock(tmp_path / "lock"):
        with pytest.raises(BlockingIOError), locks.free_lock(tmp_path / "lock"):
            pass
        second = threading.Thread(target=enter)
        second.start()
        assert not entered.wait(0.3)
    second.join(timeout=10)
    assert entered.is_set()


def test_what_is_raised_inside_comes_out_and_the_lock_is_released(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="inside"), locks.file_lock(tmp_path / "lock"):
        raise OSError(errno.ENOLCK, "inside")
    with locks.free_lock(tmp_path / "lock"):
        pass


def test_a_lock_file_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for lock in (locks.file_lock, locks.free_lock):
        with pytest.raises(OSError), lock(tmp_path / "file" / "lock"):
            pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
@pytest.mark.parametrize("lock", [locks.file_lock, locks.free_lock, setup_lock.file_lock])
def test_a_file_system_without_locks_is_no_obstacle(
    lock: Lock, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no flock to fail")
    import fcntl

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(code, "no locks here")

    monkeypatch.setattr(fcntl, "flock", flock)
    for _ in range(2):  # a marker of the first, never removed, would block the second
        with lock(tmp_path / "lock"):
            pass
    with monkeypatch.context() as broken:
        broken.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "broken disk")))
        with pytest.raises(OSError, match="broken disk"), lock(tmp_path / "lock"):
            pass


def test_a_system_without_locks_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with locks.file_lock(tmp_path / "lock"), locks.free_lock(tmp_path / "lock"):
        pass
