"""A Ray cluster for all tests of one file: it takes long to start, and what one file kills does not touch the next."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import pytest
from clusters import STORE_BYTES, with_nodes
from places import ROOT


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head without cores; nodes come and go."""
    import ray
    from ray.cluster_utils import Cluster

    noticed_soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}  # a dead machine: not after 20 s
    head = {
        "num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False, "_system_config": noticed_soon,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # as an installed Masque would be found
        if not Path(cache_from_source(ray.__file__)).exists():
            # A cluster is some fifty processes of Python: compiling all packages in each takes longer than the tests.
            patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
            patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
        started = Cluster(initialize_head=True, head_node_args=head)
        yield started
        started.shutdown()


@pytest.fixture
def nodes(cluster: Any) -> Iterator[list[Any]]:
    """Two nodes with one core each, and what a test adds."""
    yield from _lent(cluster, 2)


@pytest.fixture
def one_node(cluster: Any) -> Iterator[list[Any]]:
    """One node with one core, and what a test adds."""
    yield from _lent(cluster, 1)


def _lent(cluster: Any, count: int) -> Iterator[list[Any]]:
    there = with_nodes(cluster, count)
    yield there
    for node in there[count:]:
        cluster.remove_node(node)
