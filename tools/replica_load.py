"""Fills `serve --ray` with clients, asks for one more, kills a replica, replaces all of them, and ends the front.

    python tools/replica_load.py --replicas 3 --sessions 3 --seconds 20
    python tools/replica_load.py --kill machine      a Ray node with its replica, in place of the replica alone

A local Ray cluster has a node with one core for each replica; the front is the command itself. Clients follow the
built-in motion, or a template, at 30 frames a second. Prints JSON: what every step was like, seen from the clients.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from avatar.engines.base import Portrait
from avatar.errors import AvatarError
from avatar.motion.idle import load_idle
from avatar.motion.reference import neutral_frame
from avatar.motion.template import load_template
from avatar.motion.track import MotionTrack
from avatar.remote.identity import Address, KnownHost, kept_token
from avatar.remote.link import Link, Wish, ask_host
from avatar.remote.parcel import pack_portrait
from avatar.remote.pictures import PictureDecoder
from avatar.remote.protocol import Picture
from avatar.settings import MotionSettings
from tools.remote_load import SIDE_PX, read_avatar

ROOT = Path(__file__).resolve().parents[1]
STORE_BYTES = 80_000_000
SERVED_S = 1.0  # without a picture for so long, a client is not served
WAIT_S = 60.0  # for something to happen


class Client:
    """Somebody who moves, 30 times a second, and when pictures came; they are not decoded, so that many fit in here."""

    def __init__(self, host: KnownHost, portrait: Portrait, motion: MotionTrack, start: int) -> None:
        assert portrait.face is not None
        self._link = _CountingLink(host)
        self._number = self._link.offer(pack_portrait(portrait.rgb, portrait.face, None))
        self._motion, self._start, self._stop = motion, start, threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._link.start()
        self._thread.start()

    def _follow(self) -> None:
        motion, index, next_s = self._motion, self._start, time.monotonic() + self._start / 300
        reference = motion.face(neutral_frame(motion))
        while not self._stop.wait(max(0.0, next_s - time.monotonic())):
            face, index = motion.face(index % len(motion)), index + 1
            wish = Wish(self._number, MotionSettings(), reference, motion.width_px, face, 1.0, time.monotonic_ns())
            self._link.ask(wish)
            next_s = max(next_s + 1 / 30, time.monotonic() - 0.1)

    def pictures(self, since_s: float, until_s: float) -> list[tuple[float, float]]:
        """Return the pictures of a time: when they came, in s, and their age, in ms."""
        return [each for each in list(self._link.came) if since_s <= each[0] < until_s]

    def gap_s(self, since_s: float, until_s: float) -> float:
        """Return the longest time without a picture."""
        moments = [since_s, *(moment for moment, _ in self.pictures(since_s, until_s)), until_s]
        return float(np.max(np.diff(moments)))

    def is_served(self) -> bool:
        """Return whether pictures come."""
        return bool(self._link.came) and time.monotonic() - self._link.came[-1][0] < SERVED_S

    @property
    def problem(self) -> str:
        """The sentence that the client's user reads; empty: there is none."""
        return "" if self._link.problem is None else str(self._link.problem.what)

    def close(self) -> None:
        """Leave."""
        self._stop.set()
        self._thread.join()
        self._link.close()


class _CountingLink(Link):
    def __init__(self, host: KnownHost) -> None:
        super().__init__(host)
        self.came: list[tuple[float, float]] = []

    def _keep_picture(self, wire: Any, decoder: PictureDecoder, picture: Picture) -> None:
        self.came.append((time.monotonic(), (time.monotonic_ns() - picture.captured_ns) * 1e-6))
        with self._changed:
            wire.received = max(wire.received, picture.frame)


@dataclass
class Front:
    """The running command and what it says."""

    process: subprocess.Popen[str]
    lines: list[tuple[float, str]]
    known: KnownHost
    room: int
    introduction: str

    def said(self, since_s: float) -> list[str]:
        """Return its lines since a moment."""
        return [line for moment, line in list(self.lines) if moment >= since_s]


