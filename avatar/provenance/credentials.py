"""Content Credentials (C2PA): a signed manifest in recordings and snapshots that says how they were made.

Needs the package c2pa-python; without it files stay unsigned. The network is not used.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar import __version__
from avatar.errors import OutputError, SetupError, UsageError
from avatar.provenance.certificate import load_signing_key, own_signing_key
from avatar.provenance.unsigned import remember
from avatar.system.atomic import replacing
from avatar.system.foreign_text import quoted, shown
from avatar.system.message import Message
from avatar.system.program import how_to_install

logger = logging.getLogger(__name__)

MIME = {".mp4": "video/mp4", ".png": "image/png"}  # types of the files that are signed
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = "trainedAlgorithmicMedia"  # IPTC term: by a trained model alone,
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"  # and together with recorded media, such as a voice
_KINDS = {
    GENERATED: "made by a trained model",
    COMPOSITE: "made by a trained model together with recorded sound or pictures",
}
_UNTRUSTED = "signingCredential.untrusted"
_OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


@dataclass(frozen=True)
class Credentials:
    """The manifest of a file: untrusted text, to be shown only through `avatar.system.foreign_text`."""

    generator: str  # the signing program
    kind: str  # IPTC's digital source type, last component; of another vocabulary, in full
    signer: str
    from_here: bool  # signed with this installation's own certificate
    problems: tuple[str, ...]  # reasons not to trust the manifest; empty: unchanged since it was signed

    @property
    def about(self) -> str:
        """Readable form of the kind; empty if it is unknown."""
        return _KINDS.get(self.kind, "")


def get_ready_to_sign() -> None:
    """Load the package and create the certificate in advance, so that stopping does not wait for them; never fails."""
    try:
        import c2pa  # noqa: F401

        own_signing_key()
    except Exception as error:  # reported by `sign`, if needed
        logger.debug("Signing will fail: %s", error)


def sign(path: Path, *, composite: bool = False) -> bool:
    """Sign a finished file, in place; on failure the file is unchanged and the error is logged.

    Args:
        path: .mp4 or .png.
        composite: it contains recorded sound or camera images.
    Returns:
        True if it is signed now; False also if c2pa-python is not installed.
    """
    try:
        import c2pa

        key = own_signing_key()
        info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, key.chain, key.key, None)
        settings = c2pa.Settings.from_dict(_OFFLINE | {"builder": {"thumbnail": {"enabled": False}}})
        with (
            c2pa.Signer.from_info(info) as signer,
            c2pa.Context(settings) as context,
            c2pa.Builder(_manifest(COMPOSITE if composite else GENERATED), context) as builder,
            replacing(path) as part,
            path.open("rb") as plain,
            part.open("w+b") as signed,
        ):
            builder.sign(signer, MIME[path.suffix.lower()], plain, signed)
    except ImportError:
        logger.info("%s carries no Content Credentials: c2pa-python is not installed.", shown(path.name))
        return False
    except Exception as error:  # a failed signature must not end the session
        logger.warning("%s carries no Content Credentials: %s", shown(path.name), shown(error, 300))
        return False
    return True


def sign_or_remember(path: Path, *, composite: bool) -> bool:
    """Sign a new file; if that fails, record it so that it can be signed later.

    Returns:
        True if either succeeded.
    """
    return sign(path, composite=composite) or remember(path, composite=composite)


def read_credentials(path: Path) -> Credentials | None:
    """Read the manifest of a file and verify it; None if there is none.

    Raises:
        UsageError: the file is missing, or of a kind without Content Credentials.
        OutputError: the manifest is damaged.
        SetupError: c2pa-python is not installed.
    """
    if not path.is_file():
        what = (
            Message("{path} is not a regular file.", path=path)
            if path.exists()
            else Message("There is no file {path}.", path=path)
        )
        raise UsageError(what, remedy="Check the name and the folder.")
    try:
        import c2pa
    except ImportError as error:
        raise SetupError(
            "Reading Content Credentials needs the package c2pa-python.",
            remedy=how_to_install("c2pa"),
        ) from error
    own = load_signing_key()
    trust = {"trust": {"user_anchors": own.authority.decode()}} if own else {}
    try:
        with (
            c2pa.Context(c2pa.Settings.from_dict(_OFFLINE | trust)) as context,
            c2pa.Reader(path, context=context) as reader,
        ):
            return _read(json.loads(reader.json()), str(reader.get_validation_state()))
    except c2pa.C2paError.ManifestNotFound:
        return None
    except c2pa.C2paError.NotSupported as error:
        raise UsageError(
            Message("{name} is not a kind of file that carries Content Credentials.", name=path.name), remedy=""
        ) from error
    except (c2pa.C2paError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise OutputError(
            Message(
                "The Content Credentials of {name} cannot be read: {error}.",
                name=shown(path.name),
                error=quoted(error, 300),
            ),
            remedy="The file was damaged or changed.",
        ) from error


def _manifest(kind: str) -> dict[str, Any]:
    """Build the manifest to sign, without a title, because file names may contain personal names."""
    agent = {"name": "Masque", "version": __version__}
    created = {"action": "c2pa.created", "digitalSourceType": _SOURCE_TYPE + kind, "softwareAgent": agent}
    return {
        "claim_generator_info": [agent],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
    }


def _read(report: dict[str, Any], state: str) -> Credentials:
    """Summarise c2pa's report and verdict: "Trusted", "Valid" (unknown signer) or "Invalid"."""
    manifest = report["manifests"][report["active_manifest"]]
    generator = (manifest.get("claim_generator_info") or [{}])[0]
    signature = manifest.get("signature_info") or {}
    statuses = report.get("validation_status") or []
    problems = [str(status.get("explanation") or status["code"]) for status in statuses if status["code"] != _UNTRUSTED]
    if not problems and state not in ("Trusted", "Valid"):
        problems = ["its signature does not hold"]
    return Credentials(
        generator=f"{generator.get('name', 'an unnamed program')} {generator.get('version', '')}".strip(),
        kind=_kind_of(manifest),
        signer=str(signature.get("common_name") or signature.get("issuer") or "nobody"),
        from_here=state == "Trusted",
        problems=tuple(problems),
    )


def _kind_of(manifest: dict[str, Any]) -> str:
    for assertion in manifest.get("assertions") or []:
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            for action in assertion["data"].get("actions") or []:
                if kind := action.get("digitalSourceType"):
                    return str(kind).removeprefix(_SOURCE_TYPE)
    return ""
