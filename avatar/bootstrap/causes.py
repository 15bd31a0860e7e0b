"""Error messages of pip, uv, venv and the system in a failed set-up, with explanations for the user."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avatar.errors import SetupError

if TYPE_CHECKING:
    from avatar.bootstrap.environment import Environment


@dataclass(frozen=True)
class Cause:
    """A pattern in the output, with its explanation and remedy."""

    pattern: str
    what: str  # {0} is replaced by the pattern's group
    remedy: str
    final: bool = False  # another installer would fail for the same reason


# Checked in this order, because the first are causes whose symptoms match later ones.
CAUSES = (
    Cause(
        r"No space left on device|not enough space on the disk|Errno 28|WinError 112|quota exceeded",
        "The disk is full.",
        "Free about 8 GB where Masque and the temporary folder are, and start again.",
        final=True,
    ),
    Cause(
        r"\b407 Proxy|ProxyError|Cannot connect to proxy|Tunnel connection failed",
        "The proxy did not let the installer through.",
        "Set HTTPS_PROXY=http://user:password@host:port as your network needs it, and start again.",
    ),
    Cause(
        r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError|SSLError",
        "The package index could not be reached over a trusted connection.",
        "Set PIP_CERT to your network's certificate file, check the computer's clock, and start again.",
    ),
    Cause(
        r"\b(?:401|403)\b (?:Client )?Error|User for .*:|Unauthorized|Forbidden for url",
        "The package index refused access.",
        "Check the user name and password in PIP_INDEX_URL or pip's configuration, and start again.",
    ),
    Cause(
        r"DO NOT MATCH THE HASHES|has an invalid wheel|BadZipFile|is invalid and can.t be installed",
        "A package arrived damaged.",
        "Start again; if it happens twice, run: python -m pip cache purge",
    ),
    Cause(
        r"No matching distribution found for (\S+)",
        "There is no {0} for this Python and this system on the package index.",
        "Use a 64-bit Python 3.11, 3.12 or 3.13 and, with a package index of your own, let it offer that package.",
    ),
    Cause(
        r"Name or service not known|NameResolutionError|getaddrinfo failed|nodename nor servname|name resolution",
        "There is no network: the package index could not be found.",
        "Connect to the internet (or set PIP_INDEX_URL to a package index you can reach), and start again.",
    ),
    Cause(
        r"Connection refused|unreachable|No route to host|timed out|Connection (?:aborted|reset)|NewConnectionError"
        r"|Max retries|ConnectionError|ConnectTimeout|IncompleteRead|\b5\d\d Server Error",
        "The package index did not answer, or the connection broke off.",
        "Check the network (or PIP_INDEX_URL), and start again.",
    ),
    Cause(
        r"ensurepip is not available|No module named (?:pip|ensurepip|venv)",
        "This Python cannot make environments: its pip is missing.",
        "On Debian and Ubuntu: sudo apt install python3-venv - elsewhere install Python from https://www.python.org/downloads",
    ),
    Cause(
        r"Read-only file system|Permission denied|Access is denied|WinError (?:5|32)\b|Operation not permitted",
        "Masque's folder {root} cannot be written, or a file in it is in use.",
        "Close every running Masque, or move the folder to a place that is yours, and start again.",
    ),
    Cause(
        r"ResolutionImpossible|conflicting dependencies",
        "The packages that are on offer do not fit together.",
        "If pip is configured with constraints or an index of your own, try without; else report it with the log.",
    ),
    Cause(
        r"Failed (?:to build|building wheel)|subprocess-exited-with-error|Microsoft Visual C\+\+",
        "A package has no ready-made build for this Python and system.",
        "Use a 64-bit Python 3.11, 3.12 or 3.13 from https://www.python.org/downloads",
    ),
    Cause(
        r"MemoryError|Cannot allocate memory",
        "There was not enough memory to install the packages.",
        "Close other programs and start again.",
        final=True,
    ),
)

# If the index is unreachable, pip also ends with "no matching distribution", with an empty list of versions.
_NOTHING_OFFERED = re.compile(r"ERROR: Could not find .*from versions: none\)\s+ERROR: No matching distribution.*")


def explain(said: str, environment: Environment) -> SetupError:
    """Convert the output of a failed step to one sentence, a remedy and the path of the log."""
    log = f" The log is {environment.log}" if environment.log.exists() else ""
    if found := _find(said):
        cause, match = found
        return SetupError(cause.what.format(*match.groups(), root=environment.root), remedy=cause.remedy + log)
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it was stopped from outside")
    return SetupError(f"The set-up failed: {last.removeprefix('ERROR: ')}", remedy=f"Start again.{log}")


def is_final(said: str) -> bool:
    """Return whether another installer would fail for the same reason."""
    found = _find(said)
    return found is not None and found[0].final


def _find(said: str) -> tuple[Cause, re.Match[str]] | None:
    for text in (_final_errors(said), _warnings(said)):
        for cause in CAUSES:
            if match := re.search(cause.pattern, text, re.IGNORECASE):
                return cause, match
    return None


def _warnings(said: str) -> str:
    """Return the warnings about retries, which show the cause if pip fails without naming one."""
    return "".join(line for line in said.splitlines(keepends=True) if line.startswith("WARNING:"))


def _final_errors(said: str) -> str:
    """Return the output without these warnings."""
    errors = "".join(line for line in said.splitlines(keepends=True) if not line.startswith("WARNING:"))
    return _NOTHING_OFFERED.sub("", errors) if "WARNING: Retrying" in said else errors
