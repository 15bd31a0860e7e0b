"""Secrets, readable by their owner only: a host's token and certificate, and the hosts that a client knows."""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import ipaddress
import json
import os
import re
import secrets
import ssl
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from avatar.errors import SetupError, UsageError
from avatar.remote.protocol import ENGINES, PORT
from avatar.settings import settings_path
from avatar.system.message import Message
from avatar.system.program import require
from avatar.system.small_files import read_json

_TOKEN_BYTES = 24
_TOKEN = re.compile("[A-Za-z0-9_-]{16,128}")
_LIFE = datetime.timedelta(days=3650)


@dataclass(frozen=True)
class Address:
    """Address of a host."""

    host: str
    port: int

    @staticmethod
    def parse(text: str) -> Address:
        """Parse "HOST", "HOST:PORT" or "[IPV6]:PORT". Raises: UsageError."""
        match = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>\d{1,5}))?", text)
        port = int(match["port"] or PORT) if match else 0
        if match is None or port > 65535:
            raise UsageError(
                Message("{text} is not an address of a host.", text=text),
                remedy=Message("Write it like 192.168.1.20:{port} or [::1]:{port}.", port=PORT),
            )
        return Address(match["six"] or match["host"], port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_here(self) -> bool:
        """True for this machine's loopback, which nobody else reaches."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"  # other names, such as 127.example.org, may lead anywhere


@dataclass(frozen=True)
class KnownHost:
    """A host as a client knows it."""

    address: Address
    token: str
    fingerprint: str = ""  # SHA-256 of its certificate, 64 hexadecimal digits; empty: without TLS, on this machine
    keep: bool = False  # it may keep portraits after the session
    engine: str = ENGINES[0]  # that it drew with, when it was asked last


def token_path() -> Path:
    """Return the path of the host's token."""
    return settings_path().with_name("remote-token")


def own_token(*, new: bool = False) -> tuple[str, bool]:
    """Return the host's token, and whether it was made now. Raises: SetupError: it cannot be kept."""
    if not new and (token := kept_token()) is not None:
        return token, False
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    _write_private(token_path(), token.encode())
    return token, True


def kept_token() -> str | None:
    """Return this user's own token as a host, if there is one."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = token_path().read_bytes()[:200].decode().strip()
        if _TOKEN.fullmatch(text):
            return text
    return None


def check_token(token: str) -> str:
    """Return a token without surrounding blanks. Raises: UsageError: it cannot be one."""
    if not _TOKEN.fullmatch(token.strip()):
        raise UsageError("This is not a token of a host.", remedy="Copy it from what `serve` shows.")
    return token.strip()


def check_fingerprint(text: str) -> str:
    """Return a fingerprint as 64 small hexadecimal digits; colons and blanks are allowed. Raises: UsageError."""
    digits = re.sub("[: ]", "", text).lower()
    if not re.fullmatch("[0-9a-f]{64}", digits):
        raise UsageError("This is not a fingerprint of a host.", remedy="Copy all 64 digits from what `serve` shows.")
    return digits


def fingerprint_of(certificate_der: bytes) -> str:
    """Return the fingerprint of a certificate."""
    return hashlib.sha256(certificate_der).hexdigest()


def host_context() -> tuple[ssl.SSLContext, str]:
    """Return the host's TLS context and its certificate's fingerprint; made at the first start.

    Raises:
        SetupError: they cannot be made or kept.
    """
    path = settings_path().with_name("remote-host.pem")
    if not path.is_file():
        _write_private(path, _make_certificate())
    try:
        return _context_of(path)
    except (OSError, ValueError) as error:
        raise SetupError(
            Message("The host's certificate {path} cannot be used.", path=path),
            remedy="Delete it; a new one is made, whose fingerprint clients have to be told.",
        ) from error


def passing_context() -> tuple[ssl.SSLContext, str]:
    """Return a TLS context with a certificate that nobody keeps, and its fingerprint. Raises: SetupError, OSError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "passing.pem"
        _write_private(path, _make_certificate())
        return _context_of(path)


def _context_of(path: Path) -> tuple[ssl.SSLContext, str]:
    """Return a host's TLS context and its certificate's fingerprint. Raises: OSError, ValueError: it is damaged."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # they arrive while the client writes, which OpenSSL cannot bear from two threads at once
    context.load_cert_chain(path)
    pem = path.read_text("ascii")
    certificate = pem[pem.index("-----BEGIN CERTIFICATE") :]
    return context, fingerprint_of(ssl.PEM_cert_to_DER_cert(certificate))


def client_context() -> ssl.SSLContext:
    """Return a TLS context that leaves it to the fingerprint whether the host is the right one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def known_hosts_path() -> Path:
    """Return the path of the hosts that were used."""
    return settings_path().with_name("remotes.json")


def known_hosts() -> dict[str, KnownHost]:
    """Return the hosts that were used, by address, the last one last; entries that cannot be read are left out."""
    try:
        found = read_json(known_hosts_path())
    except (OSError, ValueError):
        return {}
    hosts = {}
    for text, entry in found.items() if isinstance(found, dict) else ():
        with contextlib.suppress(UsageError, KeyError, TypeError, AttributeError):
            fingerprint = entry["fingerprint"] and check_fingerprint(entry["fingerprint"])
            keep = entry.get("keep") is True
            engine = entry.get("engine")
            hosts[text] = KnownHost(
                Address.parse(text), check_token(entry["token"]), fingerprint, keep,
                engine if engine in ENGINES else ENGINES[0],
            )  # fmt: skip
    return hosts


def remember(host: KnownHost) -> None:
    """Keep a host as the last one used. Raises: SetupError: it cannot be kept."""
    hosts = known_hosts()
    hosts.pop(str(host.address), None)
    hosts[str(host.address)] = host
    entries = {
        text: {"token": each.token, "fingerprint": each.fingerprint, "keep": each.keep, "engine": each.engine}
        for text, each in hosts.items()
    }
    _write_private(known_hosts_path(), json.dumps(entries, indent=1).encode())


def find_host(
    text: str, token: str | None = None, fingerprint: str | None = None, keep: bool | None = None
) -> KnownHost:
    """Return a host by its address, with what is given and otherwise what is known of it.

    Args:
        text: its address; empty: the one that was used last.
        token: of the host; None: as known; on this machine the user's own host's.
        fingerprint: of its certificate; None: as known.
        keep: it may keep portraits; None: as known.
    Raises:
        UsageError, SetupError: something is missing.
    """
    known = known_hosts()
    if not text and not known:
        raise UsageError("No host was used before.", remedy="Give --remote its address.")
    address = Address.parse(text or list(known)[-1])
    before = known.get(str(address))
    pin = check_fingerprint(fingerprint) if fingerprint else before.fingerprint if before else ""
    secret = check_token(token) if token else before.token if before else kept_token() if address.is_here else None
    if secret is None:
        raise SetupError(
            Message("The host at {address} needs a token.", address=str(address)),
            remedy="Give --token what `serve` showed at its first start.",
        )
    if not pin and not address.is_here:
        raise SetupError(
            Message("The host at {address} needs a fingerprint.", address=str(address)),
            remedy="Give --fingerprint what `serve` shows.",
        )
    host = before or KnownHost(address, secret)
    return replace(host, token=secret, fingerprint=pin, keep=host.keep if keep is None else keep)


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, atomically. Raises: SetupError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
            Path(draft).replace(path)
        finally:
            Path(draft).unlink(missing_ok=True)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise SetupError(
                Message("The disk is full: {path} could not be written.", path=path),
                remedy="Free some space and try again.",
            ) from error
        raise SetupError(
            Message("{path} cannot be written: {why}.", path=path, why=error.strerror or error),
            remedy="Make that folder writable.",
        ) from error


def _make_certificate() -> bytes:
    """Make a key and a certificate that it signs itself, in PEM. Raises: SetupError: cryptography is missing."""
    require("cryptography", "A host for other machines")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Masque host")])  # names nobody
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _LIFE)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
