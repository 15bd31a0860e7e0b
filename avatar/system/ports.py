"""Ports of this machine: why one cannot be had, and under which address others reach it."""

from __future__ import annotations

import logging
import socket

_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}  # RFC 5737, RFC 3849: nobody's


def why_not_bound(error: OSError) -> str:
    """Return why binding a port failed, without the arguments that `socket.create_server` adds."""
    return (error.strerror or str(error)).partition(" (while ")[0]


def address_for_others(host: str) -> str:
    """Return what other machines put in for a listening address: this machine's own where it is 0.0.0.0 or ::."""
    if host not in ("0.0.0.0", "::"):
        return host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as route:
            route.connect((_ELSEWHERE[family], 9))  # chooses the interface; nothing is sent
            return str(route.getsockname()[0])
    except OSError:
        return socket.gethostname()


def quiet_logger(name: str) -> logging.Logger:
    """Return a logger for a library's own lines about connections, which would name clients."""
    quiet = logging.getLogger(f"{name}.port")
    quiet.setLevel(logging.CRITICAL)
    return quiet
