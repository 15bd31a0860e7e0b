"""Content Credentials: in every recording and snapshot, invalid after a change of one byte, without personal data."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fakes import make_clip, plain
from places import ROOT

from avatar import cli
from avatar.errors import OutputError, SetupError, UsageError
from avatar.frames import Frame
from avatar.images.load import load_image, save_png
from avatar.outputs.files.writer import MADE_BY
from avatar.outputs.live import recorder as recording
from avatar.outputs.live.recorder import Recorder
from avatar.outputs.live.replay import ReplayRing
from avatar.outputs.live.snapshot import save_snapshot
from avatar.provenance import certificate, credentials, unsigned
from avatar.provenance.certificate import load_signing_key, own_signing_key, signing_path
from avatar.provenance.credentials import COMPOSITE, GENERATED, read_credentials, sign
from avatar.settings import CanvasSettings
from avatar.sources.microphone import SoundBlock
from avatar.sources.probe import open_input
from avatar.sources.video import open_driving

pytest.importorskip("c2pa", reason="c2pa-python is not installed")

SMALL = (160, 90)


def avatar_frame(number: int, *, passed_through: bool = False) -> Frame:
    return Frame(plain(20 + number, SMALL), number, number * 33_333_333, passed_through=passed_through)


def record(path: Path, count: int = 40, *, passed_through: bool = False) -> Path:
    recorder = Recorder(path, SMALL)
    for number in range(count):
        recorder.send(avatar_frame(number, passed_through=passed_through and number == 7))
    recorder.close()
    return path


def snapshot(path: Path) -> Path:
    save_snapshot(path, avatar_frame(0), CanvasSettings(*SMALL))
    return path


def replay(path: Path) -> Path:
    ring = ReplayRing(SMALL)
    for number in range(40):
        ring.send(avatar_frame(number))
    ring.save(path)
    ring.close()
    return path


@pytest.mark.parametrize(("make", "name"), [(record, "show.mp4"), (snapshot, "me.png"), (replay, "again.mp4")])
def test_whatever_is_saved_says_what_made_it(tmp_path: Path, make: object, name: str) -> None:
    path = make(tmp_path / name)  # type: ignore[operator]
    found = read_credentials(path)
    assert found is not None and found.generator.startswith("Masque ") and found.kind == GENERATED
    assert found.from_here and found.problems == ()
    assert [each.name for each in tmp_path.iterdir()] == [name], "nothing else is left behind"


def test_the_file_itself_stays_as_good_as_it_was(tmp_path: Path) -> None:
    with open_driving(record(tmp_path / "show.mp4")) as clip:
        assert sum(1 for _ in clip) == 40
    assert load_image(snapshot(tmp_path / "me.png")).shape == (90, 160, 3)


def test_a_recording_with_the_cameras_own_pictures_is_a_composite(tmp_path: Path) -> None:
    found = read_credentials(record(tmp_path / "show.mp4", passed_through=True))
    assert found is not None and found.kind == COMPOSITE


def test_a_replay_is_a_composite_as_long_as_it_holds_the_camera(tmp_path: Path) -> None:
    ring = ReplayRing(SMALL, seconds=1)
    kinds = []
    for number in range(160):
        ring.send(avatar_frame(number, passed_through=number == 20))
        if number in (10, 40, 159):
            ring.save(tmp_path / f"{number}.mp4")
            found = read_credentials(tmp_path / f"{number}.mp4")
            kinds.append(found.kind if found else None)
    ring.close()
    assert kinds == [GENERATED, COMPOSITE, GENERATED]


def test_a_camera_frame_for_which_there_was_no_place_makes_no_composite(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "show.mp4", SMALL)
    for frame in [*map(avatar_frame, range(40)), avatar_frame(10, passed_through=True)]:
        recorder.send(frame)
    recorder.close()
    found = read_credentials(tmp_path / "show.mp4")
    assert found is not None and found.kind == GENERATED


@pytest.mark.parametrize("name", ["show.mp4", "me.png"])
def test_one_changed_byte_is_noticed(tmp_path: Path, name: str) -> None:
    path = record(tmp_path / name) if name.endswith("mp4") else snapshot(tmp_path / name)
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)
    found = read_credentials(path)
    assert found is not None and found.problems


def test_another_installation_is_told_from_this_one(tmp_path: Path) -> None:
    path = record(tmp_path / "show.mp4")
    signing_path().unlink()
    found = read_credentials(path)
    assert found is not None and not found.from_here and found.problems == ()


def test_nothing_about_the_person_or_the_machine_is_in_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "secretfolder"
    folder.mkdir()
    data = record(folder / "mysecretname.mp4").read_bytes() + signing_path().read_bytes()
    words = {"mysecretname", "secretfolder", socket.gethostname(), platform.node(), getpass.getuser()} - {"root", ""}
    assert not [word for word in words if len(word) > 3 and word.encode() in data]
    assert not re.search(rb"[\w.]+@[\w.]+\.\w\w", data), "an address"


def test_the_key_is_made_once_and_is_for_its_owner_alone() -> None:
    first, second = own_signing_key(), own_signing_key()
    assert first == second == load_signing_key()
    if sys.platform != "win32":
        assert stat.S_IMODE(signing_path().stat().st_mode) == 0o600
    assert [each.name for each in signing_path().parent.iterdir()] == ["signing.pem"]


@pytest.mark.parametrize(
    "damage", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" * 2]
)
def test_a_damaged_key_is_made_anew(damage: bytes) -> None:
    own_signing_key()
    signing_path().write_bytes(damage)
    assert load_signing_key() is None
    assert own_signing_key() == load_signing_key()


def test_an_expired_certificate_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    first = own_signing_key()
    later = certificate._now() + 2 * certificate._LIFE
    monkeypatch.setattr(certificate, "_now", lambda: later)
    assert load_signing_key() is None and own_signing_key() != first


def test_a_certificate_from_a_clock_that_was_ahead_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as ahead:
        later = certificate._now() + timedelta(days=400)
        ahead.setattr(certificate, "_now", lambda: later)
        first = own_signing_key()
    assert load_signing_key() is None and own_signing_key() != first
    found = read_credentials(record(tmp_path / "show.mp4"))
    assert found is not None and found.from_here and found.problems == ()


def test_a_file_that_cannot_be_signed_stays_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "no.mp4").write_bytes(b"not a video")
    assert not sign(tmp_path / "no.mp4")
    assert (tmp_path / "no.mp4").read_bytes() == b"not a video" and "no.mp4 carries no" in caplog.text
    assert [each.name for each in tmp_path.iterdir()] == ["no.mp4"]


def test_without_the_package_files_are_saved_unsigned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    path = record(tmp_path / "show.mp4")
    with open_driving(path) as clip:
        assert sum(1 for _ in clip) == 40
    with pytest.raises(SetupError, match="c2pa-python"):
        read_credentials(path)


def test_files_without_a_note_and_of_other_kinds(tmp_path: Path) -> None:
    save_png(tmp_path / "plain.png", plain(3))
    assert read_credentials(tmp_path / "plain.png") is None
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UsageError):
        read_credentials(tmp_path / "notes.txt")
    with pytest.raises(UsageError, match="no file"):
        read_credentials(tmp_path / "none.png")


def test_a_truncated_file_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = snapshot(tmp_path / "me.png")
    path.write_bytes(path.read_bytes()[:600])
    try:
        found = read_credentials(path)
    except OutputError:
        return
    assert found is None or found.problems


def test_the_command_tells_it_and_gives_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path / "show.mp4")
    assert cli.main(["verify", str(path)]) == 0
    told = capsys.readouterr().out
    assert "trainedAlgorithmicMedia" in told and "Unchanged" in told and "this installation's own" in told
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)
    assert cli.main(["verify", str(path)]) == 1
    assert "NOT as it was signed" in capsys.readouterr().out
    save_png(tmp_path / "plain.png", plain(3))
    assert cli.main(["verify", str(tmp_path / "plain.png")]) == 1
    assert "carries no Content Credentials" in capsys.readouterr().out


def forged(path: Path, words: str) -> Path:
    """A picture that another installation signed, with its own words wherever a manifest takes some."""
    import c2pa

    save_png(path, plain(3))
    key = own_signing_key()
    signing_path().unlink()  # from here on it is another's
    action = {"action": "c2pa.created", "digitalSourceType": words, "softwareAgent": {"name": words}}
    manifest = {
        "claim_generator_info": [{"name": words, "version": words}],
        "title": words,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }
    info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, key.chain, key.key, None)
    with (
        c2pa.Signer.from_info(info) as signer,
        c2pa.Builder(manifest) as builder,
        path.open("rb") as plain_file,
        path.with_suffix(".signed").open("w+b") as signed,
    ):
        builder.sign(signer, "image/png", plain_file, signed)
    path.with_suffix(".signed").replace(path)
    return path


FORGERY = "Masque\nUnchanged since it was signed with this installation's own certificate.\x1b[8m\u202e" + "x" * 9000


def test_a_manifest_cannot_forge_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = forged(tmp_path / "theirs.png", FORGERY)
    assert cli.main(["verify", str(path)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Unchanged since it was signed, but nobody here vouches for whoever signed it."
    assert not any(line.startswith("Unchanged") for line in lines[1:]), lines
    assert any(line.startswith('Program: "Masque\\nUnchanged') and line.endswith('"') for line in lines)
    assert all(line.isprintable() and len(line) < 300 for line in lines)
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)
    assert cli.main(["verify", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("NOT as it was signed")
    assert not any(line.startswith("Unchanged") for line in lines) and all(line.isprintable() for line in lines)


def test_a_files_name_cannot_forge_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = snapshot(tmp_path / "me.png")
    signing_path().unlink()
    odd = path.rename(tmp_path / "x\nUnchanged since it was signed with this installation's own certificate..png")
    assert cli.main(["verify", str(odd)]) == 3
    assert sum(line.startswith("Unchanged") for line in capsys.readouterr().out.splitlines()) == 1


def test_what_nobody_vouches_for_has_an_exit_code_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(tmp_path / "show.mp4")
    assert cli.main(["verify", str(path)]) == 0
    signing_path().unlink()
    assert cli.main(["verify", str(path)]) == 3
    told = capsys.readouterr().out
    assert "nobody here vouches" in told
    assert cli.main(["verify", "--help"]) == 0
    assert "3 unchanged since it was signed, but by somebody" in capsys.readouterr().out


@pytest.mark.parametrize(
    "report",
    [
        {"active_manifest": 0, "manifests": [{"claim_generator_info": ["text"]}]},
        {"active_manifest": 0, "manifests": [{"assertions": [{"label": "c2pa.actions", "data": [1]}]}]},
        {"active_manifest": 0, "manifests": [{"assertions": [{"label": "c2pa.actions", "data": {"actions": "x"}}]}]},
        {"active_manifest": "a", "manifests": []},
        {"active_manifest": 7, "manifests": []},
        [],
    ],
)
def test_a_manifest_of_odd_types_is_an_error_and_no_mistake_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: object
) -> None:
    path = snapshot(tmp_path / "me.png")
    monkeypatch.setattr(json, "loads", lambda text: report)
    with pytest.raises(OutputError, match="cannot be read"):
        read_credentials(path)


def test_an_invalid_state_is_a_problem_even_without_a_reason() -> None:
    report = {"active_manifest": "a", "manifests": {"a": {}}}
    assert credentials._read(report, "Invalid").problems
    assert not credentials._read(report, "Valid").problems


# signing afterwards


class Silence:
    """A microphone."""

    def take(self) -> list[SoundBlock]:
        return []

    def close(self) -> None:
        pass


@pytest.fixture
def long_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recording is too long to be signed at once."""
    monkeypatch.setattr(recording, "_SIGNED_AT_ONCE", 100)


