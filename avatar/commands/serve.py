"""`run.py serve`: draw for other machines, which keep their cameras to themselves."""

from __future__ import annotations

import argparse
import contextlib
import errno
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.errors import AvatarError, UsageError

if TYPE_CHECKING:
    from avatar.engines.base import EngineConfig
    from avatar.remote.identity import Address
    from avatar.remote.load import Load
    from avatar.remote.ray_seats import RaySeats
    from avatar.remote.seats import Seats

DONE = 0
DRAIN_S = 20.0  # for the present sessions, after a request to stop
SWITCH_S = 0.0005  # a tenth of Python's: a session would otherwise wait for whole steps of another one's frame


def add_parser(subparsers: Any) -> None:
    """Add `serve` and its options to the command line."""
    parser = subparsers.add_parser(
        "serve",
        help="draw for other machines: motion comes in, pictures go out",
        description="Draw avatars for other machines (`live --remote`), until Ctrl-C. They send the motion of a face, "
        "never a camera's picture.",
    )
    add = parser.add_argument
    add(
        "--listen", metavar="ADDRESS", default="127.0.0.1",
        help="where clients connect, such as 0.0.0.0 or 192.168.1.20:8974 (default: this machine only)",
    )  # fmt: skip
    add("--sessions", metavar="N", type=_count, help="hold at most so many at a time (default: as many as it can draw)")
    add("--engine", choices=("warp", "liveportrait"), default="warp", help="what draws (default: warp)")
    add("--model", metavar="NAME|FILE|FOLDER", help="its weights, for liveportrait; clients need the motion extractor")
    add("--device", metavar="auto|cpu|cuda|cuda:N|mps", default="auto", help="where liveportrait runs")
    add(
        "--render", choices=("auto", "processor", "graphics"), default="auto",
        help="where it draws: on the processor, on the graphics chip, or on whichever is faster (auto)",
    )  # fmt: skip
    add("--threads", metavar="N", type=_count, default=1, help="of the processor for one frame (default: 1)")
    add("--tls", action="store_true", help="encrypt on this machine too, as is always done beyond it")
    add(
        "--ray", metavar="ADDRESS|auto",
        help="draw on this Ray cluster, with a process for each of its cores, and admit as many as they hold; "
        "auto: the cluster of this machine, or one that is started on it",
    )  # fmt: skip
    add(
        "--replicas", metavar="N", type=_count, help="number of those processes (default: cores of the cluster but one)"
    )
    add("--show-token", action="store_true", help="show the token again, which is shown once otherwise")
    add("--new-token", action="store_true", help="make another token; clients have to be told")


def run(args: argparse.Namespace) -> int:
    """Serve until asked to stop."""
    from avatar.live.stopping import stop_signals, watch_stdin
    from avatar.remote.host import Host
    from avatar.remote.identity import Address, host_context, own_token

    if args.replicas is not None and args.ray is None:
        raise UsageError("--replicas belongs to --ray.", remedy="Leave it out, or add --ray auto.")
    address = Address.parse(args.listen)
    tls = host_context() if args.tls or not address.is_here else None
    token, is_new = own_token(new=args.new_token)
    if args.show_token and _is_taken(address):
        print(f"Something listens at {address} already. If it is your host:")
        print(_how_to_connect(address, token, tls))
        return DONE
    sys.setswitchinterval(SWITCH_S)
    lock = threading.Lock()

    def tell(line: str) -> None:
        with lock:  # sessions end on any thread
            print(line, file=sys.stderr, flush=True)

    with stop_signals() as stopped, watch_stdin() as closed, _seats(args, tell) as (seats, cost):
        host = Host(address, token, seats, tls=tls, most=args.sessions, tell=tell)
        try:
            print(_introduction(str(host.address), host.room(), cost), flush=True)
            print(_how_to_connect(host.address, token if is_new or args.show_token else None, tls), flush=True)
            while not (stopped.wait(0.2) or closed()):
                pass
            if host.sessions:
                tell(f"Sessions may go on for {DRAIN_S:.0f} s; stop again to end them now.")
                stopped.clear()
                host.drain(DRAIN_S, stopped.is_set)
        finally:
            host.close()
    return DONE


