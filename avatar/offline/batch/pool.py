"""A crew of processes on this machine. One that dies costs its task another try, and is replaced."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Any

from avatar.offline.batch.crew import Terms, outcome_of
from avatar.offline.batch.node import Node, clear
from avatar.offline.batch.work import Failure, Outcome, Task, perform
from avatar.system.message import Message

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_STOP_S = 5.0


@dataclass(eq=False)
class _Worker:
    process: SpawnProcess
    pipe: Connection[Any, Any]
    number: int | None = None  # of its task


class ProcessPool:
    """Some processes; see `avatar.offline.batch.crew.Crew`."""

    def __init__(self, workers: int, terms: Terms) -> None:
        self._terms, self.slots = terms, workers
        self._workers: list[_Worker] = []
        self._waiting: deque[tuple[int, Task]] = deque()

    def submit(self, number: int, task: Task, avoid: frozenset[str]) -> None:
        """Give the task to a process that is free, else keep it; there is one machine, so none to avoid."""
        self._waiting.append((number, task))
        self._hand_out()

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Return what the processes say, and what the dead ones cannot say."""
        busy = {worker.pipe: worker for worker in self._workers if worker.number is not None}
        said = []
        for pipe in connection.wait(list(busy), timeout_s) if busy else ():
            worker = busy[pipe]  # type: ignore[index]
            number, worker.number = worker.number, None
            assert number is not None
            try:
                said.append(outcome_of(number, worker.pipe.recv(), "here"))
            except (EOFError, OSError):
                said.append(self._bury(worker, number))
        self._hand_out()
        return said

    def close(self) -> None:
        """End all processes."""
        self._waiting.clear()
        for worker in self._workers:
            if worker.number is not None:
                worker.process.terminate()
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(_STOP_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join(_STOP_S)
        self._workers = []
        clear(self._terms.run)

    def _hand_out(self) -> None:
        while self._waiting:
            free = next((worker for worker in self._workers if worker.number is None), None)
            if free is None:
                if len(self._workers) == self.slots:
                    return
                free = self._hired()
            number, task = self._waiting.popleft()
            free.number = number
            with contextlib.suppress(OSError):  # it died meanwhile: `wait` finds that out
                free.pipe.send(task)

    def _hired(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        name = f"masque-batch-{len(self._workers) + 1}"
        process = context.Process(target=_serve, args=(theirs, self._terms), name=name, daemon=True)
        process.start()
        theirs.close()
        self._workers.append(worker := _Worker(process, ours))
        return worker

    def _bury(self, worker: _Worker, number: int) -> Outcome:
        worker.process.join(_STOP_S)
        worker.pipe.close()
        self._workers.remove(worker)
        what = Message("The process that worked on it ended (exit code {code}).", code=worker.process.exitcode)
        remedy = "If it ran out of memory, try --workers with a smaller number."
        return Outcome(number, failure=Failure(what, remedy), where="here")


def _serve(pipe: Connection[Any, Any], terms: Terms) -> None:
    """Perform tasks until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides
    threading.Thread(target=_end_with_the_parent, name="masque-batch-parent", daemon=True).start()
    open_node = lru_cache(maxsize=1)(partial(Node, terms.run, terms.threads))
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(perform(pipe.recv(), open_node))
    if open_node.cache_info().currsize:
        open_node().close()
    sys.stderr.flush()
    os._exit(0)  # the parent waits for this, and what was imported takes a second to take down


def _end_with_the_parent() -> None:
    """End this process at once when its parent was killed: the next batch does the task again, and alone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
