from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from motion_samples import make_face, make_track, swaying_track
from safetensors.numpy import load, save

from avatar.errors import OutputError, TemplateError
from avatar.motion import template
from avatar.motion.template import load_template, save_template
from avatar.system.limits import MAX_TEMPLATE_HEADER_BYTES


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "nod.masque"
    save_template(swaying_track(20), path)
    return path


def rewrite(path: Path, *, facts: dict[str, str] | None = None, **tensors: Any) -> Path:
    """The same template with other facts or tensors; None leaves a tensor out."""
    now = load(path.read_bytes()) | tensors
    known = {"format": "masque-motion", "version": "1", "frames": "20", "steps": "16384"}
    known |= {"width_px": "512", "height_px": "512"} | (facts or {})
    path.write_bytes(save({name: value for name, value in now.items() if value is not None}, metadata=known))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(TemplateError) as caught:
        load_template(path)
    assert caught.value.remedy
    return caught.value.what


@pytest.mark.parametrize("size", [(512, 512), (1920, 1080), (375, 667), (64, 64)])
def test_round_trip_keeps_a_point_within_a_twentieth_of_a_pixel_at_512(tmp_path: Path, size: tuple[int, int]) -> None:
    longer = max(size)
    place = (0.4 * size[0], 0.7 * size[1])
    faces = [make_face(yaw=yaw, scale=0.3 * longer, centre=place, mouthSmile=0.3) for yaw in (-30, 0, 20)]
    track = make_track([*faces, replace(faces[-1], presence=0.0)], size=size, name="/home/someone/secret.mp4")
    save_template(track, tmp_path / "a.masque")
    back = load_template(tmp_path / "a.masque")
    assert np.abs(back.landmarks - track.landmarks).max() * 512 / longer < 0.05
    assert np.abs(back.blendshapes - track.blendshapes).max() < 1e-4
    assert np.array_equal(back.times_s, track.times_s) and np.array_equal(back.presence, track.presence)
    assert (back.width_px, back.height_px, back.name) == (*size, "a")
    assert (back.landmarks.dtype, back.blendshapes.dtype, back.times_s.dtype) == tuple(
        map(np.dtype, ("f4", "f4", "f8"))
    )
    assert b"secret" not in (tmp_path / "a.masque").read_bytes()


def test_a_faint_presence_stays_a_presence(tmp_path: Path) -> None:
    save_template(make_track([make_face(presence=1e-7)]), tmp_path / "a.masque")
    assert load_template(tmp_path / "a.masque").presence[0] > 0


def test_pose_follows_from_the_landmarks(saved: Path) -> None:
    track = swaying_track(20)
    for index in (0, 7, 19):
        assert load_template(saved).face(index).pose.yaw_deg == pytest.approx(track.face(index).pose.yaw_deg, abs=0.05)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.masque"
    path.write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OutputError, match="No space left"):
        save_template(swaying_track(3), path)
    assert path.read_bytes() == b"old" and [file.name for file in tmp_path.iterdir()] == ["a.masque"]


def test_no_folder_to_write_to(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        save_template(swaying_track(3), tmp_path / "missing" / "a.masque")


def test_a_track_without_a_face_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="no face"):
        save_template(make_track([make_face(presence=0.0)]), tmp_path / "a.masque")


def test_too_long_a_clip_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "MAX_TEMPLATE_BYTES", MAX_TEMPLATE_HEADER_BYTES + 20_000)
    with pytest.raises(TemplateError, match="too many"):
        save_template(swaying_track(20), tmp_path / "a.masque")


def test_what_is_not_known_is_ignored(saved: Path) -> None:
    rewrite(saved, facts={"mood": "cheerful"}, tongue=np.ones((20, 4), np.float32))
    assert len(load_template(saved)) == 20


def test_a_later_version_says_to_update(saved: Path) -> None:
    assert "version 2" in refusal(rewrite(saved, facts={"version": "2"}))
    with pytest.raises(TemplateError, match="Update Masque"):
        load_template(saved)


@pytest.mark.parametrize("facts", [
    {"version": "0"}, {"version": "one"}, {"version": "-1"}, {"version": "9" * 5000}, {"width_px": "0"},
    {"width_px": "99999"},
    {"steps": "0"}, {"frames": "19"}, {"frames": "1e1"}, {"height_px": "²"},
])  # fmt: skip
def test_facts_out_of_range(saved: Path, facts: dict[str, str]) -> None:
    refusal(rewrite(saved, facts=facts))


