"""Content Credentials (C2PA): a signed note in recordings and snapshots that says what made them, and reading it back.

Needs the package c2pa-python; without it files stay as they are. Nothing is asked of the network.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar import __version__
from avatar.atomic import replacing
from avatar.certificate import load_signing_key, own_signing_key
from avatar.errors import OutputError, SetupError, UsageError
from avatar.foreign_text import quoted, shown
from avatar.unsigned import remember

logger = logging.getLogger(__name__)

MIME = {".mp4": "video/mp4", ".png": "image/png"}  # of the files that are signed here
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = "trainedAlgorithmicMedia"  # IPTC's words: by a trained model alone,
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"  # and together with what was recorded, such as a voice
_KINDS = {
    GENERATED: "made by a trained model",
    COMPOSITE: "made by a trained model together with recorded sound or pictures",
}
_UNTRUSTED = "signingCredential.untrusted"
_OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


@dataclass(frozen=True)
class Credentials:
    """What the note in a file says: the words of whoever signed it, to be shown by `avatar.foreign_text` alone."""

    generator: str  # the program that signed it
    kind: str  # IPTC's digital source type, its last word; another vocabulary's in full
    signer: str
    from_here: bool  # signed with this installation's own certificate
    problems: tuple[str, ...]  # why the note or the file cannot be believed; empty: unchanged since it was signed

    @property
    def about(self) -> str:
        """The kind for people; empty: the file names none that is known here."""
        return _KINDS.get(self.kind, "")


def get_ready_to_sign() -> None:
    """Load what signing needs and make the certificate, so that a stop does not wait for it; never fails."""
    try:
        import c2pa  # noqa: F401

        own_signing_key()
    except Exception as error:  # told by `sign`, when it matters
        logger.debug("Signing will fail: %s", error)


def sign(path: Path, *, composite: bool = False) -> bool:
    """Put the note into a finished file, in place; the file is as it was if that fails, and that is logged.

    Args:
        path: .mp4 or .png.
        composite: recorded sound or pictures are part of it.
    Returns:
        Whether it carries the note now; False also where c2pa-python is not installed.
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
    except Exception as error:  # a show must not end because its note could not be written
        logger.warning("%s carries no Content Credentials: %s", shown(path.name), shown(error, 300))
        return False
    return True


def sign_or_remember(path: Path, *, composite: bool) -> bool:
    """Sign a file that was just made; where that fails, put it on record, so that it can be signed later.

    Returns:
        Whether either was done.
    """
    return sign(path, composite=composite) or remember(path, composite=composite)


def read_credentials(path: Path) -> Credentials | None:
    """Read the note back and compare it with the file; None: there is none.

    Raises:
        UsageError: no such file, or of a kind that carries no such notes.
        OutputError: the note is damaged beyond reading.
        SetupError: c2pa-python is not installed.
    """
    if not path.is_file():
        what = f"{path} is no ordinary file." if path.exists() else f"There is no file {path}."
        raise UsageError(what, remedy="Check the name and the folder.")
    try:
        import c2pa
    except ImportError as error:
        raise SetupError(
            "Reading Content Credentials needs the package c2pa-python.",
            remedy="Start without --no-setup, or install it.",
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
        raise UsageError(f"{path.name} is not a kind of file that carries Content Credentials.", remedy="") from error
    except (c2pa.C2paError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise OutputError(
            f"The Content Credentials of {shown(path.name)} cannot be read: {quoted(error, 300)}.",
            remedy="The file was damaged or changed.",
        ) from error


def _manifest(kind: str) -> dict[str, Any]:
    """What is signed. No title, since a file's name may be a person's."""
    agent = {"name": "Masque", "version": __version__}
    created = {"action": "c2pa.created", "digitalSourceType": _SOURCE_TYPE + kind, "softwareAgent": agent}
    return {
        "claim_generator_info": [agent],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
    }


def _read(report: dict[str, Any], state: str) -> Credentials:
    """Sum up c2pa's report and its verdict: "Trusted", "Valid" (signed by somebody unknown) or "Invalid"."""
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