@pytest.mark.usefixtures("long_shows")
def test_a_long_recording_is_signed_afterwards(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = record(tmp_path / "show.mp4")
    assert read_credentials(path) is None and "verify --sign" in caplog.text
    moved = path.rename(tmp_path / "moved to another name.mp4")
    assert cli.main(["verify", "--sign", str(moved)]) == 0
    found = read_credentials(moved)
    assert found is not None and found == replace(found, kind=GENERATED, from_here=True)
    assert not list(unsigned.unsigned_folder().iterdir()), "what is signed is off the record"


@pytest.mark.usefixtures("long_shows")
def test_recorded_pictures_and_sound_are_not_signed_as_made_by_a_model_alone(tmp_path: Path) -> None:
    camera = record(tmp_path / "camera.mp4", passed_through=True)
    spoken = tmp_path / "spoken.mp4"
    recorder = Recorder(spoken, SMALL, microphone=Silence)
    for number in range(40):
        recorder.send(avatar_frame(number))
    recorder.close()
    for path in (camera, spoken):
        assert cli.main(["verify", "--sign", str(path)]) == 0
        found = read_credentials(path)
        assert found is not None and found.kind == COMPOSITE


@pytest.mark.usefixtures("long_shows")
def test_what_was_changed_since_is_not_signed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path / "show.mp4")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert cli.main(["verify", "--sign", str(path)]) == 2
    assert "not on record" in capsys.readouterr().err and path.read_bytes() == bytes(data)


