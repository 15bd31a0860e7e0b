"""Host and client over real sockets of this machine: who behaves is drawn for, and who does not hears one sentence."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from motion_samples import make_face
from remote_studio import (
    REFERENCE,
    SIDE,
    TOKEN,
    SeatsBehind,
    Studio,
    driven,
    hello,
    portrait,
    psnr,
    raw_client,
    refusal_of,
    studio,
    until,
)

from avatar.engines.base import Driving, Portrait
from avatar.engines.warp.engine import WarpEngine
from avatar.errors import AvatarError, EngineError, OutputError, SetupError, UsageError
from avatar.remote import host as hosts
from avatar.remote import protocol, session
from avatar.remote.engine import RemoteEngine
from avatar.remote.faces import pack_motion, pack_reference
from avatar.remote.host import Host
from avatar.remote.identity import (
    Address,
    KnownHost,
    check_fingerprint,
    find_host,
    host_context,
    known_hosts,
    known_hosts_path,
    own_token,
    remember,
    token_path,
)
from avatar.remote.link import Link, ask_host
from avatar.remote.load import Budget, Load
from avatar.remote.protocol import (
    Challenge,
    Offer,
    Order,
    Part,
    Reference,
    Refusal,
    RefusedError,
    Welcome,
    encode,
    read_from_host,
)
from avatar.remote.seats import OwnSeats
from avatar.settings import MotionSettings


@pytest.fixture
def one() -> Iterator[Studio]:
    with studio() as opened:
        yield opened


@contextlib.contextmanager
def engine_of(known: KnownHost, shown: Portrait | None = None) -> Iterator[RemoteEngine]:
    engine = RemoteEngine(Link(known))
    try:
        if shown is not None:
            engine.show(engine.prepare(shown))
        yield engine
    finally:
        engine.close()


def local(shown: Portrait) -> WarpEngine:
    engine = WarpEngine()
    engine.show(engine.prepare(shown))
    return engine


def order(frame: int, **changes: Any) -> bytes:
    given: dict[str, Any] = {
        "frame": frame, "captured_ns": 1, "received": 0, "portrait": 1, "reference": 1, "weight": 1.0,
        "wants_key": False, "wants_matte": False, "driver": pack_motion(REFERENCE, REFERENCE),
    }  # fmt: skip
    return encode(Order(**given | changes))


OFFER = encode(Offer(1, 1000, False, bytes(32)))
REFERRING = encode(Reference(1, 0, pack_reference(REFERENCE)))


def test_the_host_draws_what_this_machine_would(one: Studio) -> None:
    here = local(portrait())
    with engine_of(one.known(), portrait()) as engine:
        for each in (engine, here):
            each.calibrate(Driving(face=make_face(yaw=5), frame_width_px=640))
        for yaw in (5, 15, -10):
            assert psnr(engine.draw(driven(yaw)), here.draw(driven(yaw))) > 35
        assert psnr(engine.draw(driven(15)), here.draw(driven(-10))) < 35, "the comparison would see another pose"
        for each in (engine, here):
            each.set_motion(MotionSettings(strength_head=0.3))
        assert psnr(engine.draw(driven(15)), here.draw(driven(15))) > 35
        engine.show(engine.prepare(portrait(3), 121))  # odd: H.264 pads it
        here.show(here.prepare(portrait(3), 121))
        assert psnr(engine.draw(driven(15)), here.draw(driven(15))) > 35
        assert engine.facts.device == "host"
    one.wait_for("the client left")


def test_transparent_portraits_are_drawn_as_here(one: Studio) -> None:
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    alpha[20:, 30:130] = 255
    cut_out = Portrait(portrait().rgb, portrait().face, alpha)
    with engine_of(one.known(), cut_out) as engine:
        assert psnr(engine.draw(driven(8)), local(cut_out).draw(driven(8))) > 33


def sent_for(one: Studio, *, keep: bool) -> tuple[int, int]:
    """Return the bytes that a client sends until its portrait is ready, and the portrait's."""
    with engine_of(one.known(keep=keep)) as engine:
        parcel = engine.prepare(portrait()).parcel
        until(lambda: engine._link.is_up)
        assert engine._link.wait_ready(engine._link.offer(parcel), 60)
        return engine._link.sent_bytes, len(parcel.data)


def test_a_portrait_that_is_kept_is_not_sent_again(one: Studio) -> None:
    for keep, is_sent in ((False, True), (True, True), (True, False), (False, False)):
        sent, size = sent_for(one, keep=keep)
        assert (sent > size) == is_sent


