"""The certificate that signs recordings: created and kept on this machine, without a name.

It is not vouched for by an authority, so readers elsewhere see that a file is unchanged since Masque made it, not who
used Masque. All files signed with it can be linked to one installation; deleting it (`signing.pem`, in the settings
folder) ends that.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avatar.settings import settings_path

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder, KeyUsage, Name

_LIFE = datetime.timedelta(days=3650)
_BEGINS = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class SigningKey:
    """A private key and the certificates that belong to it, in PEM."""

    key: bytes
    chain: bytes  # the signing certificate, then that of its authority
    authority: bytes


def signing_path() -> Path:
    """Return the path of the signing key."""
    return settings_path().with_name("signing.pem")


def load_signing_key() -> SigningKey | None:
    """Return the existing key, if it is complete and currently valid: not expired, and not dated in the future."""
    try:
        text = signing_path().read_bytes()
    except OSError:
        return None
    key, *certificates = text.split(_BEGINS)
    if len(certificates) != 2 or b"PRIVATE KEY" not in key or not _is_valid(_BEGINS + certificates[0]):
        return None
    chain = b"".join(_BEGINS + certificate for certificate in certificates)
    return SigningKey(key, chain, _BEGINS + certificates[1])


def own_signing_key() -> SigningKey:
    """Return the existing signing key, or create one.

    Raises:
        OSError: the settings folder cannot be written.
        ImportError: the package cryptography is not installed.
    """
    if (kept := load_signing_key()) is not None:
        return kept
    made = _make()
    path = signing_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix=".signing.", dir=path.parent)  # readable by its owner only
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(made.key + made.chain)
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)
    return made


def _is_valid(certificate: bytes) -> bool:
    from cryptography.x509 import load_pem_x509_certificate

    with contextlib.suppress(ValueError):
        read = load_pem_x509_certificate(certificate)
        return read.not_valid_before_utc <= _now() < read.not_valid_after_utc
    return False


def _make() -> SigningKey:
    """Create a certificate authority, whose key is discarded, and the one certificate it signs.

    The extensions are those that the C2PA specification requires ("C2PA certificate profile"), which does not allow
    self-signed certificates.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = "Masque local authority"
    authority = (
        _blank(name, name, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    own = (
        _blank("Masque, self-made", name, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    plain, form = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
    return SigningKey(
        key.private_bytes(serialization.Encoding.PEM, form, plain), _pem(own) + _pem(authority), _pem(authority)
    )


def _blank(subject: str, issuer: str, key: EllipticCurvePrivateKey) -> CertificateBuilder:
    from cryptography import x509

    builder = x509.CertificateBuilder().subject_name(_name(subject)).issuer_name(_name(issuer))
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(_now() - datetime.timedelta(days=1)).not_valid_after(_now() + _LIFE)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _name(common: str) -> Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Masque"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _usage(*, signs_certificates: bool) -> KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