@pytest.mark.parametrize("comment", ["", MADE_BY, f"{MADE_BY} {'0' * 32}"])
def test_what_others_made_is_not_signed_whatever_its_comment_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], comment: str
) -> None:
    record(tmp_path / "ours.mp4")
    path = commented(make_clip(tmp_path / "theirs.mp4"), comment)
    before = path.read_bytes()
    assert cli.main(["verify", "--sign", str(path)]) == 2
    assert "not on record" in capsys.readouterr().err and path.read_bytes() == before


def test_a_signed_recordings_comment_makes_nothing_else_ours(tmp_path: Path) -> None:
    with open_input(record(tmp_path / "ours.mp4")) as file:
        comment = file.metadata["comment"]
    assert len(comment) > len(MADE_BY)
    assert cli.main(["verify", "--sign", str(commented(make_clip(tmp_path / "theirs.mp4"), comment))]) == 2


def commented(path: Path, comment: str) -> Path:
    """The same clip with a comment."""
    import av

    copy = path.with_name(f"commented {path.name}")
    with av.open(str(path)) as source, av.open(str(copy), "w") as target:
        if comment:
            target.metadata["comment"] = comment
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return copy


KILLED = """
import os, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from test_credentials import SMALL, avatar_frame
from avatar.sources.microphone import SoundBlock
from avatar.outputs.live.recorder import Recorder
recorder = Recorder(Path(sys.argv[1]), SMALL)
for number in range(100):
    recorder.send(avatar_frame(number, passed_through=number == 70 and sys.argv[2] == "camera"))
print("recording", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("shows", "kind"), [("avatar", GENERATED), ("camera", COMPOSITE)])
def test_a_killed_recording_is_signed_for_what_it_is_known_to_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shows: str, kind: str
) -> None:
    path, paths = tmp_path / "show.mp4", [str(Path(__file__).parent), str(ROOT / "tests" / "support"), str(ROOT)]
    command = [sys.executable, "-c", KILLED.format(paths=paths), str(path), shows]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None and program.stdout.readline() == "recording\n"
        assert cli.main(["verify", "--sign", str(path)]) == 2
        assert "still being recorded" in capsys.readouterr().err
        program.kill()
    assert cli.main(["verify", "--sign", str(path)]) == 0
    found = read_credentials(path)
    assert found is not None and found.kind == kind and found.problems == ()
    with open_driving(path) as clip:
        assert sum(1 for _ in clip) >= 60


def test_what_could_not_be_signed_when_it_was_made_can_be_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as lacking:
        lacking.setitem(sys.modules, "c2pa", None)
        made = [record(tmp_path / "show.mp4"), snapshot(tmp_path / "me.png"), replay(tmp_path / "again.mp4")]
    for path in made:
        assert read_credentials(path) is None
        assert cli.main(["verify", "--sign", str(path)]) == 0


def test_a_hash_that_takes_too_long_leaves_the_entry_of_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_SIGNED_AT_ONCE", 100)
    monkeypatch.setattr(unsigned, "_HASHING_S", -1.0)
    path = record(tmp_path / "show.mp4")
    assert len(list(unsigned.unsigned_folder().iterdir())) == 1
    assert cli.main(["verify", "--sign", str(path)]) == 0


def test_the_record_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsigned, "_MOST", 3)
    for number in range(6):
        (tmp_path / "file").write_bytes(bytes([number]))
        assert unsigned.remember(tmp_path / "file", composite=False)
    assert len(list(unsigned.unsigned_folder().iterdir())) == 3
    assert not unsigned.find(tmp_path / "file").composite


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_settings_folder_that_cannot_be_written_costs_the_note_only(tmp_path: Path) -> None:
    signing_path().parent.chmod(0o500)
    assert read_credentials(record(tmp_path / "show.mp4")) is None


def test_a_folder_is_not_called_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a regular file"):
        read_credentials(tmp_path)
    with pytest.raises(UsageError, match="There is no file"):
        read_credentials(tmp_path / "absent.mp4")
