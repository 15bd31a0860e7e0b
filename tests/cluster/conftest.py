"""A Ray cluster for all tests of one file: it takes long to start, and what one file kills does not touch the next."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from clusters import STORE_BYTES, two_nodes
from places import ROOT


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without cores; nodes come and go."""
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # as an installed Masque would be found
    noticed_soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}  # a dead machine: not after 20 s
    head = {
        "num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False, "_system_config": noticed_soon,
    }  # fmt: skip
    started = Cluster(initialize_head=True, head_node_args=head)
    yield started
    started.shutdown()
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def nodes(cluster: Any) -> Iterator[list[Any]]:
    """Two nodes with one core each, and what a test adds."""
    there = two_nodes(cluster)
    yield there
    for node in there[2:]:
        cluster.remove_node(node)
