"""The page for OBS's browser source: who gets what, in a real browser where there is one."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import COMMAND, Page, chromium
from fakes import plain
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from avatar.cv import cv2
from avatar.errors import OutputError
from avatar.frames import Frame
from avatar.outputs.live.browser_source import _HEADER, _INVISIBLE, MOST_VIEWERS, BrowserSource, _coded, new_path

BLUE = (20, 60, 200)


def frame_at(number: int, level: int | None = None, size: tuple[int, int] = (64, 36)) -> Frame:
    """A blue disc on nothing; a plain opaque image where a level is given."""
    now_ns = time.monotonic_ns()
    if level is not None:
        return Frame(plain(level, size), number, now_ns, published=number)
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    disc = np.hypot(rows - size[1] / 2, columns - size[0] / 2) < 0.3 * size[1]
    rgb = np.where(disc[..., None], np.array(BLUE, np.uint8), np.uint8(0)).astype(np.uint8)
    return Frame(rgb, number, now_ns, published=number, alpha=np.where(disc, 255, 0).astype(np.uint8))


@pytest.fixture
def source() -> Iterator[BrowserSource]:
    opened = BrowserSource(0)
    yield opened
    opened.close()


def viewer(source: BrowserSource, **changes: Any) -> ClientConnection:
    """Somebody who looks, as the page does."""
    address = source.address.replace("http", "ws", 1) + "frames"
    return connect(address, origin=Origin(f"http://127.0.0.1:{source._port}"), max_size=None, **changes)


def seen(message: Any) -> tuple[int, Any, Any]:
    """Sequence, colour (H, W, 3) and alpha (H, W) or None of a message, of the whole frame."""
    sequence, length, width, height, left, top = _HEADER.unpack_from(message)
    parts = message[_HEADER.size : _HEADER.size + length], message[_HEADER.size + length :]

    def whole(part: bytes, kind: int, shape: tuple[int, ...]) -> Any:
        image = np.asarray(cv2.imdecode(np.frombuffer(part, np.uint8), kind))
        canvas = np.zeros(shape, np.uint8)
        canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
        return canvas

    colour = whole(parts[0], cv2.IMREAD_COLOR, (height, width, 3))[..., ::-1]
    return sequence, colour, whole(parts[1], cv2.IMREAD_GRAYSCALE, (height, width)) if parts[1] else None


def answer(source: BrowserSource, path: str | None = None, **headers: str) -> http.client.HTTPResponse:
    asked = http.client.HTTPConnection("127.0.0.1", source._port, timeout=10)
    asked.request("GET", f"/{source._path}/" if path is None else path, headers=headers)
    answered = asked.getresponse()
    answered.body = answered.read()  # type: ignore[attr-defined]
    asked.close()
    return answered


def wait(condition: Callable[[], Any]) -> None:
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s, "it never happened"
        time.sleep(0.01)


def test_a_viewer_gets_colour_and_alpha(source: BrowserSource) -> None:
    with viewer(source) as looking:
        wait(lambda: source.viewers == 1)
        source.send(frame_at(7))
        sequence, colour, alpha = seen(looking.recv(timeout=10))
        assert sequence == 7 and np.abs(colour[18, 32].astype(int) - BLUE).max() < 12
        assert alpha[18, 32] > 250 and alpha[1, 1] < 5
        looking.send((7).to_bytes(4, "little"))
        wait(lambda: source.latency_ms() is not None)
        source.send(frame_at(8, 90))
        assert seen(looking.recv(timeout=10))[2] is None, "opaque frames need none"
    wait(lambda: source.viewers == 0)


def patch_at(box: tuple[int, int, int, int], size: tuple[int, int] = (1280, 720), number: int = 1) -> Frame:
    """A blue rectangle (left, top, right, bottom) on nothing."""
    rgb, alpha = np.zeros((*size[::-1], 3), np.uint8), np.zeros(size[::-1], np.uint8)
    left, top, right, bottom = box
    rgb[top:bottom, left:right], alpha[top:bottom, left:right] = BLUE, 255
    return Frame(rgb, number, time.monotonic_ns(), published=number, alpha=alpha)


@pytest.mark.parametrize(
    ("box", "sent"),
    [
        ((1000, 500, 1100, 600), (960, 448, 1152, 640)),
        ((0, 0, 1, 1), (0, 0, 64, 64)),
        ((1279, 719, 1280, 720), (1216, 704, 1280, 720)),
        ((0, 0, 1280, 720), (0, 0, 1280, 720)),
        ((0, 0, 0, 0), (0, 0, 64, 64)),  # nothing at all
    ],
)
def test_only_the_part_with_the_avatar_is_sent(box: tuple[int, int, int, int], sent: tuple[int, int, int, int]) -> None:
    frame = patch_at(box)
    assert frame.alpha is not None
    frame.alpha[frame.alpha == 0] = _INVISIBLE  # as a matte may be where nothing is
    message = _coded(frame)
    *_, left, top = _HEADER.unpack_from(message)
    _, colour, alpha = seen(message)
    where = np.argwhere(alpha > 100)
    assert colour.shape == frame.rgb.shape and (left, top) == sent[:2]
    if len(where):
        (upper, first), (lower, last) = where.min(0), where.max(0)
        assert np.abs(np.array([first, upper, last + 1, lower + 1]) - box).max() <= 1
    length = _HEADER.unpack_from(message)[1]
    part = cv2.imdecode(np.frombuffer(message[_HEADER.size :][:length], np.uint8), cv2.IMREAD_COLOR)
    assert part is not None and part.shape[:2] == (sent[3] - sent[1], sent[2] - sent[0])


def test_the_time_of_drawing_is_that_of_the_answer_not_of_the_next_frame(source: BrowserSource) -> None:
    with viewer(source) as looking:
        wait(lambda: source.viewers == 1)
        source.send(frame_at(1))
        sequence, *_ = seen(looking.recv(timeout=10))
        looking.send(sequence.to_bytes(4, "little"))
        wait(lambda: source.latency_ms() is not None)  # although no other frame follows
        assert source.rate() > 0


def test_who_comes_later_sees_what_is_shown_at_once(source: BrowserSource) -> None:
    source.send(frame_at(3, 77))
    for _ in range(2):
        with viewer(source) as looking:
            assert seen(looking.recv(timeout=10))[0] == 3


def test_a_slow_viewer_skips_and_holds_nobody_up(source: BrowserSource) -> None:
    with viewer(source) as slow, viewer(source) as quick:
        wait(lambda: source.viewers == 2)
        for number in range(1, 41):
            source.send(frame_at(number, number))
            sequence, *_ = seen(quick.recv(timeout=10))
            assert sequence == number
            quick.send(sequence.to_bytes(4, "little"))
        got = [seen(slow.recv(timeout=10))[0] for _ in range(2)]
        with pytest.raises(TimeoutError):
            slow.recv(timeout=0.3)
        slow.send(got[0].to_bytes(4, "little"))
        assert seen(slow.recv(timeout=10))[0] == 40, "the newest, whatever came between"


def test_nothing_is_encoded_while_nobody_looks(source: BrowserSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar.outputs.live.browser_source._jpeg", lambda image: pytest.fail("for whom?"))
    for number in range(3):
        source.send(frame_at(number))


def test_two_viewers_share_one_encoding(source: BrowserSource, monkeypatch: pytest.MonkeyPatch) -> None:
    import avatar.outputs.live.browser_source as module

    encoded: list[int] = []
    real = module._jpeg
    monkeypatch.setattr(module, "_jpeg", lambda image: encoded.append(1) or real(image))
    with viewer(source) as one, viewer(source) as other:
        wait(lambda: source.viewers == 2)
        source.send(frame_at(1, 50))
        assert seen(one.recv(timeout=10))[0] == seen(other.recv(timeout=10))[0] == 1
    assert len(encoded) == 1


def test_only_the_right_path_has_a_page(source: BrowserSource) -> None:
    page = answer(source)
    assert page.status == 200 and b"WebGL" in page.body  # type: ignore[attr-defined]
    assert "nonce-" in page.headers["Content-Security-Policy"] and page.headers["Cache-Control"] == "no-store"
    for path in (
        "/",
        "/favicon.ico",
        f"/{new_path()}/",
        f"/{source._path}",
        f"/{source._path}/../",
        f"/{source._path}x/",
    ):
        refused = answer(source, path)
        assert refused.status == 404 and not refused.body, path  # type: ignore[attr-defined]


def test_a_name_that_only_points_here_gets_nothing(source: BrowserSource) -> None:
    """Another page may have its own name resolved to 127.0.0.1 and would then be of one origin with this one."""
    assert answer(source, Host=f"evil.example:{source._port}").status == 404
    assert answer(source, Host="127.0.0.1").status == 404
    assert answer(source, Host=f"localhost:{source._port}").status == 200


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1"])
def test_no_other_origin_gets_frames(source: BrowserSource, origin: Any) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(source.address.replace("http", "ws", 1) + "frames", origin=origin),
    ):
        pass
    assert refused.value.response.status_code == 403


def test_frames_need_the_path(source: BrowserSource) -> None:
    address = f"ws://127.0.0.1:{source._port}/{new_path()}/frames"
    with pytest.raises(InvalidStatus) as refused, connect(address, origin=Origin(f"http://127.0.0.1:{source._port}")):
        pass
    assert refused.value.response.status_code == 404


def test_it_listens_on_loopback_alone(source: BrowserSource) -> None:
    assert source._server.socket.getsockname()[0] == "127.0.0.1"


def test_there_is_an_end_to_viewers(source: BrowserSource) -> None:
    with contextlib.ExitStack() as opened:
        for _ in range(MOST_VIEWERS):
            opened.enter_context(viewer(source))
        wait(lambda: source.viewers == MOST_VIEWERS)
        with pytest.raises(InvalidStatus) as refused:
            opened.enter_context(viewer(source))
        assert refused.value.response.status_code == 503


def test_rubbish_from_a_viewer_ends_at_most_its_own_connection(source: BrowserSource) -> None:
    with viewer(source) as rude, viewer(source) as other:
        wait(lambda: source.viewers == 2)
        source.send(frame_at(1, 50))
        for message in (b"", "text", b"\xff" * 32, b"x" * 4096):
            with contextlib.suppress(Exception):
                rude.send(message)
        assert seen(other.recv(timeout=10))[0] == 1
        other.send((1).to_bytes(4, "little"))
        source.send(frame_at(2, 50))
        assert seen(other.recv(timeout=10))[0] == 2


def test_a_port_that_is_taken_is_named(source: BrowserSource) -> None:
    with pytest.raises(OutputError, match=str(source._port)) as refused:
        BrowserSource(source._port)
    assert "port" in refused.value.remedy


def test_it_can_be_opened_again_on_the_same_address() -> None:
    path = new_path()
    first = BrowserSource(0, path)
    port = first._port
    with viewer(first):
        wait(lambda: first.viewers == 1)
        first.close()
        first.close()
    second = BrowserSource(port, path)
    try:
        assert second.address == first.address
        with viewer(second):
            wait(lambda: second.viewers == 1)
    finally:
        second.close()


class Show:
    """Sends frames all the time."""

    def __init__(self, source: BrowserSource) -> None:
        self.source, self.size = source, (1280, 720)
        self.level: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Show:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(1 / 30):
            number += 1
            self.source.send(frame_at(number, self.level, self.size))


needs_browser = pytest.mark.skipif(COMMAND is None, reason="there is no Chromium (Debian: chromium)")


def shows(page: Page, corner: tuple[int, int, int], middle: tuple[int, int, int]) -> None:
    """Wait until a page over red shows two colours."""

    def is_so() -> bool:
        image = page.screenshot().astype(int)
        height, width = image.shape[:2]
        return bool(
            np.abs(image[4, 4] - corner).max() < 8
            and np.abs(image[height - 5, width - 5] - corner).max() < 8
            and np.abs(image[height // 2, width // 2] - middle).max() < 12
        )

    wait(is_so)


@needs_browser
@pytest.mark.timeout(300)
def test_a_browser_lays_the_avatar_over_what_is_behind(source: BrowserSource, tmp_path: Path) -> None:
    red, blue = (255, 0, 0), BLUE
    with Show(source) as show, chromium(tmp_path, (1280, 720)) as page:
        page.go_to(source.address)
        shows(page, red, blue)
        assert source.viewers == 1 and source.latency_ms() is not None
        page.reload()
        shows(page, red, blue)
        wait(lambda: source.viewers == 1)
        show.size = (640, 360)
        shows(page, red, blue)
        show.level = 128  # opaque
        shows(page, (128, 128, 128), (128, 128, 128))


@needs_browser
@pytest.mark.timeout(300)
def test_each_part_lies_in_its_place_on_a_page_of_any_shape(source: BrowserSource, tmp_path: Path) -> None:
    with chromium(tmp_path, (640, 480)) as page:  # the frame is half as large there, below 60 empty rows
        page.go_to(source.address)
        wait(lambda: source.viewers == 1)
        for left, top in ((1000, 500), (30, 20), (600, 620)):
            source._drawn_s.clear()
            source.send(patch_at((left, top, left + 80, top + 80), number=left))
            wait(lambda: source._drawn_s)
            seen = np.argwhere(np.abs(page.screenshot().astype(int) - BLUE).max(-1) < 60)
            (upper, first), (lower, last) = seen.min(0), seen.max(0)
            wanted = left / 2, 60 + top / 2, left / 2 + 39, 60 + top / 2 + 39
            assert np.abs(np.array([first, upper, last, lower]) - wanted).max() <= 1.5, (left, top)


@needs_browser
@pytest.mark.timeout(300)
def test_the_page_connects_again_by_itself_and_keeps_no_still(tmp_path: Path) -> None:
    path = new_path()
    first = BrowserSource(0, path)
    with chromium(tmp_path, (640, 360)) as page:
        with Show(first):
            page.go_to(first.address)
            shows(page, (255, 0, 0), BLUE)
        first.close()
        shows(page, (255, 0, 0), (255, 0, 0))
        second = BrowserSource(first._port, path)
        try:
            with Show(second):
                shows(page, (255, 0, 0), BLUE)
        finally:
            second.close()


@needs_browser
@pytest.mark.timeout(300)
def test_a_page_of_another_origin_gets_no_frames(source: BrowserSource, tmp_path: Path) -> None:
    with Show(source), chromium(tmp_path, (320, 180)) as page:
        page.go_to("about:blank")
        address = source.address.replace("http", "ws", 1) + "frames"
        told = page.ask(
            f"new Promise(done => {{ const s = new WebSocket('{address}'); "
            "s.onmessage = () => done('frames'); s.onopen = () => done('open'); s.onerror = () => done('refused'); })"
        )
        assert told == "refused" and source.viewers == 0