@contextlib.contextmanager
def nodes_of_one_core(count: int) -> Iterator[Any]:
    """Start a local Ray cluster: a head without cores, and nodes."""
    from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = str(ROOT)  # as an installed Masque would be found
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(count):
            add_node(cluster)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Any) -> None:
    """Add a machine with one core."""
    cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)


@contextlib.contextmanager
def running_front(cluster: str, replicas: int, sessions: int | None) -> Iterator[Front]:
    """Start `serve --ray` with settings of its own. Raises: RuntimeError: it ends instead of listening."""
    words = ["serve", "--ray", cluster, "--replicas", str(replicas), "--listen", "127.0.0.1:0", "--render", "processor"]
    words += [] if sessions is None else ["--sessions", str(sessions)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MASQUE_SETTINGS"] = str(Path(folder, "settings.toml"))
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), "--no-setup", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        lines: list[tuple[float, str]] = []
        reader = threading.Thread(target=_read, args=(process.stderr, lines), daemon=True)
        reader.start()
        try:
            introduction = process.stdout.readline()
            found = re.search(r"Listening at (\S+), with room for (one|\d+)", introduction)
            if found is None:
                raise RuntimeError(f"serve did not start: {[line for _, line in lines]}")
            known = KnownHost(Address.parse(found[1]), kept_token() or "")
            room = 1 if found[2] == "one" else int(found[2])
            yield Front(process, lines, known, room, introduction.strip())
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
            reader.join(5)


def _read(stream: Any, lines: list[tuple[float, str]]) -> None:
    lines.extend((time.monotonic(), line.rstrip()) for line in stream)


