"""A crew on a Ray cluster: Ray says where tasks run and which machines died; what is left to do, the batch knows."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from avatar import __version__
from avatar.engines.registry import find_engine
from avatar.offline.batch.crew import Terms, outcome_of
from avatar.offline.batch.node import Node, clear
from avatar.offline.batch.work import Draw, DrawSegment, Failure, Outcome, Task, perform
from avatar.system.message import Message
from avatar.system.ray_cluster import join_cluster

_LOOK_S = 2.0  # how long the number of cores is believed
_CLEARING_S = 10.0
CARD_SHARE = 0.25  # of a card that a task asks for: four keep one busy while others encode, and fit into 8 GB


@dataclass(frozen=True)
class _Under:
    """A task under way."""

    number: int
    task: Task
    avoid: frozenset[str]
    has_card: bool


class RayCrew:
    """The cores and cards of a cluster; see `avatar.offline.batch.crew.Crew`."""

    def __init__(self, address: str, terms: Terms, announce: Callable[[str], None] = lambda _: None) -> None:
        """Connect.

        Args:
            address: of the cluster's head (HOST:PORT, or ray://HOST:PORT), or "auto": the cluster that RAY_ADDRESS
                names or this machine is part of, and where there is none, one of this machine for this batch; "local":
                such a one in any case.
            terms: of the batch.
            announce: is told if a cluster had to be started.
        Raises:
            SetupError: Ray is not installed, or the cluster does not answer.
        """
        ray = join_cluster(address, announce)
        self._ray, self._terms = ray, terms
        self._task = ray.remote(max_retries=0, max_calls=0)(_perform_there)
        self._under: dict[Any, _Under] = {}
        self._cores, self._has_cards, self._seen_s = 0, False, float("-inf")

    @property
    def slots(self) -> int:
        """Number of tasks that the living machines can work on: one for each core."""
        self._look()
        return self._cores

    def submit(self, number: int, task: Task, avoid: frozenset[str]) -> None:
        """Hand the task to Ray."""
        self._look()
        has_card = self._has_cards and _wants_card(task)
        options: dict[str, Any] = {"num_cpus": self._terms.threads, "num_gpus": CARD_SHARE if has_card else 0}
        if avoid and (other := self._other_than(avoid)):
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(other, soft=True)
        reference = self._task.options(**options).remote(task, self._terms, __version__)
        self._under[reference] = _Under(number, task, avoid, has_card)

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Return what the workers say, and what Ray says of workers and machines that died."""
        if not self._under:
            time.sleep(timeout_s)  # no machine at all: one may come
            return []
        self._do_without_cards()
        ready, _ = self._ray.wait(list(self._under), num_returns=1, timeout=timeout_s)
        if ready:  # and whatever else is there
            ready, _ = self._ray.wait(list(self._under), num_returns=len(self._under), timeout=0)
        return [self._outcome(reference) for reference in ready]

    def close(self) -> None:
        """Cancel what is under way, let the machines clear up, and disconnect."""
        if not self._ray.is_initialized():
            return
        with contextlib.suppress(Exception):  # a cluster that is gone needs no farewell
            for reference in self._under:
                self._ray.cancel(reference, force=True)
            self._clear_up()
        self._under.clear()
        self._ray.shutdown()

    def _outcome(self, reference: Any) -> Outcome:
        under = self._under.pop(reference)
        try:
            where, result = self._ray.get(reference, timeout=30)
        except self._ray.exceptions.RayError as error:
            self._seen_s = float("-inf")  # a machine may be gone
            what = Message("The worker or its machine was lost ({kind}).", kind=type(error).__name__)
            remedy = "If it ran out of memory, give the workers more cores or machines with more."
            where = next((node for node in self._alive() if node in str(error)), "")  # Ray names it, but not always
            return Outcome(under.number, failure=Failure(what, remedy), where=where)
        return outcome_of(under.number, result, where)

    def _do_without_cards(self) -> None:
        """Hand tasks out anew that wait for a card after the last machine with cards died: Ray would wait forever."""
        self._look()
        if self._has_cards:
            return
        for reference, under in [(each, under) for each, under in self._under.items() if under.has_card]:
            self._ray.cancel(reference, force=True)
            del self._under[reference]
            self.submit(under.number, under.task, under.avoid)

    def _look(self) -> None:
        if time.monotonic() - self._seen_s > _LOOK_S:
            there = self._ray.cluster_resources()
            self._cores, self._has_cards = int(there.get("CPU", 0)), there.get("GPU", 0) > 0
            self._seen_s = time.monotonic()

    def _alive(self) -> list[str]:
        return [node["NodeID"] for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]

    def _other_than(self, avoid: frozenset[str]) -> str | None:
        """Return a machine that a task was not tried on yet; the one that fewest tasks were sent to is Ray's affair."""
        return next((node for node in self._alive() if node not in avoid), None)

    def _clear_up(self) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = [
            self._task.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                None, self._terms, __version__
            )
            for node in self._alive()
        ]
        self._ray.wait(there, num_returns=len(there), timeout=_CLEARING_S)


_nodes: dict[str, Node] = {}  # of this worker process, by batch: the next task finds everything loaded


def _perform_there(task: Task | None, terms: Terms, version: str) -> tuple[str, object]:
    """Perform a task in a Ray worker; returns the machine and what came of it. None: clear up."""
    import ray

    where = ray.get_runtime_context().get_node_id()
    if task is None:
        clear(terms.run)
        return where, None
    if version != __version__:
        what = Message("A machine of the cluster runs Masque {there}, not {here}.", there=__version__, here=version)
        return where, Failure(what, "Install the same version on all of them.")
    return where, perform(_on_its_card(task, ray.get_gpu_ids()), lambda: _node_of(terms))


def _node_of(terms: Terms) -> Node:
    """Return this process's node of a batch, and forget those of other batches. Raises: OutputError."""
    if terms.run not in _nodes:
        for node in _nodes.values():
            node.close()
        _nodes.clear()
        _nodes[terms.run] = Node(terms.run, terms.threads)
    return _nodes[terms.run]


def _on_its_card(task: Task, cards: list[Any]) -> Task:
    """Return a task with the card that Ray chose as its device.

    Ray hides the other cards by an environment variable, which torch reads once in a process: a worker that is handed
    another card later would stay on its first one. So the variable goes, and the device is named instead.
    """
    if not cards or not isinstance(cards[0], int) or not isinstance(task, Draw | DrawSegment):
        return task
    import torch

    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    options = task.job.options
    if options.device not in ("auto", "cuda") or cards[0] >= torch.cuda.device_count():
        return task
    return replace(task, job=replace(task.job, options=replace(options, device=f"cuda:{cards[0]}")))


def _wants_card(task: Task) -> bool:
    if not isinstance(task, Draw | DrawSegment):
        return False
    options = task.job.options
    return find_engine(options.engine).takes_models and options.device not in ("cpu", "mps")
