"""Removal of files left behind by killed jobs at the next start; files of others, or in use, are kept."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from avatar.cli import main
from avatar.doctor import leftovers
from avatar.system import atomic
from avatar.system.limits import STALE_S as DAY


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("MASQUE_AVATARS", str(tmp_path / "avatars"))
    monkeypatch.setenv("MASQUE_SETTINGS", str(tmp_path / "config" / "settings.toml"))
    return tmp_path


def leave(path: Path, age_s: float) -> Path:
    """A file of that age."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half of it")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


HEX = "0123456789abcdef"
DRAFTS = [
    "models/face_landmarker.task.part",
    f"models/.vox-cpk.pth.tar.{HEX}{HEX}.part",
    f"avatars/.order.toml.{HEX[:8]}.part",
    f"avatars/Mona Lisa/.avatar.toml.{HEX[:8]}.part",
    f"config/.settings.toml.{HEX[:8]}.part",
]


@pytest.mark.parametrize("name", DRAFTS)
def test_a_draft_goes_after_a_day(name: str, home: Path) -> None:
    path = leave(home / name, DAY - 60)
    assert leftovers.sweep() == [] and path.exists(), "a running job may write to it, or the next one resume it"
    leave(path, DAY + 60)
    assert leftovers.sweep() == [path] and not path.exists()


def test_half_an_import_goes_as_a_whole(home: Path) -> None:
    folder = leave(home / "avatars" / f".incoming-{HEX[:8]}" / "picture.jpg", 0).parent
    os.utime(folder, (time.time() - DAY - 60,) * 2)
    assert leftovers.sweep() == [folder] and not folder.exists()


@pytest.mark.parametrize(
    "name",
    [
        "models/holiday.part", "models/vox.part", f"models/{HEX}{HEX}.part", "models/face_landmarker.task",
        f"avatars/order.toml.{HEX[:8]}.part", "avatars/.order.toml.notofours.part", f"avatars/Mona Lisa/.x.{HEX}.part",
        "avatars/.incoming-mine/picture.jpg", "config/settings.toml", f"config/.other.toml.{HEX[:8]}.part",
    ],
)  # fmt: skip
def test_other_files_stay_however_old(name: str, home: Path) -> None:
    path = leave(home / name, 100 * DAY)
    assert leftovers.sweep() == [] and path.exists()


def test_a_link_goes_and_not_what_it_points_to(home: Path) -> None:
    target = leave(home / "photo.jpg", 100 * DAY)
    link = home / "avatars" / f".x.{HEX[:8]}.part"
    link.parent.mkdir()
    link.symlink_to(target)
    os.utime(link, (time.time() - 2 * DAY,) * 2, follow_symlinks=False)
    assert leftovers.sweep() == [link] and target.exists()


def test_a_command_sweeps_at_its_start(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = leave(home / DRAFTS[0], 2 * DAY)
    assert main(["models", "list"]) == 0
    assert not path.exists()


def test_a_job_takes_away_what_others_left_beside_its_result(tmp_path: Path) -> None:
    own, other = (tmp_path / f".{name}.{HEX[:8]}.part" for name in ("a.mp4", "b.mp4"))
    running = leave(tmp_path / f".a.mp4.{HEX[8:]}.part", DAY - 60)
    foreign = leave(tmp_path / ".b.mp4.notofours.part", 2 * DAY)
    for path in (own, other):
        leave(path, DAY + 60)
    atomic.remove_stale_parts(tmp_path / "a.mp4")
    assert not own.exists() and not other.exists() and running.exists() and foreign.exists()
