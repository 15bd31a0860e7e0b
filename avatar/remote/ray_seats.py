"""Seats on a Ray cluster: a Ray Serve application whose replicas draw, and the way to them.

A replica is a process with a share of the cluster (a core or a card) and an ordinary `Host` in it, which only the front
knows. A session is one running request to a replica, which begins by saying where that host listens; so Serve itself
counts the seats that are taken, chooses the replica with fewest, starts another where one died, and lets one go that
is replaced when its sessions have ended. Frames do not go through Serve: for each session the front has a connection
to the replica.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from avatar import __version__
from avatar.cv import cv2
from avatar.engines.base import EngineConfig
from avatar.engines.registry import create_engine, engine_opener, find_engine
from avatar.errors import AvatarError, SetupError
from avatar.remote.drivers import Drawing
from avatar.remote.host import Host
from avatar.remote.identity import Address, KnownHost, passing_context
from avatar.remote.load import Load
from avatar.remote.protocol import ProtocolError, Refusal, RefusedError
from avatar.remote.relay import Relay
from avatar.remote.seats import OwnSeats
from avatar.remote.trial import measure
from avatar.system.message import Message
from avatar.system.program import require
from avatar.system.ray_cluster import join_cluster

if TYPE_CHECKING:
    from websockets.sync.server import ServerConnection

logger = logging.getLogger(__name__)

DRAIN_S = 20.0  # for the sessions of a replica that is replaced
SEAT_S = 3.0  # for a replica to answer; longer, and there is none
_LOOK_S = 1.0  # how long the number of replicas is believed
_HEALTH_S = 2.0
_NAME = "Replica"
# Ray's workers begin at niceness 15, where two ordinary busy processes leave them hardly any time.
_AS_A_PROGRAM = {"runtime_env": {"env_vars": {"RAY_worker_niceness": "0"}}}


@dataclass(frozen=True)
class Terms:
    """Terms on which a replica draws."""

    token: str
    config: EngineConfig
    threads: int  # of the processor, for one frame
    switch_s: float  # see `sys.setswitchinterval`
    front: str  # address of the front's machine
    version: str = __version__
    frame_ms: float = 0.0  # see `Load`
    chip_ms: float = 0.0
    drawing: Drawing = field(default_factory=Drawing)


class Replica:
    """One process that draws; constructed by Ray Serve."""

    def __init__(self, terms: Terms) -> None:
        """Listen for the front. Raises: SetupError: this machine has another version."""
        import ray

        _begin(terms)
        here = ray.util.get_node_ip_address()
        address = Address("127.0.0.1" if here == terms.front else here, 0)
        tls = None if address.is_here else passing_context()
        load = Load(terms.frame_ms, chip_ms=terms.chip_ms)
        seats = OwnSeats(engine_opener(terms.config), load, terms.drawing)
        self._host = Host(address, terms.token, seats, tls=tls, tell=logger.info)
        self._seat = (str(self._host.address), tls[1] if tls else "")

    async def hold(self) -> AsyncIterator[tuple[str, str]]:
        """Say where to come in (address, fingerprint), and count as taken until the front cancels this."""
        yield self._seat
        await asyncio.Event().wait()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # one that could not start has no host
            self._host.close()


class RaySeats:
    """The seats of a front; see `avatar.remote.seats.Seats`."""

    def __init__(
        self,
        address: str,
        config: EngineConfig,
        *,
        threads: int = 1,
        switch_s: float = 0.005,
        replicas: int | None = None,
        name: str = "masque",
        announce: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Join the cluster, measure there what a frame costs, and start the replicas; takes some seconds.

        Args:
            address: of the cluster, see `avatar.system.ray_cluster.join_cluster`.
            config: of the engine.
            threads: of the processor, for one frame.
            switch_s: for `sys.setswitchinterval` in the replicas.
            replicas: their number; None: one for each core of the cluster but one, or for each card where those draw.
            name: of the application; one of this name that runs is replaced.
            announce: is told if a cluster had to be started.
        Raises:
            SetupError: Ray or Ray Serve is not installed, there is no such cluster, or it cannot draw.
        """
        for module in ("ray", "starlette"):
            require(module, Message("The option {name}", name="--ray"))
        self._ray = join_cluster(address, announce)
        self._name, self._lock = name, threading.Lock()
        self._running, self._seen_s = 0, float("-inf")
        try:
            share, there = self._shares(config)
            front = self._ray.util.get_node_ip_address()
            terms = Terms(secrets.token_urlsafe(24), config, threads, switch_s, front)
            self.frame_ms, chip_ms, self.drawing = self._measured(terms, share)
            self._terms = replace(terms, frame_ms=self.frame_ms, chip_ms=chip_ms, drawing=self.drawing)
            self.load = Load(self.frame_ms, chip_ms=chip_ms)
            self.slots = self.load.sessions()
            self.replicas = replicas or there
            self._share = share
            self._handle = self._deploy()
        except BaseException:
            self.close()
            raise

    def count(self) -> int:
        """Return the number of seats of all living replicas."""
        with self._lock:
            if time.monotonic() - self._seen_s > _LOOK_S:
                self._running = self._living()
                self._seen_s = time.monotonic()
            return self.slots * self._running

    def take(self, connection: ServerConnection, number: int) -> Relay:
        """Take a seat on a replica. Raises: ProtocolError: there is none; AvatarError: the replica does not answer."""
        with contextlib.ExitStack() as full:  # kept for so long, so that Serve looks elsewhere
            for _ in range(max(1, self.replicas)):
                claim, known = self._claim()
                try:
                    return Relay(connection, number, known, claim.cancel)
                except BaseException as error:
                    full.callback(claim.cancel)
                    if not (isinstance(error, RefusedError) and error.refusal is Refusal.FULL):
                        raise
        raise ProtocolError(Refusal.FULL)

    def renew(self) -> None:
        """Replace all replicas; their sessions may go on for DRAIN_S, and then come to new ones."""
        self._deploy()

    def close(self) -> None:
        """End the replicas and leave the cluster; safe to call twice."""
        if self._ray.is_initialized():
            with contextlib.suppress(Exception):  # a cluster that is gone needs no farewell
                from ray import serve

                serve.delete(self._name)
                if not serve.status().applications:
                    serve.shutdown()
            self._ray.shutdown()

    def _claim(self) -> tuple[Any, KnownHost]:
        """Begin a request to a replica; return it and that replica's host. Raises: ProtocolError: none is free."""
        claim = self._handle.options(stream=True).hold.remote()
        waiting = ThreadPoolExecutor(1, "masque-seat")  # the wait itself knows no limit of time
        try:
            address, fingerprint = waiting.submit(next, iter(claim)).result(SEAT_S)
        except BaseException as error:
            claim.cancel()
            if isinstance(error, TimeoutError):
                raise ProtocolError(Refusal.FULL) from error
            raise
        finally:
            waiting.shutdown(wait=False)
        return claim, KnownHost(Address.parse(address), self._terms.token, fingerprint)

    def _shares(self, config: EngineConfig) -> tuple[dict[str, Any], int]:
        """Return what a replica asks of the cluster, and how many of them fit."""
        there = self._ray.cluster_resources()
        cards = int(there.get("GPU", 0))
        if cards and (config.render == "graphics" or find_engine(config.name).needs_gpu):
            return {"num_cpus": 1, "num_gpus": 1, **_AS_A_PROGRAM}, cards
        return {"num_cpus": 1, **_AS_A_PROGRAM}, max(1, int(there.get("CPU", 0)) - 1)

    def _measured(self, terms: Terms, share: dict[str, Any]) -> tuple[float, float, Drawing]:
        """Return what a frame costs where a replica will be, in ms of the processor and of a chip; what draws it."""
        task = self._ray.remote(max_calls=1)(_measure_there).options(**share)
        try:
            frame_ms, chip_ms, drawing = self._ray.get(task.remote(terms))
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, AvatarError):
                raise SetupError(cause.what, remedy=cause.remedy) from error
            raise SetupError(
                Message("The cluster cannot draw: {kind}.", kind=type(error).__name__),
                remedy="Look at what Ray says on its machines, and install the same version of Masque on all of them.",
            ) from error
        return float(frame_ms), float(chip_ms), drawing

    def _deploy(self) -> Any:
        """Start the replicas, or replace them; return the handle."""
        from ray import serve

        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        quiet = {"log_level": "ERROR", "enable_access_log": False}
        serve.start(proxy_location="Disabled", logging_config=quiet)
        deployment = serve.deployment(
            name=_NAME, num_replicas=self.replicas, max_ongoing_requests=self.slots, ray_actor_options=self._share,
            health_check_period_s=_HEALTH_S, graceful_shutdown_timeout_s=DRAIN_S, graceful_shutdown_wait_loop_s=0.5,
            logging_config=quiet,
        )(Replica)  # fmt: skip
        try:
            return serve.run(deployment.bind(self._terms), name=self._name, route_prefix=None)
        except RuntimeError as error:
            raise SetupError(
                Message("The replicas did not start: {error}", error=error),
                remedy="Look at what Ray says on its machines, and install the same version of Masque on all of them.",
            ) from error

    def _living(self) -> int:
        from ray import serve
        from ray.serve.schema import ReplicaState

        with contextlib.suppress(Exception):
            application = serve.status().applications[self._name]
            return int(application.deployments[_NAME].replica_states.get(ReplicaState.RUNNING, 0))
        return 0


def _begin(terms: Terms) -> None:
    """Set this process up to draw. Raises: SetupError: it has another version."""
    if terms.version != __version__:
        raise SetupError(
            Message("A machine of the cluster runs Masque {there}, not {here}.", there=__version__, here=terms.version),
            remedy="Install the same version on all of them.",
        )
    sys.setswitchinterval(terms.switch_s)
    cv2.setNumThreads(terms.threads)  # several sessions share the cores better than one frame does


def _measure_there(terms: Terms) -> tuple[float, float, Drawing]:
    """Return what a frame costs on a machine of the cluster, in ms of the processor and of a chip; what draws it."""
    _begin(terms)
    trial = measure(lambda: create_engine(terms.config))
    return trial.load.frame_ms, trial.load.chip_ms, trial.drawing