@pytest.mark.parametrize("tensors", [
    {"landmarks": None},
    {"landmarks": np.zeros((20, 478, 3), np.float32)},
    {"landmarks": np.zeros((20, 468, 3), np.int16)},
    {"blendshapes": np.zeros((20, 52), np.int16)},
    {"blendshapes": np.zeros((19, 52), np.uint16)},
    {"presence": np.zeros(20, np.uint16)},
    {"presence": np.ones((20, 1), np.uint16)},
    {"times_s": np.arange(20.0)[::-1].copy()},
    {"times_s": np.full(20, np.nan)},
    {"times_s": np.full(20, 1.0)},
    {"times_s": np.arange(20.0) * 1e300},
    {"times_s": np.arange(20, dtype=np.float32)},
])  # fmt: skip
def test_tensors_that_do_not_fit(saved: Path, tensors: dict[str, Any]) -> None:
    refusal(rewrite(saved, **tensors))


def test_another_safetensors_file(tmp_path: Path) -> None:
    (tmp_path / "a.masque").write_bytes(save({"weight": np.zeros(3)}))
    assert "not a motion template" in refusal(tmp_path / "a.masque")


@pytest.mark.parametrize("facts", [{"picture": "../../home/me.jpg"}, {"c:\\windows": "x"}])
def test_a_path_inside_is_refused(saved: Path, facts: dict[str, str]) -> None:
    assert "holds a path" in refusal(rewrite(saved, facts=facts))


def test_a_tensor_named_like_a_path_is_refused(saved: Path) -> None:
    assert "holds a path" in refusal(rewrite(saved, **dict[str, Any]({"../evil": np.zeros(1)})))


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("the pickle was run",))


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "hello")
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_refused_unopened(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "a.masque").write_bytes(pickle.dumps([Trap()] * 3, protocol))
    assert "pickle" in refusal(tmp_path / "a.masque")


def test_a_zip_is_refused_unopened(tmp_path: Path) -> None:
    (tmp_path / "a.masque").write_bytes(zipped())
    assert "zip" in refusal(tmp_path / "a.masque")


@pytest.mark.parametrize("carried", [zipped(), pickle.dumps(Trap(), 4)])
def test_a_carried_archive_is_refused(saved: Path, carried: bytes) -> None:
    rewrite(saved, extra=np.frombuffer(carried, np.uint8))
    assert "holds a" in refusal(saved)


@pytest.mark.parametrize("data", [b"", b"\x00" * 7, b"plain text, plainly", b"<html>404</html>", b"\xff" * 64])
def test_no_template_at_all(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.masque").write_bytes(data)
    assert "not a motion template" in refusal(tmp_path / "a.masque")


def test_a_deep_header_is_refused(tmp_path: Path) -> None:
    header = b'{"__metadata__":' + b"[" * 30_000 + b"]" * 30_000 + b"}"
    (tmp_path / "a.masque").write_bytes(len(header).to_bytes(8, "little") + header)
    refusal(tmp_path / "a.masque")


def test_a_file_too_large_is_not_parsed(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "MAX_TEMPLATE_BYTES", 1000)
    assert "too large" in refusal(saved)


def test_no_metadata_and_none(saved: Path) -> None:
    """The header may say null where facts belong, or nothing."""
    data = saved.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    for facts in ({"__metadata__": None}, {}):
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        text = json.dumps(facts | tensors).encode()
        text += b" " * (-len(text) % 8)
        saved.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
        assert "not a motion template" in refusal(saved)


def test_the_whole_is_never_held_in_double_precision(saved: Path) -> None:
    short = swaying_track(20)
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(short, name)] * 250) for name in ("landmarks", "blendshapes", "presence")
    }
    track = replace(short, times_s=np.arange(5000) / 30, **arrays)
    for work, most in ((lambda: save_template(track, saved), 2.0), (lambda: load_template(saved), 1.5)):
        work()  # imports and caches
        tracemalloc.start()
        work()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < most * track.landmarks.nbytes, "in float64 it took two to five times as much"
    np.testing.assert_allclose(load_template(saved).landmarks, track.landmarks, atol=0.05)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.masque")
    assert "it is not a file" in refusal(tmp_path / "a.masque")


def test_missing_and_folder(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "missing.masque")
    assert "cannot be read" in refusal(tmp_path)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_cut_grown_or_flipped_bytes_never_crash(saved: Path, data: st.DataObject) -> None:
    sound = saved.read_bytes()
    kind = data.draw(st.sampled_from(["cut", "grow", "flip"]))
    if kind == "cut":
        damaged = sound[: data.draw(st.integers(0, len(sound) - 1))]
    elif kind == "grow":
        damaged = sound + data.draw(st.binary(min_size=1, max_size=9))
    else:
        place = data.draw(st.integers(0, 900))  # the header
        damaged = sound[:place] + bytes([sound[place] ^ data.draw(st.integers(1, 255))]) + sound[place + 1 :]
    path = saved.with_name("damaged.masque")
    path.write_bytes(damaged)
    if kind == "flip":  # some flips change only a name that nobody reads
        with contextlib.suppress(TemplateError):
            load_template(path)
    else:
        refusal(path)
