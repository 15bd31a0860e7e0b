"""A local web server with the faults of servers on the internet."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

PAGE = b"<!DOCTYPE html><html><body>Please log in to the wireless network</body></html>"


class FakeMirror(ThreadingHTTPServer):
    """Serves `content` under paths that name a way of misbehaving; remembers what it was asked for."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.asked: list[tuple[str, str | None]] = []  # path and Range header of each request
        self.sent_bytes = 0
        self.release = threading.Event()  # /slow waits for it in the middle of the file

    def url(self, way: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{way}"


@contextlib.contextmanager
def serving(content: bytes) -> Iterator[FakeMirror]:
    server = FakeMirror(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="fake-mirror")
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: FakeMirror
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.asked.append((self.path, self.headers.get("Range")))
        getattr(self, "_" + self.path.strip("/").replace("-", "_"))()

    def _good(self) -> None:
        start = self._start()
        self._head(206 if start else 200, len(self.server.content) - start, start)
        self._send(self.server.content[start:])

    def _in_three(self) -> None:
        """Breaks off twice; the third connection brings the rest."""
        start, size = self._start(), len(self.server.content)
        end = next(b for a, b in pairwise([0, size // 3, 2 * size // 3, size]) if a <= start < b)
        self._head(206 if start else 200, size - start, start)
        self._send(self.server.content[start:end])

    def _truncated(self) -> None:
        """Never gets beyond the first half."""
        start, size = self._start(), len(self.server.content)
        self._head(206 if start else 200, size - start, start)
        self._send(self.server.content[start : size // 2])

    def _slow(self) -> None:
        start, half = self._start(), len(self.server.content) // 2
        self._head(206 if start else 200, len(self.server.content) - start, start)
        self._send(self.server.content[start:half])
        self.server.release.wait(timeout=30)
        self._send(self.server.content[max(start, half) :])

    def _no_range(self) -> None:
        """Ignores the wish for a part."""
        self._head(200, len(self.server.content), 0)
        self._send(self.server.content)

    def _other_part(self) -> None:
        self._head(206, len(self.server.content), 7)
        self._send(self.server.content)

    def _no_part(self) -> None:
        if self._start():
            return self.send_error(416)
        return self._good()

    def _no_length(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self._send(self.server.content)

    def _wrong(self) -> None:
        self._head(200, len(self.server.content), 0)
        self._send(bytes(len(self.server.content)))

    def _other_size(self) -> None:
        self._head(200, 1234, 0)
        self._send(bytes(1234))

    def _page(self) -> None:
        self._head(200, len(PAGE), 0, kind="text/html; charset=utf-8")
        self._send(PAGE)

    def _disguised_page(self) -> None:
        """A page that calls itself a file, without saying how long it is."""
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self._send(PAGE)

    def _length_of_text(self) -> None:
        self._nonsense("a lot")

    def _length_below_nothing(self) -> None:
        self._nonsense("-600000")

    def _length_in_other_digits(self) -> None:
        self._nonsense("\xb2")  # a superscript 2, a digit to `str.isdigit`

    def _length_without_end(self) -> None:
        self._nonsense("9" * 400)

    def _nonsense(self, length: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", length)
        self.end_headers()
        self._send(self.server.content)

    def _moved_to_nonsense(self) -> None:
        self.send_response(302)
        self.send_header("Location", "http://[")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _broken(self) -> None:
        self.send_error(500)

    def _missing(self) -> None:
        self.send_error(404)

    def _proxy(self) -> None:
        self.send_error(407)

    def _moved(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.server.url("good"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _start(self) -> int:
        asked = self.headers.get("Range", "bytes=0-")
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def _head(self, code: int, length: int, start: int, kind: str = "application/octet-stream") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        if code == 206:
            size = len(self.server.content)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()

    def _send(self, content: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # the client may have refused after the head
            self.wfile.write(content)
            self.server.sent_bytes += len(content)

    def log_message(self, format: str, *args: object) -> None:
        pass
