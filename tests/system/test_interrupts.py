"""Ctrl-C at any moment: a message and an exit code, never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT

from avatar.live.stopping import stop_signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one program")

OUR_PACKAGE = "avatar"  # -X importtime names it, indented by depth, once it is imported


@pytest.fixture(autouse=True)
def allow_interrupts() -> Iterator[None]:
    """Do not hand on to children that they are ignored, as they are in a background job."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted(words: list[str], delay_s: float) -> tuple[int, str]:
    """Start Masque, press Ctrl-C so long after it has reached our code, and return exit code and standard error."""
    command = [sys.executable, "-X", "importtime", "run.py", "--no-setup", *words]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if line.rpartition("|")[2].strip() == OUR_PACKAGE:
                break
        else:
            pytest.fail("The program ended before it reached our code.")
        time.sleep(delay_s)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("words", [["--help"], ["doctor"], ["live", "--camera", "idle", "--seconds", "5"]])
@pytest.mark.parametrize("delay_ms", [0, 3, 10, 30, 60, 100, 200, 350, 600, 1000])
def test_ctrl_c_while_it_starts_is_a_word_and_an_exit_code(words: list[str], delay_ms: int, face_model: Path) -> None:
    code, said = interrupted(words, delay_ms / 1000)
    assert "Traceback" not in said and "terminate" not in said, said[-2000:]
    assert (code == 1 and "Stopped" in said) or (code == 0 and words != ["doctor"]), (code, said[-2000:])


def child(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run some lines of Python that find modules in `folder`, too."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


BEGIN = """
import os, signal, sys, time
from avatar.system import interrupts
interrupts.end_at_once()
interrupts.begin_work()
"""


def test_an_import_is_finished_before_the_interrupt_is_raised(tmp_path: Path) -> None:
    (tmp_path / "package.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nsum(range(1000))\nwhole = True\n"
    )
    lines = "try:\n    import package\n    time.sleep(30)\nexcept KeyboardInterrupt:\n    print(package.whole)\n"
    done = child(BEGIN + lines, tmp_path)
    assert done.returncode == 0 and done.stdout == "True\n", done.stderr


@pytest.mark.parametrize("again", ["os.kill(os.getpid(), signal.SIGINT)", ""])
def test_an_import_without_end_does_not_keep_it(again: str, tmp_path: Path) -> None:
    lines = ["import os, signal, time", "os.kill(os.getpid(), signal.SIGINT)", again, "while True: time.sleep(0.01)"]
    (tmp_path / "package.py").write_text("\n".join(lines))
    done = child(BEGIN + "import package", tmp_path)
    assert done.returncode == 1 and done.stderr == "Stopped.\n"


def test_an_interrupt_is_kept_for_the_program_that_takes_over(tmp_path: Path) -> None:
    takes_over = "import time; from avatar.system import interrupts; interrupts.end_at_once(); time.sleep(30)"
    lines = f"""
interrupts.hold()
os.kill(os.getpid(), signal.SIGINT)
os.execv(sys.executable, [sys.executable, "-c", {takes_over!r}])
"""
    done = child(BEGIN + lines, tmp_path)
    assert done.returncode == 1 and done.stderr == "Stopped.\n"


def test_after_the_work_an_interrupt_changes_nothing(tmp_path: Path) -> None:
    done = child(BEGIN + "interrupts.end_with(7)\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)", tmp_path)
    assert done.returncode == 7 and done.stderr == ""


def test_a_background_job_goes_on_ignoring_interrupts(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" + BEGIN
    done = child(code + "os.kill(os.getpid(), signal.SIGINT)\nprint('on')", tmp_path)
    assert done.returncode == 0 and done.stdout == "on\n"


def test_a_program_that_only_uses_the_commands_keeps_its_own_handling() -> None:
    from avatar import cli
    from avatar.system import interrupts

    before = signal.getsignal(signal.SIGINT)
    assert cli.main(["--version"]) == 0
    interrupts.end_with(0)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_session_under_nohup_outlives_its_terminal() -> None:
    """What `nohup` and background jobs of scripts ignore stays ignored; SIGTERM still ends the session."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGHUP, signal.SIGINT)}
    try:
        with stop_signals() as stopped:
            for number in before:
                os.kill(os.getpid(), number)
            assert not stopped.wait(0.1)
            os.kill(os.getpid(), signal.SIGTERM)
            assert stopped.wait(5)
        assert all(signal.getsignal(number) is signal.SIG_IGN for number in before)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_leaving_does_not_wait_for_a_thread_and_loses_no_word(tmp_path: Path) -> None:
    code = "import threading, time; from avatar.system import interrupts\n"
    code += "threading.Thread(target=time.sleep, args=(600,)).start()\nprint('said', end=''); interrupts.leave(3)"
    done = child(code, tmp_path)
    assert (done.returncode, done.stdout) == (3, "said")
