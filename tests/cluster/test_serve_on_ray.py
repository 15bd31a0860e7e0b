"""`serve --ray` on a real cluster: replicas that are full, that die and that are replaced, seen from its clients."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import until, with_nodes
from remote_studio import TOKEN, driven, portrait, psnr

from avatar.engines.base import Arrival, EngineConfig
from avatar.engines.warp.engine import WarpEngine
from avatar.errors import SetupError
from avatar.frames import RgbImage
from avatar.remote import ray_seats
from avatar.remote.drivers import Drawing
from avatar.remote.engine import RemoteEngine
from avatar.remote.host import Host
from avatar.remote.identity import Address, KnownHost
from avatar.remote.link import Link, ask_host
from avatar.remote.protocol import Refusal, RefusedError
from avatar.remote.ray_seats import RaySeats, Replica, Terms

pytest.importorskip("ray", reason="ray is not installed: pip install -r requirements-dev.txt")
pytest.importorskip("starlette", reason="Ray Serve is not installed: pip install -r requirements-dev.txt")

pytestmark = [pytest.mark.usefixtures("face_model"), pytest.mark.timeout(600)]
CONFIG = EngineConfig(render="processor")
COSTS_MS = 20.0  # of a frame: one session in a process


@pytest.fixture(scope="module")
def front(cluster: Any) -> Iterator[Front]:
    with_nodes(cluster, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RaySeats, "_measured", lambda *_: (COSTS_MS, 0.0, Drawing()))
        patch.setattr(ray_seats, "DRAIN_S", 3.0)
        opened = Front(RaySeats(cluster.address, CONFIG, replicas=2, name="tests"))
    yield opened
    opened.host.close()
    opened.seats.close()


class Front:
    """A host of two replicas with one seat each."""

    def __init__(self, seats: RaySeats) -> None:
        self.seats, self.lines = seats, list[str]()
        self.host = Host(Address("127.0.0.1", 0), TOKEN, seats, tell=self.lines.append)
        self.known = KnownHost(self.host.address, TOKEN)

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        client = Client(self.known)
        try:
            yield client
        finally:
            client.close()


class Client:
    """Somebody who moves, 30 times a second, and what is seen of it."""

    def __init__(self, known: KnownHost) -> None:
        self.link = Link(known)
        self.engine = RemoteEngine(self.link)
        self.engine.show(self.engine.prepare(portrait()))
        self.arrivals: list[tuple[float, Arrival]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        while not self._stop.wait(1 / 30):
            arrival = self.engine.draw_newest(driven(10.0))
            if arrival is not None:
                self.arrivals.append((time.monotonic(), arrival))

    def since(self, moment_s: float, *, here: bool) -> Arrival | None:
        """The first frame after a moment that was drawn here, or on the host."""
        for came_s, arrival in list(self.arrivals):
            if came_s > moment_s and (arrival.network_ms is None) == here:
                return arrival
        return None

    def newest_psnr(self, wanted: RgbImage) -> float:
        """Compare the newest frame that was drawn on the host; 0: there is none."""
        drawn = [arrival.rgb for _, arrival in list(self.arrivals) if arrival.network_ms is not None]
        return psnr(drawn[-1], wanted) if drawn else 0.0

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.engine.close()


def replicas() -> set[int]:
    """Processes of replicas, by what they call themselves."""
    found = set()
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and b"ServeReplica:tests" in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
    return found


def test_one_too_many_is_refused_and_a_replica_that_dies_is_replaced(front: Front) -> None:
    until(lambda: front.seats.count() == 2)
    assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in replicas()} == {os.getpriority(os.PRIO_PROCESS, 0)}
    before = len(front.lines)
    with front.client() as one, front.client() as other:
        here = WarpEngine()
        here.show(here.prepare(portrait()))
        wanted = here.draw(driven(10.0))
        for each in (one, other):
            until(lambda: each.newest_psnr(wanted) > 25)  # noqa: B023 - the first ones fade from what was drawn here
        with pytest.raises(RefusedError, match="The host is full"):
            ask_host(front.known)
        third = Link(front.known)
        third.start()
        assert until(lambda: isinstance(third.problem, RefusedError) and third.problem).refusal is Refusal.FULL
        third.close()

        killed_s = time.monotonic()
        os.kill(replicas().pop(), signal.SIGKILL)
        # Whoever is cut off has a problem for seconds; on a busy machine the other one may idle for a moment too.
        lost, kept = until(lambda: next((each for each in ((one, other), (other, one)) if each[0].link.problem), None))
        until(lambda: lost.since(killed_s, here=True))
        until(lambda: any("drawing failed" in line for line in front.lines[before:]))
        assert until(lambda: kept.since(time.monotonic() - 0.5, here=False)), "the other one goes on"
        idled_s = time.monotonic()
        until(lambda: lost.since(idled_s, here=False))
        assert kept.link.problem is None
        assert sum("begins" in line for line in front.lines[before:]) == 3, "only the one that was cut off began again"
    until(lambda: front.host.sessions == 0)


def test_replicas_are_replaced_under_running_sessions(front: Front) -> None:
    until(lambda: front.seats.count() == 2)
    before = replicas()
    with front.client() as client:
        until(lambda: client.since(0.0, here=False))
        front.seats.renew()
        until(lambda: not before & replicas())
        after_s = time.monotonic()
        until(lambda: client.since(after_s, here=False))
    assert len(replicas()) == 2


def test_a_host_that_drains_takes_no_more(front: Front) -> None:
    until(lambda: front.seats.count() == 2)
    with front.client() as client:
        until(lambda: client.since(0.0, here=False))
        front.host.drain(0.0)
        with pytest.raises(RefusedError, match="The host ends"):
            ask_host(front.known)
        moment_s = time.monotonic()
        until(lambda: client.since(moment_s, here=False))
        front.host.close()
        until(lambda: isinstance(client.link.problem, RefusedError))
    front.seats.close()
    until(lambda: not replicas())


def test_what_a_frame_costs_is_measured_where_it_is_drawn() -> None:
    frame_ms, chip_ms, drawing = ray_seats._measure_there(Terms(TOKEN, CONFIG, 1, 0.005, "127.0.0.1"))
    assert 1 < frame_ms < 500 and chip_ms == 0 and drawing == Drawing()


def test_beyond_the_front_s_machine_a_replica_is_encrypted() -> None:
    replica = Replica(Terms(TOKEN, CONFIG, 1, 0.005, "192.0.2.77", frame_ms=COSTS_MS))
    address, fingerprint = replica._seat
    try:
        known = KnownHost(Address.parse(address), TOKEN, fingerprint)
        assert not known.address.is_here or pytest.skip("this machine has no address but its own")
        assert ask_host(known) == Drawing()
    finally:
        replica.__del__()


def test_another_version_on_a_machine_is_one_sentence() -> None:
    with pytest.raises(SetupError, match="runs Masque"):
        Replica(Terms(TOKEN, CONFIG, 1, 0.005, "127.0.0.1", version="0"))
