"""Clusters of several Ray nodes on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

STORE_BYTES = 80_000_000


def until(true: Callable[[], Any], timeout_s: float = 120.0) -> Any:
    """Wait for something and return it; a node may need a minute to start on a busy machine."""
    deadline_s = time.monotonic() + timeout_s
    while not (found := true()):
        assert time.monotonic() < deadline_s, "it never came true"
        time.sleep(0.05)
    return found


def with_nodes(cluster: Any, count: int) -> list[Any]:
    """Return just as many nodes, with one core each; those that an earlier test left alive serve again."""
    there = list(cluster.worker_nodes)
    while len(there) > count:
        cluster.remove_node(there.pop())
    while len(there) < count:
        there.append(cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES))
    cluster.wait_for_nodes()
    return there