@contextlib.contextmanager
def _seats(args: argparse.Namespace, tell: Callable[[str], None]) -> Iterator[tuple[Seats, str]]:
    """Open what draws, here or on a cluster; yield it and what a frame costs, for the user. Raises: AvatarError."""
    from avatar.engines.base import EngineConfig
    from avatar.engines.registry import check_config

    model = args.model
    if model is not None and Path(model).expanduser().exists():
        model = str(Path(model).expanduser().resolve())  # replicas run in other folders
    config = EngineConfig(args.engine, model, device=args.device, render=args.render)
    check_config(config)
    if args.ray is None:
        yield _own_seats(config, args.threads, tell)
        return
    from avatar.remote.ray_seats import RaySeats

    there = RaySeats(args.ray, config, threads=args.threads, switch_s=SWITCH_S, replicas=args.replicas, announce=tell)
    with contextlib.closing(there), _renewal(there, tell):
        yield there, f"{_cost(there.load)}, drawn by {config.name}, and {there.replicas} of them draw"


def _own_seats(config: EngineConfig, threads: int, tell: Callable[[str], None]) -> tuple[Seats, str]:
    """Measure what a frame costs in this process; tell if that is too much."""
    from avatar.cv import cv2
    from avatar.engines.registry import engine_opener
    from avatar.outputs.live.h264 import choose_encoder
    from avatar.remote.engine import OLDEST_S
    from avatar.remote.pictures import RATE
    from avatar.remote.seats import OwnSeats
    from avatar.remote.trial import SIDE_PX, measure

    cv2.setNumThreads(threads)  # several sessions share the cores better than one frame does
    open_engine = engine_opener(config)
    trial = measure(open_engine)
    encoder = choose_encoder((SIDE_PX, SIDE_PX), RATE).facts  # by which it was measured
    if trial.frame_s > OLDEST_S / 2:
        tell(_too_slow(config.name, trial.frame_s, OLDEST_S))
    seats = OwnSeats(open_engine, trial.load, trial.drawing)
    return seats, f"{_cost(trial.load)}, drawn by {config.name}, encoded by {encoder}"


@contextlib.contextmanager
def _renewal(seats: RaySeats, tell: Callable[[str], None]) -> Iterator[None]:
    """Renew the replicas at SIGUSR1, where there is such a signal."""
    if not hasattr(signal, "SIGUSR1") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def renew() -> None:
        tell("The replicas are replaced; their sessions come to the new ones.")
        try:
            seats.renew()
        except AvatarError as error:
            tell(f"{error.what} {error.remedy}")
        else:
            tell("The replicas are new.")

    before = signal.signal(signal.SIGUSR1, lambda *_: threading.Thread(target=renew, daemon=True).start())
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def _is_taken(address: Address) -> bool:
    """Return whether something listens there already."""
    from avatar.remote.host import listen

    try:
        listen(address).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _cost(load: Load) -> str:
    chip = f" and {load.chip_ms:.0f} ms of the graphics card" if load.chip_ms else ""
    return f"a frame of 512 x 512 takes {load.frame_ms:.0f} ms of a core{chip}"


def _too_slow(engine: str, frame_s: float, oldest_s: float) -> str:
    return (
        f"{engine} takes {frame_s:.1f} s for a frame here, and clients show none that is older than {oldest_s} s: "
        "their avatars will mostly idle. Use a machine with a graphics card, or --engine warp."
    )


def _introduction(address: str, room: int, cost: str) -> str:
    sessions = "one session" if room == 1 else f"{room} sessions"
    return f"Listening at {address}, with room for {sessions}: {cost}."


def _how_to_connect(address: Address, token: str | None, tls: Any) -> str:
    from avatar.system.ports import address_for_others

    words = [f"live --remote {replace(address, host=address_for_others(address.host))}"]
    words += [f"--token {token}"] if token else []
    words += [f"--fingerprint {tls[1]}"] if tls else []
    kept = "" if token else "\nThe token was shown before; --show-token shows it again."
    return f"On the other machine: {' '.join(words)}{kept}"


def _count(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 1000:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 1000")