def replica_pids() -> list[int]:
    """Return the processes that draw, by what they call themselves."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and b"ServeReplica:masque" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return sorted(found)


def _until(true: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + WAIT_S
    while not true() and time.monotonic() < until_s:
        time.sleep(0.02)
    return true()


def _refusal_of(host: KnownHost) -> str:
    try:
        ask_host(host)
    except AvatarError as error:
        return str(error.what)
    return ""


def speed(clients: Sequence[Client], since_s: float, until_s: float) -> dict[str, Any]:
    """Return how fast and how old pictures came to some clients."""
    pictures = [client.pictures(since_s, until_s) for client in clients]
    ages = [age for each in pictures for _, age in each]
    rates = [round(len(each) / (until_s - since_s), 1) for each in pictures]
    quantiles = {f"p{share}": round(float(np.percentile(ages, share)), 1) for share in (50, 95, 99)} if ages else {}
    return {"rates": sorted(rates), "age_ms": quantiles}


def full(front: Front, clients: Sequence[Client], seconds: float) -> dict[str, Any]:
    """Measure all clients, then again while others ask for a seat once a second."""
    began_s = time.monotonic()
    time.sleep(seconds)
    middle_s = time.monotonic()
    refusals = set()
    while time.monotonic() - middle_s < seconds:
        refusals.add(_refusal_of(front.known))
        time.sleep(1)
    return {
        "alone": speed(clients, began_s, middle_s),
        "while_others_ask": speed(clients, middle_s, time.monotonic()),
        "one_too_many": sorted(refusals),
    }


def disturbed(front: Front, clients: Sequence[Client], seconds: float, act: Callable[[], object]) -> dict[str, Any]:
    """Do something to the replicas, wait until everybody is served again, and return what the clients saw of it."""
    problems: set[str] = set()
    began_s = time.monotonic()
    act()
    acted_s = time.monotonic()
    while time.monotonic() - began_s < WAIT_S:
        problems |= {client.problem for client in clients} - {""}
        lasted_s = time.monotonic() - acted_s
        if lasted_s > seconds and all(client.is_served() for client in clients):
            break
        time.sleep(0.05)
    until_s = time.monotonic()
    gaps = [client.gap_s(began_s, until_s) for client in clients]
    others = [client for client, gap in zip(clients, gaps, strict=True) if gap < SERVED_S]
    return {
        "without_pictures_s": sorted(round(gap, 2) for gap in gaps),
        "others": speed(others, began_s, began_s + min(seconds, until_s - began_s)) if others else None,
        "served_again": sum(client.is_served() for client in clients),
        "said_to_clients": sorted(problems),
        "said_by_the_front": front.said(began_s),
    }


def kill_replica() -> None:
    """Kill a process that draws."""
    os.kill(replica_pids()[0], signal.SIGKILL)


def replace_replicas(front: Front) -> None:
    """Ask the front to replace all replicas, and wait until it has."""
    before, since_s = set(replica_pids()), time.monotonic()
    front.process.send_signal(signal.SIGUSR1)
    _until(lambda: "The replicas are new." in front.said(since_s) and not before & set(replica_pids()))


def ended(front: Front, clients: Sequence[Client]) -> dict[str, Any]:
    """Ask the front to end, twice; return what clients and newcomers are told, and what is left."""
    began_s = time.monotonic()
    front.process.send_signal(signal.SIGINT)
    _until(lambda: any("may go on" in line for line in front.said(began_s)))
    refusal, served = _refusal_of(front.known), sum(client.is_served() for client in clients)
    front.process.send_signal(signal.SIGINT)
    _until(lambda: front.process.poll() is not None)
    ended_s = time.monotonic() - began_s
    _until(lambda: not replica_pids())
    return {
        "newcomer": refusal, "served_while_draining": served, "ended_after_s": round(ended_s, 1),
        "exit_code": front.process.poll(), "replicas_left": len(replica_pids()),
        "said_to_clients": sorted({client.problem for client in clients}),
        "said_by_the_front": front.said(began_s),
    }  # fmt: skip


def measure(args: argparse.Namespace, motion: MotionTrack) -> Iterator[tuple[str, Any]]:
    """Go through all steps; yield the name and the result of each."""
    portrait = read_avatar(args.side)
    with (
        nodes_of_one_core(args.replicas) as cluster,
        running_front(cluster.address, args.replicas, args.sessions) as front,
        contextlib.ExitStack() as stack,
    ):
        yield "front", front.introduction
        clients: list[Client] = []
        for place in range(args.clients or front.room):
            clients.append(Client(front.known, portrait, motion, 7 * place))
            stack.callback(clients[-1].close)
            if not _until(clients[-1].is_served):
                raise RuntimeError(f"Client {place + 1} gets no picture: {clients[-1].problem or front.said(0)}")
        yield "full", full(front, clients, args.seconds)

        def kill() -> None:
            if args.kill == "machine":
                cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            else:
                kill_replica()

        yield f"{args.kill} killed", disturbed(front, clients, args.seconds, kill)
        if args.kill == "machine":
            yield "machine back", disturbed(front, clients, args.seconds, lambda: add_node(cluster))
        _until(lambda: len(replica_pids()) == args.replicas and all(client.is_served() for client in clients))
        time.sleep(3)
        yield "replaced", disturbed(front, clients, args.seconds, lambda: replace_replicas(front))
        yield "ended", ended(front, clients)


def main() -> int:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--sessions", type=int, help="that the front holds at most (default: as it measures)")
    parser.add_argument("--clients", type=int, help="(default: as many as the front holds)")
    parser.add_argument("--side", type=int, default=SIDE_PX, help="of the portrait, in pixels")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--motion", type=Path, help="a motion template (default: the built-in motion)")
    parser.add_argument("--kill", choices=("replica", "machine"), default="replica", help="what dies")
    args = parser.parse_args()
    motion = load_idle() if args.motion is None else load_template(args.motion)
    print(json.dumps({"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}), flush=True)
    for name, result in measure(args, motion):
        print(json.dumps({name: result}, indent=1), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
