"""`run.py serve`, and `live --remote` before anything is drawn."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT
from remote_studio import TOKEN, studio, until

from avatar import cli
from avatar.commands import live, serve
from avatar.errors import SetupError, UsageError
from avatar.live.config import LiveConfig
from avatar.remote.drivers import Drawing
from avatar.remote.identity import Address, KnownHost, known_hosts, own_token, remember
from avatar.remote.link import ask_host
from avatar.settings import CanvasSettings, EngineSettings, Settings


def told(words: str, capsys: pytest.CaptureFixture[str], code: int) -> str:
    """What a command that ends at once says."""
    assert cli.main(words.split()) == code
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("live --camera idle --token x", 2, "--token belongs to --remote"),
        ("live --camera idle --keep-portrait", 2, "--keep-portrait belongs to --remote"),
        ("live --camera idle --remote", 2, "No host was used before"),
        ("live --camera idle --remote a/b", 2, "a/b is not an address"),
        ("live --camera idle --remote 10.0.0.1", 1, "needs a token"),
        ("live --camera idle --remote 10.0.0.1 --token short", 2, "not a token"),
        (f"live --camera idle --remote 10.0.0.1 --token {TOKEN}", 1, "needs a fingerprint"),
        (f"live --camera idle --remote 10.0.0.1 --token {TOKEN} --fingerprint 12", 2, "not a fingerprint"),
        ("live --camera idle --remote h --engine fomm", 2, "the host decides about --engine"),
        ("live --camera idle --remote h --render graphics", 2, "the host decides about --render"),
        ("serve --listen a/b", 2, "a/b is not an address"),
        ("serve --replicas 2", 2, "--replicas belongs to --ray"),
        ("serve --ray 127.0.0.1:1", 1, "There is no Ray cluster at 127.0.0.1:1"),
        ("serve --sessions 0", 2, "not a number from 1 to 1000"),
    ],
)  # fmt: skip
def test_what_is_wrong_or_missing_is_said_before_anything_opens(
    words: str, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sentence in told(words, capsys, code)


def parsed(*words: str, settings: Settings) -> LiveConfig:
    import argparse

    parser = argparse.ArgumentParser()
    live.add_parser(parser.add_subparsers())
    args = parser.parse_args(["live", "--camera", "idle", *words])
    return live.config_of(args, settings, live._host_of(args))


def test_a_host_that_answers_is_remembered(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fomm = Settings(engine=EngineSettings("fomm", "vox", "cpu"), canvas=CanvasSettings(background="green"))
    with studio() as one:
        address = str(one.host.address)
        config = parsed("--remote", address, "--token", TOKEN, "--keep-portrait", settings=fomm)
        assert (config.remote, config.engine, config.model, config.device) == (address, "warp", None, "auto")
        assert config.canvas.background == "green" and capsys.readouterr().err == ""
        assert known_hosts()[address] == KnownHost(one.host.address, TOKEN, keep=True)
        assert parsed("--remote", settings=Settings()).remote == address, "the last one"
        remember(KnownHost(one.host.address, "of-another-host-9876543210"))
        monkeypatch.setenv("MASQUE_REMOTE_TOKEN", TOKEN)
        assert parsed("--remote", address, settings=Settings()).remote == address
        with pytest.raises(UsageError, match="host decides about --model"):
            parsed("--remote", address, "--model", "x", settings=Settings())
        with pytest.raises(UsageError, match="draws with warp, not with liveportrait"):
            parsed("--remote", address, "--engine", "liveportrait", settings=Settings())
    assert (parsed(settings=fomm).engine, parsed(settings=fomm).remote) == ("fomm", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_host_starts_shows_its_token_once_and_ends_when_asked(
    face_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for is_first in (True, False):
        command = [sys.executable, "run.py", "--no-setup", "serve", "--listen", "127.0.0.1:0", "--render", "processor"]
        process = subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        introduction, how = process.stdout.readline(), process.stdout.readline()
        assert "encoded by lib" in introduction or "encoded by h264_" in introduction
        token, is_new = own_token()
        assert not is_new and (token in how) == is_first
        address = Address.parse(introduction.split()[2].rstrip(","))
        assert ask_host(KnownHost(address, token)) == Drawing()
        assert cli.main(["serve", "--show-token", "--listen", str(address)]) == 0
        assert f"live --remote {address} --token {token}" in capsys.readouterr().out, "while the host runs"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0 and "Traceback" not in said


class _Renewed:
    """Seats that note when they are renewed."""

    def __init__(self) -> None:
        self.renewals: queue.SimpleQueue[str] = queue.SimpleQueue()

    def renew(self) -> None:
        self.renewals.put("renewed")
        if self.renewals.qsize() > 1:
            raise SetupError("The replicas did not start.", remedy="Look.")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_signal_renews_the_replicas() -> None:
    seats, told = _Renewed(), list[str]()
    before = signal.getsignal(signal.SIGUSR1)
    with serve._renewal(seats, told.append):  # type: ignore[arg-type]
        signal.raise_signal(signal.SIGUSR1)
        until(lambda: told[1:] == ["The replicas are new."])
        signal.raise_signal(signal.SIGUSR1)
        until(lambda: told[3:] == ["The replicas did not start. Look."])
    assert signal.getsignal(signal.SIGUSR1) is before
