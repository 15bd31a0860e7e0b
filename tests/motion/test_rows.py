"""Large tables: kept in an unnamed file, read in parts, with memory independent of the clip's length."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from motion_samples import make_face, swaying_track
from places import ROOT

from avatar.errors import OutputError
from avatar.motion import reference, rows
from avatar.motion.reference import choose_reference, neutral_frame
from avatar.motion.rows import Rows, chunks, is_mapped, let_go
from avatar.motion.template import load_template, save_template

SUPPORT = ROOT / "tests" / "support"


@pytest.mark.parametrize("spill", [0, 100, 10**6])
def test_rows_come_back_as_they_went_in(monkeypatch: pytest.MonkeyPatch, spill: int) -> None:
    monkeypatch.setattr(rows, "SPILL_BYTES", spill)
    values = np.random.default_rng(1).normal(size=(50, 4, 3)).astype(np.float32)
    table = Rows((4, 3))
    for part in chunks(len(values), 7):
        table.extend(values[part])
    array = table.finish()
    assert len(table) == 50 and is_mapped(array) is (spill < 2400) and not array.flags.writeable
    let_go(array)
    np.testing.assert_array_equal(array, values)


def test_a_long_table_leaves_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rows, "SPILL_BYTES", 0)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    table = Rows((2,))
    table.extend(np.zeros((9, 2)))
    assert os.name == "nt" or not list(tmp_path.iterdir())  # it has no name even while it is written
    array = table.finish()
    del table, array
    assert not list(tmp_path.iterdir())


def test_rows_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="rows of shape"):
        Rows((3,)).extend(np.zeros((2, 4)))


def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("no /dev/full: a disk that is always full")
    monkeypatch.setattr(rows, "SPILL_BYTES", 0)
    full = Path("/dev/full").open("w+b", buffering=0)  # noqa: SIM115 - as a temporary file would be
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: full)
    with pytest.raises(OutputError, match=r"cannot be kept in .*: No space left") as caught:
        Rows((2,)).extend(np.zeros((9, 2)))
    assert "Free some room" in caught.value.remedy


def test_what_is_chosen_does_not_depend_on_how_it_is_cut_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    track, portrait = swaying_track(80), make_face(yaw=4, mouthSmile=0.2)
    costs: list[np.ndarray] = []
    argmin = np.argmin
    monkeypatch.setattr(np, "argmin", lambda values: costs.append(values.copy()) or argmin(values))

    def look(name: str) -> tuple[int, int, bytes]:
        save_template(track, tmp_path / name)
        return choose_reference(track, portrait), neutral_frame(track), (tmp_path / name).read_bytes()

    whole = look("whole.masque")
    monkeypatch.setattr(rows, "SPILL_BYTES", 0)
    monkeypatch.setattr(chunks, "__defaults__", (7,))
    monkeypatch.setattr(reference, "_COLUMN_BYTES", 3 * 8 * len(track))
    assert look("parts.masque") == whole
    for one, other in zip(costs[:2], costs[2:], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        load_template(tmp_path / "parts.masque").landmarks, load_template(tmp_path / "whole.masque").landmarks
    )


def test_memory_does_not_grow_with_the_length_of_a_clip(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="no resource module: memory is not measured here")

    def most_bytes(frames: int) -> int:
        command = [sys.executable, str(SUPPORT / "long_motion.py"), str(frames), str(tmp_path / f"{frames}.masque")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(SUPPORT)])}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
        return int(done.stdout.split()[0])

    assert most_bytes(10_000) - most_bytes(4_000) < 12 * 2**20  # 2 kB a frame; the motion itself takes 6
