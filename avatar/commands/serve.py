"""`run.py serve`: draw for other machines, which keep their cameras to themselves."""

from __future__ import annotations

import argparse
import sys
import threading
from typing import Any

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
    add("--engine", choices=("warp",), default="warp", help="what draws")
    add(
        "--render", choices=("auto", "processor", "graphics"), default="auto",
        help="where it draws: on the processor, on the graphics chip, or on whichever is faster (auto)",
    )  # fmt: skip
    add("--threads", metavar="N", type=_count, default=1, help="of the processor for one frame (default: 1)")
    add("--tls", action="store_true", help="encrypt on this machine too, as is always done beyond it")
    add("--show-token", action="store_true", help="show the token again, which is shown once otherwise")
    add("--new-token", action="store_true", help="make another token; clients have to be told")


def run(args: argparse.Namespace) -> int:
    """Serve until asked to stop."""
    from avatar.cv import cv2
    from avatar.engines.base import Engine, EngineConfig
    from avatar.engines.registry import create_engine
    from avatar.live.stopping import stop_signals, watch_stdin
    from avatar.remote.host import Host
    from avatar.remote.identity import Address, host_context, own_token
    from avatar.remote.trial import measure
    from avatar.system.ports import address_for_others

    address = Address.parse(args.listen)
    tls = host_context() if args.tls or not address.is_here else None
    token, is_new = own_token(new=args.new_token)
    sys.setswitchinterval(SWITCH_S)
    cv2.setNumThreads(args.threads)  # several sessions share the cores better than one frame does
    config = EngineConfig(args.engine, render=args.render)

    def open_engine() -> Engine:
        return create_engine(config)

    load = measure(open_engine)
    lock = threading.Lock()

    def tell(line: str) -> None:
        with lock:  # sessions end on any thread
            print(line, file=sys.stderr, flush=True)

    with stop_signals() as stopped, watch_stdin() as closed:
        host = Host(address, token, open_engine, load, tls=tls, most=args.sessions, tell=tell)
        try:
            seen = Address(address_for_others(host.address.host), host.address.port)
            print(_introduction(str(host.address), host.room(), load.frame_ms), flush=True)
            print(_how_to_connect(str(seen), token if is_new or args.show_token else None, tls), flush=True)
            while not (stopped.wait(0.2) or closed()):
                pass
            if host.sessions:
                tell(f"Sessions may go on for {DRAIN_S:.0f} s; stop again to end them now.")
                stopped.clear()
                host.drain(DRAIN_S, stopped.is_set)
        finally:
            host.close()
    return DONE


def _introduction(address: str, room: int, frame_ms: float) -> str:
    sessions = "one session" if room == 1 else f"{room} sessions"
    return f"Listening at {address}, with room for {sessions}: a frame of 512 x 512 takes {frame_ms:.0f} ms of a core."


def _how_to_connect(address: str, token: str | None, tls: Any) -> str:
    words = [f"live --remote {address}"]
    words += [f"--token {token}"] if token else []
    words += [f"--fingerprint {tls[1]}"] if tls else []
    kept = "" if token else "\nThe token was shown before; --show-token shows it again."
    return f"On the other machine: {' '.join(words)}{kept}"


def _count(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 1000:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 1000")
