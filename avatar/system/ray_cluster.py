"""Joining a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from avatar.errors import SetupError
from avatar.system.message import Message
from avatar.system.program import require

_ANSWER_S = 5.0
_QUIET = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": "masque"}


def join_cluster(address: str, announce: Callable[[str], None]) -> Any:
    """Join a cluster and return the module `ray`.

    Args:
        address: of the cluster's head (HOST:PORT, or ray://HOST:PORT), or "auto": the cluster that RAY_ADDRESS
            names or this machine is part of, and where there is none, one of this machine that ends with this process;
            "local": such a one in any case.
        announce: is told if a cluster had to be started.
    Raises:
        SetupError: Ray is not installed, or the cluster does not answer.
    """
    require("ray", Message("The option {name}", name="--ray"))
    import ray

    try:
        _check_answers(address)
        _connect(ray, address, announce)
    except Exception as error:  # Ray raises many kinds, and a bare one where its own processes start too slowly
        raise SetupError(
            Message("There is no Ray cluster at {address}: {error}", address=address, error=error),
            remedy="Start one with `ray start --head`, or leave --ray out to use this machine alone.",
        ) from error
    return ray


def _connect(ray: Any, address: str, announce: Callable[[str], None]) -> None:
    try:
        ray.init(address=address, **_QUIET)
    except ConnectionError:
        if address != "auto":
            raise
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # of Ray's makers; a cluster of others is theirs
        ray.init(address="local", include_dashboard=False, **_QUIET)
        cores = int(ray.cluster_resources().get("CPU", 0))
        announce(
            Message(
                "No Ray cluster runs here, so one was started on this machine alone, with {cores} cores. "
                "`ray start --head` starts one that other machines can join.",
                cores=cores,
            )
        )


def _check_answers(address: str) -> None:
    """Raise OSError at once where nobody answers at HOST:PORT: Ray itself waits for minutes."""
    host, _, port = address.rpartition(":")
    if host and "/" not in address and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