def test_a_wrong_token_is_refused_on_both_sides_in_one_line(one: Studio) -> None:
    with pytest.raises(RefusedError, match="does not accept this token"):
        ask_host(one.known(token="another-token-0123456789"))
    line = one.wait_for("wrong token")
    assert one.lines == [line] and "127.0.0.1" not in line and TOKEN not in line


def test_a_greeting_that_was_recorded_is_worth_nothing(one: Studio) -> None:
    with raw_client(one.host, greets=False) as connection:
        challenge = read_from_host(connection.recv(10))
        assert isinstance(challenge, Challenge)
        recorded = hello(challenge)
        connection.send(recorded)
        assert isinstance(read_from_host(connection.recv(10)), Welcome)
    with raw_client(one.host, greets=False) as connection:
        connection.recv(10)
        connection.send(recorded)
        assert refusal_of(connection) is Refusal.TOKEN


def test_who_only_pretends_to_be_the_host_gets_no_portrait() -> None:
    """Another program took the port: it can send a challenge, and does not know the token."""
    from websockets.sync.server import serve

    heard: list[bytes] = []

    def pretend(connection: Any) -> None:
        connection.send(encode(Challenge(protocol.VERSION, bytes(32))))
        heard.append(connection.recv())
        connection.send(encode(Welcome(bytes(32), 0, 0, bytes(32), "a trap")))
        with contextlib.suppress(Exception):
            heard.extend(connection)

    with serve(pretend, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        known = KnownHost(Address("127.0.0.1", server.socket.getsockname()[1]), TOKEN)
        with pytest.raises(EngineError, match="no Masque host"):
            ask_host(known)
        server.shutdown()
        thread.join()
    assert len(heard) == 1 and TOKEN.encode() not in heard[0]


def test_encrypted_with_the_right_fingerprint_only() -> None:
    context, fingerprint = host_context()
    assert host_context()[1] == fingerprint, "it is kept"
    with studio(tls=(context, fingerprint)) as one:
        ask_host(one.known(fingerprint=fingerprint))
        shown = ":".join(fingerprint[at : at + 2] for at in range(0, 64, 2)).upper()
        with engine_of(one.known(fingerprint=check_fingerprint(shown)), portrait()) as engine:
            assert psnr(engine.draw(driven(9)), local(portrait()).draw(driven(9))) > 35
        before = len(one.lines)
        with pytest.raises(EngineError, match="another certificate"):
            ask_host(one.known(fingerprint="0" * 64))
        until(lambda: len(one.lines) > before)
        with pytest.raises(EngineError, match="no Masque host"):
            ask_host(one.known())


def test_every_encrypted_connection_is_made() -> None:
    """With session tickets about six of a thousand failed: the client's two threads met in OpenSSL."""
    context, fingerprint = host_context()
    with studio(tls=(context, fingerprint)) as one:
        for _ in range(400):
            ask_host(one.known(fingerprint=fingerprint))


def test_beyond_this_machine_nothing_goes_in_the_clear() -> None:
    with pytest.raises(ValueError, match="certificate"):
        Host(Address("0.0.0.0", 0), TOKEN, OwnSeats(WarpEngine, Load(1.0)))
    with pytest.raises(SetupError, match="needs a fingerprint"):
        find_host("192.168.1.20", TOKEN)


@pytest.mark.parametrize("version", [0, protocol.VERSION + 1])
def test_another_version_is_refused_in_one_sentence(one: Studio, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_client(one.host, greets=False) as connection:
        challenge = read_from_host(connection.recv(10))
        assert isinstance(challenge, Challenge)
        greeting = bytearray(hello(challenge))
        greeting[5:7] = version.to_bytes(2, "little")
        connection.send(bytes(greeting))
        assert refusal_of(connection) is Refusal.VERSION
    assert one.wait_for("another version") and len(one.lines) == 1
    monkeypatch.setattr(hosts, "VERSION", version)
    with pytest.raises(RefusedError, match="another version of Masque"):
        ask_host(one.known())


BREACHES = pytest.mark.parametrize(
    ("messages", "refusal"),
    [
        pytest.param([b"\xff junk"], Refusal.MALFORMED, id="junk"),
        pytest.param(["text"], Refusal.MALFORMED, id="text"),
        pytest.param([order(1)], Refusal.ORDER, id="no portrait"),
        pytest.param([REFERRING, order(1)], Refusal.ORDER, id="unknown portrait"),
        pytest.param([OFFER, REFERRING, order(1, reference=2)], Refusal.ORDER, id="unknown reference"),
        pytest.param([OFFER, REFERRING, order(1), order(1)], Refusal.REPLAY, id="twice"),
        pytest.param([OFFER, REFERRING, order(7), order(6)], Refusal.REPLAY, id="backwards"),
        pytest.param([OFFER, OFFER], Refusal.REPLAY, id="offered twice"),
        pytest.param([OFFER, REFERRING, order(1, driver=b"junk")], Refusal.MALFORMED, id="face"),
        pytest.param([encode(Reference(1, 0, b"junk"))], Refusal.MALFORMED, id="reference"),
        pytest.param([encode(Part(1, 0, b"unasked"))], Refusal.ORDER, id="unasked part"),
        pytest.param([OFFER, encode(Part(1, 500, bytes(500)))], Refusal.ORDER, id="wrong part"),
        pytest.param([OFFER, encode(Part(1, 0, bytes(999)))], Refusal.MALFORMED, id="short part"),
        pytest.param([OFFER, encode(Part(1, 0, bytes(1000)))], Refusal.MALFORMED, id="other portrait"),
        pytest.param([REFERRING] * 1000, Refusal.RATE, id="too much"),
        pytest.param([encode(Offer(each, 1, False, bytes(32))) for each in range(9)], Refusal.ORDER, id="many offers"),
        pytest.param([OFFER, bytes(2**20)], Refusal.SIZE, id="too large"),
    ],
)  # fmt: skip


@BREACHES
def test_who_breaks_the_protocol_is_told_and_noted_once(
    one: Studio, messages: list[bytes | str], refusal: Refusal
) -> None:
    is_told(one, messages, refusal)
    ended = one.wait_for("ended for")
    assert ended in one.wait_for(hosts._REASONS[refusal]) and len(one.lines) == 2
    ask_host(one.known())


@BREACHES
def test_a_host_behind_another_has_the_same_limits(one: Studio, messages: list[bytes | str], refusal: Refusal) -> None:
    with studio(behind=one.host) as front:
        is_told(front, messages, refusal)
        assert front.wait_for("ended for") in front.wait_for(hosts._REASONS[refusal]) and len(front.lines) == 2
        until(lambda: one.host.sessions == front.host.sessions == 0)


def is_told(one: Studio, messages: list[bytes | str], refusal: Refusal) -> None:
    """Send messages and hear of the refusal."""
    from websockets.exceptions import ConnectionClosed

    with raw_client(one.host) as connection:
        with contextlib.suppress(ConnectionClosed):  # it may end before all is sent
            for message in messages:
                connection.send(message)
        try:
            assert refusal_of(connection) is refusal
        except ConnectionClosed as closed:  # a message over the limit ends it before anything can be said
            assert protocol.close_reason(closed) is refusal or refusal is Refusal.RATE


def test_a_host_behind_another_draws_the_same_and_may_be_lost(one: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client notices no more than a cut: where the one that drew for it ends, another one does."""
    with studio() as next_one, studio(behind=one.host) as front, engine_of(front.known(), portrait()) as engine:
        assert psnr(engine.draw(driven(9)), local(portrait()).draw(driven(9))) > 35
        assert "session 1: begins" in one.wait_for("session 1") and front.host.sessions == 1
        front.host._seats = SeatsBehind(next_one.host)
        one.host.close()
        until(lambda: next_one.host.sessions)
        assert psnr(engine.draw(driven(9)), local(portrait()).draw(driven(9))) > 35
        assert engine._link.problem is None and "the host ends" in front.wait_for("session 1: ended")


def test_a_host_that_is_lost_behind_another_is_noted(one: Studio) -> None:
    from websockets.exceptions import ConnectionClosed

    with studio(behind=one.host) as front, raw_client(front.host) as connection:
        session_behind = next(iter(one.host._sessions.values()))
        assert isinstance(session_behind, session.Session)
        session_behind._connection.socket.shutdown(socket.SHUT_RDWR)
        with pytest.raises(ConnectionClosed):
            refusal_of(connection)
        assert "drawing failed" in front.wait_for("ended")


def test_a_full_host_behind_another_is_said_to_be_full() -> None:
    with studio(most=0) as full, studio(behind=full.host) as front:
        link_there = Link(front.known())
        link_there.start()
        assert until(lambda: link_there.problem).refusal is Refusal.FULL
        link_there.close()


def test_a_portrait_that_is_none_is_declined_and_the_session_goes_on(one: Studio) -> None:
    junk = b"this is no portrait"
    with raw_client(one.host) as connection:
        connection.send(encode(Offer(1, len(junk), False, hashlib.sha256(junk).digest())))
        assert read_from_host(connection.recv(10)) == protocol.Want(1, 0)
        connection.send(encode(Part(1, 0, junk)))
        assert read_from_host(connection.recv(10)) == protocol.Declined(1)
        connection.send(REFERRING)
        connection.send(order(1))
        connection.send(order(1))
        assert refusal_of(connection) is Refusal.REPLAY


def test_who_is_slow_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "HELLO_S", 0.3)
    monkeypatch.setattr(session, "SILENCE_S", 0.3)
    with studio() as one:
        with socket.create_connection(("127.0.0.1", one.host.address.port)) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\nHost: ")
            slow.settimeout(20)
            assert slow.recv(1) == b"", "the host hung up"
        assert "did not ask in time" in one.wait_for("a connection")
        with raw_client(one.host, greets=False) as connection:
            assert refusal_of(connection) is Refusal.SLOW if connection.recv(10) else False
        with raw_client(one.host) as connection:
            assert refusal_of(connection) is Refusal.SLOW
        assert one.wait_for("too slow")
        assert one.host.sessions == 0 or until(lambda: one.host.sessions == 0)


@pytest.mark.parametrize("is_behind", [False, True])
def test_who_waits_for_a_portrait_is_not_slow(one: Studio, is_behind: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine_of(one.known()) as engine:
        parcel = engine.prepare(portrait()).parcel
    prepare = WarpEngine.prepare

    def slowly(engine: WarpEngine, *args: Any, **options: Any) -> Any:
        threading.Event().wait(1.5)
        return prepare(engine, *args, **options)

    monkeypatch.setattr(WarpEngine, "prepare", slowly)
    monkeypatch.setattr(session, "SILENCE_S", 0.6)
    with studio(behind=one.host) if is_behind else contextlib.nullcontext(one) as front:
        link = Link(front.known())
        link.start()
        until(lambda: link.is_up)
        assert link.wait_ready(link.offer(parcel), 60)
        link.close()
        until(lambda: sum("frames" in line for line in one.lines) == 2)
    assert "too slow" not in " ".join(one.lines + front.lines)


def test_who_leaves_while_a_portrait_is_prepared_leaves_the_seat(one: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine_of(one.known()) as engine:
        parcel = engine.prepare(portrait()).parcel
    until(lambda: one.host.sessions == 0)
    begun = threading.Event()

    def endlessly(_: WarpEngine, asked: Portrait, *args: Any, **options: Any) -> None:
        begun.set()
        for _step in range(3000):  # a minute
            asked.checkpoint()
            threading.Event().wait(0.02)

    monkeypatch.setattr(WarpEngine, "prepare", endlessly)
    link = Link(one.known())
    link.start()
    until(lambda: link.is_up)
    link.offer(parcel)
    assert begun.wait(20) and one.host.sessions == 1
    link.close()
    until(lambda: one.host.sessions == 0, 20)


def test_only_so_many_strangers_at_a_time(one: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "MOST_STRANGERS", 3)
    strangers = [socket.create_connection(("127.0.0.1", one.host.address.port)) for _ in range(3)]
    until(lambda: one.host._strangers == 3)
    with socket.create_connection(("127.0.0.1", one.host.address.port)) as another:
        another.settimeout(20)
        assert another.recv(1) == b""
    for each in strangers:
        each.close()
    until(lambda: one.host._strangers == 0)
    ask_host(one.known())


def test_web_pages_are_not_answered(one: Studio) -> None:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect
    from websockets.typing import Origin

    here = f"ws://{one.host.address}/"
    for address, origin in ((here, Origin("http://somewhere.example")), (f"{here}other", None)):
        with pytest.raises(InvalidStatus), connect(address, proxy=None, origin=origin):
            pass


def test_a_session_too_many_is_refused_and_not_slowed() -> None:
    with studio(most=1) as one, engine_of(one.known(), portrait()) as engine:
        engine.draw(driven())
        with pytest.raises(RefusedError, match="The host is full"):
            ask_host(one.known())
        another = Link(one.known())
        another.start()
        assert until(lambda: another.problem).refusal is Refusal.FULL
        another.close()
        engine.draw(driven())
    one.wait_for("no room")


def test_room_is_what_frames_cost() -> None:
    assert Load(10.0, cores=2).sessions() == 6
    assert Load(10.0, cores=2, chip_ms=20.0).sessions() == 1
    assert Load(500.0, cores=1).sessions() == 1, "one is always tried"
    load = Load(1000.0, cores=2)
    for _ in range(300):
        load.note_frame()  # takes no time at all
    assert load.frame_ms < 100


def test_a_host_that_ends_says_so_and_takes_no_more() -> None:
    with studio() as one, engine_of(one.known(), portrait()) as engine:
        engine.draw(driven())
        one.host.drain(0.0)
        with pytest.raises(RefusedError, match="The host ends"):
            ask_host(one.known())
        engine.draw(driven())
        one.host.close()
        assert "the host ends" in one.wait_for("ended for")
        until(lambda: isinstance(engine._link.problem, AvatarError))
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith(("masque-d", "masque-p", "masque-h"))
    ]


def test_a_port_in_use_is_one_sentence(one: Studio) -> None:
    with pytest.raises(OutputError, match="cannot be listened at"):
        Host(one.host.address, TOKEN, OwnSeats(WarpEngine, Load(1.0)))


def test_no_host_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(EngineError, match="cannot be reached"):
        ask_host(KnownHost(Address("127.0.0.1", port), TOKEN))
    assert Link(KnownHost(Address("127.0.0.1", port), TOKEN)).close() is None, "one that never began"


def test_hosts_are_remembered_for_their_owner_only() -> None:
    with pytest.raises(UsageError, match="No host was used before"):
        find_host("")
    with pytest.raises(SetupError, match="needs a token"):
        find_host("192.168.1.20")
    for port in (1, 2):
        remember(KnownHost(Address("192.168.1.20", port), TOKEN, "ab" * 32, keep=port == 2))
    assert [str(each.address) for each in known_hosts().values()] == ["192.168.1.20:1", "192.168.1.20:2"]
    assert find_host("") == KnownHost(Address("192.168.1.20", 2), TOKEN, "ab" * 32, keep=True)
    assert find_host("192.168.1.20:1", "another-token-0123456789").token == "another-token-0123456789"
    own, is_new = own_token()
    assert is_new and own_token() == (own, False) and own_token(new=True)[0] != own
    assert find_host("localhost").token == own_token()[0], "a user's own host needs nothing"
    if sys.platform != "win32":
        for path in (known_hosts_path(), token_path()):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("number", "sentence", "remedy"),
    [(errno.ENOSPC, "The disk is full", "Free some space"), (errno.EROFS, "Read-only", "Make that folder writable")],
)
def test_what_cannot_be_kept_is_one_sentence(
    number: int, sentence: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    remember(KnownHost(Address("h", 1), TOKEN))
    before = known_hosts()
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(SetupError, match=sentence) as caught:
        remember(KnownHost(Address("i", 1), TOKEN))
    assert str(caught.value.remedy).startswith(remedy)
    assert known_hosts() == before
    assert [path.name for path in known_hosts_path().parent.iterdir()] == [known_hosts_path().name]


@pytest.mark.parametrize("content", ["junk", "[]", '{"a": 1}', '{"h:1": {"token": 1, "fingerprint": ""}}'])
def test_damaged_memories_are_as_none(content: str) -> None:
    known_hosts_path().parent.mkdir(parents=True, exist_ok=True)
    known_hosts_path().write_text(content)
    assert known_hosts() == {}
    remember(KnownHost(Address("h", 1), TOKEN))
    assert len(json.loads(known_hosts_path().read_text())) == 1


@pytest.mark.parametrize("text", ["", "a b", "h:99999", "http://h", "[::1", "h:1:2"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not an address"):
        Address.parse(text)


def test_addresses_read_as_they_are_written() -> None:
    for text, here in (("127.0.0.1:9", True), ("[::1]:9", True), ("localhost:8974", True), ("10.0.0.1:80", False)):
        assert str(Address.parse(text)) == text and Address.parse(text).is_here == here
    assert Address.parse("studio.local").port == protocol.PORT


def test_a_damaged_certificate_is_one_sentence(tmp_path: Path) -> None:
    token_path().parent.mkdir(parents=True, exist_ok=True)
    token_path().with_name("remote-host.pem").write_text("junk")
    with pytest.raises(SetupError, match=r"certificate .* cannot be used"):
        host_context()


def test_a_budget_refills_up_to_its_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("avatar.remote.load.time.monotonic", lambda: now_s)
    budget = Budget(10, 20)
    assert budget.spend(20) and not budget.spend(1)
    now_s = 0.5
    assert budget.spend(5) and not budget.spend(1)
    now_s = 1000.0
    assert not budget.spend(21) and budget.spend(20)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machine_needs_no_certificate(host: str) -> None:
    assert Address(host, 1).is_here


@pytest.mark.parametrize(
    "host", ["127.example.org", "127.0.0.1.example.org", "192.168.1.20", "0.0.0.0", "::", "fe80::1"]
)
def test_whatever_may_lead_elsewhere_needs_one(host: str) -> None:
    assert not Address(host, 1).is_here
