"""`run.py live`: camera in, avatar out, without a window."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.errors import UsageError

if TYPE_CHECKING:
    from avatar.live.options import LiveOptions
    from avatar.live.session import SessionResult
    from avatar.outputs.base import Output
    from avatar.settings import Settings

DONE, FAILED = 0, 1


def add_parser(subparsers: Any) -> None:
    """Add `live` and its options to the command line."""
    parser = subparsers.add_parser(
        "live",
        help="camera in, avatar out to a virtual camera or a recording",
        description="Move a portrait as the person before the camera does, until Ctrl-C.",
    )
    add = parser.add_argument
    add("--camera", metavar="ID|FILE|idle", help="what drives: a camera, a video, a folder, a still, or idle: nobody")
    add("--avatar", metavar="NAME|FILE", help="the portrait: an avatar's name, or a picture")
    add("--virtual-camera", action="store_true", help="send to the virtual camera that calls can pick")
    add("--record", metavar="FILE.mp4", type=Path, help="record what is sent")
    add("--sound", action="store_true", help="record the microphone too")
    add("--seconds", metavar="N", type=_seconds, help="stop after so many seconds of avatar (default: Ctrl-C)")
    add("--report", metavar="JSON", type=Path, help="write latencies, rates and counts to a file at the end")
    switch = argparse.BooleanOptionalAction
    motion = parser.add_argument_group("motion")
    motion.add_argument("--mirror", action=switch, help="move as a mirror image of the driver (default: no)")
    motion.add_argument("--search", action=switch, help="keep looking for a more neutral reference frame (default: no)")
    result = parser.add_argument_group("result")
    result.add_argument("--size", metavar="N", type=int, help="longer side of the drawn portrait in pixels")
    result.add_argument("--fit", choices=("blur", "fit", "fill"), help="how it fills 1280 x 720 (default: blur)")
    result.add_argument("--label", action=switch, help='write "AI avatar" into the corner (default: yes)')
    engine = parser.add_argument_group("engine")
    engine.add_argument("--engine", choices=("warp", "fomm"), default="warp", help="what draws (default: warp)")
    engine.add_argument("--model", metavar="NAME|FILE", help="checkpoint, for fomm")
    engine.add_argument("--device", metavar="auto|cpu|cuda|cuda:N|mps", default="auto", help="where fomm runs")


def run(args: argparse.Namespace) -> int:
    """Run until it is over and return the exit code."""
    from avatar.cv import cv2
    from avatar.json_report import check_json_target, write_json
    from avatar.library import Library
    from avatar.live.session import run_session
    from avatar.live.stopping import stop_signals, watch_stdin
    from avatar.live.terminal import Terminal
    from avatar.outputs.recorder import check_recording
    from avatar.outputs.target import files_named
    from avatar.pipeline import Pipeline
    from avatar.settings import load_settings
    from avatar.sources.open import check_source

    settings = load_settings()
    options = options_of(args, settings)
    portrait = Library().resolve(options.avatar)  # a wrong name is noticed before a camera is opened
    inputs = [portrait, *files_named(options.source, options.model)]
    check_json_target(args.report, inputs, beside=args.record)
    if args.record is not None:
        check_recording(args.record)
    if args.camera is not None:
        check_source(args.camera, remembered=settings.camera.source)
    cv2.setNumThreads(settings.threads)
    terminal = Terminal()
    with stop_signals() as stopped, watch_stdin() as closed:
        result = run_session(
            lambda tell: Pipeline(options, on_event=tell),
            _outputs(args, options),
            seconds=args.seconds,
            asked_to_stop=lambda: stopped.is_set() or closed(),
            tell=terminal.tell,
            each_second=terminal.show,
        )
    terminal.end()
    if args.report is not None:
        write_json(args.report, _report(args, options, result))
    return _conclude(result)


def options_of(args: argparse.Namespace, settings: Settings) -> LiveOptions:
    """The session that the command line describes; what it leaves open comes from the settings.

    Raises:
        UsageError, EngineError: it makes no sense, or asks for what cannot be.
    """
    from dataclasses import replace

    from avatar.devices import check_device_name, require_processor
    from avatar.live.options import LiveOptions

    check_device_name(args.device)
    if args.engine == "warp":
        require_processor(args.device)
        if args.model:
            raise UsageError("--model belongs to --engine fomm.", remedy="Leave it out.")
    if args.sound and args.record is None:
        raise UsageError("--sound is for recordings.", remedy="Add --record FILE.mp4.")
    camera, canvas, calibration = settings.camera, settings.canvas, settings.calibration
    return LiveOptions(
        source=args.camera or camera.source or _first_camera(),
        avatar=args.avatar or settings.avatar,
        engine=args.engine,
        model=args.model,
        device=args.device,
        size=args.size,
        mirror_driving=_first(args.mirror, camera.mirror),
        camera_size=(camera.width_px, camera.height_px),
        camera_rate=camera.rate,
        motion=settings.motion,
        crop=settings.crop,
        canvas=replace(canvas, fit=_first(args.fit, canvas.fit), label=_first(args.label, canvas.label)),
        calibration=replace(calibration, search=_first(args.search, calibration.search)),
    )


def _first(given: Any, usual: Any) -> Any:
    return usual if given is None else given


def _first_camera() -> str:
    """Where neither the command line nor the settings name one; without any camera the avatar idles."""
    from avatar.live.options import IDLE
    from avatar.sources.camera_list import list_cameras, usual_camera

    cameras = list_cameras()
    usual = usual_camera(cameras)
    if usual is not None:
        return usual.id
    if cameras:
        what = f"The only camera is virtual ({cameras[0].name}), so the avatar idles. Name it with --camera to use it."
    else:
        what = "There is no camera, so the avatar idles. Name a video with --camera to drive it."
    print(what, file=sys.stderr)
    return IDLE


def _outputs(args: argparse.Namespace, options: LiveOptions) -> dict[str, Callable[[], Output]]:
    from avatar.outputs.microphone import Microphone
    from avatar.outputs.recorder import Recorder
    from avatar.outputs.virtual_camera import VirtualCamera

    microphone = Microphone if args.sound else None
    outputs: dict[str, Callable[[], Output]] = {}
    if args.virtual_camera:
        outputs["virtual camera"] = lambda: VirtualCamera(options.canvas)
    if args.record is not None:
        outputs["recording"] = lambda: Recorder(args.record, options.canvas, microphone=microphone)
    return outputs


def _conclude(result: SessionResult) -> int:
    """Say how it was, and return the exit code; a thread that hangs in a device must not keep the program alive."""
    statistics = result.statistics
    if statistics.drawn:
        latency = statistics.latency
        late = f", {latency.p50_ms:.0f} ms from capture to send (95 %: {latency.p95_ms:.0f})" if latency else ""
        print(f"{statistics.drawn} frames in {result.seconds:.1f} s{late}.")
    elif not result.problems:
        print("Stopped before there was an avatar.", file=sys.stderr)
    code = FAILED if result.problems or not statistics.drawn else DONE
    if not result.clean:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _report(args: argparse.Namespace, options: LiveOptions, result: SessionResult) -> Any:
    """What goes into a file that is passed on: names of files without their folders, and no camera's serial number."""
    from avatar.discretion import discreet_report, known_paths

    report: dict[str, Any] = result.as_json() | {"options": _facts(options), "machine": _machine()}
    known = known_paths(args.record, args.report, options.avatar, options.model)
    if Path(options.source).expanduser().exists():
        known |= known_paths(options.source)
    elif options.source != "idle":
        report["statistics"]["source"] = "camera"
        known |= {options.source: "(camera)"} if len(options.source) > 3 else {}
    return discreet_report(report, known)


def _facts(options: LiveOptions) -> dict[str, Any]:
    """What the numbers of a report depend on, without names of people's files."""
    width, height = options.camera_size
    return {
        "engine": options.engine,
        "camera": "idle" if options.source == "idle" else f"{width} x {height} at {options.camera_rate}, asked for",
        "canvas": f"{options.canvas.width_px} x {options.canvas.height_px}, {options.canvas.fit}",
    }


def _machine() -> dict[str, Any]:
    from avatar.bench import describe_machine

    return describe_machine()


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        value = float(text)
        if 0 < value < math.inf:
            return value
    raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
