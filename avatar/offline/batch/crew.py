"""Performers of the tasks of a batch: this process, processes of this machine, or a Ray cluster."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from avatar.offline.batch.node import Node, clear
from avatar.offline.batch.work import Failure, Outcome, Task, perform


@dataclass(frozen=True)
class Terms:
    """Facts that every worker of a batch needs."""

    run: str  # name of the batch, the same for all
    threads: int = 1  # that a worker may keep busy


class Crew(Protocol):
    """Takes tasks and tells what came of them, in any order; used on one thread."""

    @property
    def slots(self) -> int:
        """Number of tasks that it can work on at once, now."""
        ...

    def submit(self, number: int, task: Task, avoid: frozenset[str]) -> None:
        """Hand over a task, to a machine that is not one of `avoid`, where there is another."""

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Return what came of tasks since the last call; waits for one of them, but not longer than that."""
        ...

    def close(self) -> None:
        """Stop whatever is under way, and clear up; safe to call twice."""


class OwnProcess:
    """The crew that is this very process: for tests, and for what cannot be shared out."""

    slots = 1

    def __init__(self, terms: Terms) -> None:
        self._terms, self._node = terms, Node(terms.run, terms.threads)
        self._waiting: deque[tuple[int, Task]] = deque()

    def submit(self, number: int, task: Task, avoid: frozenset[str]) -> None:
        """Keep the task until `wait`."""
        self._waiting.append((number, task))

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Perform one task."""
        if not self._waiting:
            return []
        number, task = self._waiting.popleft()
        return [outcome_of(number, perform(task, lambda: self._node), "here")]

    def close(self) -> None:
        """Close the engine and remove what the node kept."""
        self._waiting.clear()
        self._node.close()
        clear(self._terms.run)


def outcome_of(number: int, result: object, where: str) -> Outcome:
    """Return what `perform` returned as an outcome."""
    if isinstance(result, Failure):
        return Outcome(number, failure=result, where=where)
    return Outcome(number, done=result, where=where)  # type: ignore[arg-type]
