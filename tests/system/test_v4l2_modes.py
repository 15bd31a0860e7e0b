"""What a Linux camera offers, read from a simulated driver."""

from __future__ import annotations

import errno
import struct
from pathlib import Path
from typing import Any

import pytest

from avatar.system import v4l2_modes
from avatar.system.v4l2_modes import CameraMode, camera_modes

YUYV, MJPG = b"YUYV", b"MJPG"
OFFERS: dict[bytes, dict[tuple[int, int], list[tuple[int, int]]]] = {
    YUYV: {(640, 480): [(1, 30), (1, 15)], (1280, 720): [(1, 10)]},
    MJPG: {(1280, 720): [(1001, 30000), (1, 60)], (320, 240): [(0, 0), (1, 1000)]},
}


def answered(offers: Any) -> Any:
    """Return an `ioctl` of a driver with discrete sizes and rates."""

    def ioctl(device: int, request: int, data: bytearray) -> None:
        index, second = struct.unpack_from("=2I", data)
        if request == v4l2_modes._ENUM_FMT:
            entries: list[Any] = list(offers) if second == 1 else []
        else:
            sizes = offers[struct.pack("=I", second)]
            size = struct.unpack_from("=2I", data, 8)
            entries = list(sizes) if request == v4l2_modes._ENUM_FRAMESIZES else sizes[size]
        if index >= len(entries):
            raise OSError(errno.EINVAL, "the list is over")
        if request == v4l2_modes._ENUM_FMT:
            data[44:48] = entries[index]
        else:
            struct.pack_into("=3I", data, 8 if request == v4l2_modes._ENUM_FRAMESIZES else 16, 1, *entries[index])

    return ioctl


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "video0"
    path.touch()
    return path


def test_sizes_and_rates_of_all_formats_are_joined(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v4l2_modes, "ioctl", answered(OFFERS))
    assert camera_modes(device) == (
        CameraMode(320, 240, ()), CameraMode(640, 480, (15, 30)), CameraMode(1280, 720, (10, 30, 60)),
    )  # fmt: skip


def test_of_a_range_the_usual_ones_are_offered(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ioctl(device: int, request: int, data: bytearray) -> None:
        if struct.unpack_from("=I", data)[0] or (request == v4l2_modes._ENUM_FMT and data[4] != 1):
            raise OSError(errno.EINVAL, "the list is over")
        if request == v4l2_modes._ENUM_FMT:
            data[44:48] = YUYV
        elif request == v4l2_modes._ENUM_FRAMESIZES:
            struct.pack_into("=7I", data, 8, 3, 48, 1280, 2, 32, 720, 2)
        else:
            struct.pack_into("=7I", data, 16, 3, 1, 30, 2, 1, 1, 1)

    monkeypatch.setattr(v4l2_modes, "ioctl", ioctl)
    assert [mode.size for mode in camera_modes(device)] == [
        (320, 240), (640, 360), (640, 480), (960, 540), (1280, 720),
    ]  # fmt: skip
    assert camera_modes(device)[0].rates == (15, 24, 25, 30)


def test_a_driver_whose_list_never_ends_is_left(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ioctl(device: int, request: int, data: bytearray) -> None:
        data[-16:-8] = b"\1\0\0\0\2\0\0\0"

    monkeypatch.setattr(v4l2_modes, "ioctl", ioctl)
    monkeypatch.setattr(v4l2_modes, "MOST", 3)
    camera_modes(device)


def test_what_is_no_camera_offers_nothing(device: Path) -> None:
    assert camera_modes(device) == camera_modes(device.with_name("video9")) == ()
