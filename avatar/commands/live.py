"""`run.py live`: camera in, avatar out, without a window."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.commands.motion_options import add_motion_options, motion_of
from avatar.errors import UsageError
from avatar.system import interrupts
from avatar.system.message import Message, chained

if TYPE_CHECKING:
    from avatar.live.config import LiveConfig
    from avatar.live.session import SessionResult
    from avatar.outputs.base import Output
    from avatar.remote.identity import KnownHost
    from avatar.settings import CanvasSettings, EngineSettings, Settings

DONE, FAILED = 0, 1
BACKGROUND_HELP = "behind the person: own, blur, green, transparent, a colour, a picture"


def add_parser(subparsers: Any) -> None:
    """Add `live` and its options to the command line."""
    parser = subparsers.add_parser(
        "live",
        help="camera in, avatar out to a virtual camera or a recording",
        description="Move a portrait as the person before the camera does, until Ctrl-C.",
    )
    add = parser.add_argument
    add(
        "--camera",
        metavar="ID|FILE|voice|idle",
        help="what drives: a camera, a video, a folder, a still, voice: a microphone, or idle: nobody",
    )
    add("--camera-size", metavar="WxH", type=_size, help="what to ask a camera for (default: as in the window)")
    add("--camera-rate", metavar="N", type=_rate, help="frames per second to ask a camera for, 1 to 240")
    add("--avatar", metavar="NAME|FILE", help="the portrait: an avatar's name, or a picture")
    add("--virtual-camera", action="store_true", help="send to the virtual camera that calls can pick")
    add("--virtual-camera-device", metavar="NAME|/dev/videoN", help="which of several (default: as in the window)")
    add(
        "--browser-source", metavar="PORT", type=int, nargs="?", const=0,
        help="show it, with its transparency, on a page for OBS's browser source (default port: as in the window)",
    )  # fmt: skip
    add(
        "--record", metavar="FILE|FOLDER", type=Path,
        help="record what is sent: to .mp4, with transparency to .webm, or to a folder of PNG pictures",
    )  # fmt: skip
    add("--sound", action="store_true", help="record the microphone too")
    add("--microphone", metavar="NAME", help="which one, for --sound and --camera voice (default: as in the window)")
    add(
        "--remote", metavar="ADDRESS", nargs="?", const="",
        help="have a host draw (`serve`), which gets the motion and never the camera's picture (default: the last one)",
    )  # fmt: skip
    add("--token", metavar="TEXT", help="that `serve` showed; kept for the next time (or in MASQUE_REMOTE_TOKEN)")
    add("--fingerprint", metavar="TEXT", help="of the host's certificate, as `serve` shows it; kept too")
    add(
        "--keep-portrait", action=argparse.BooleanOptionalAction,
        help="let the host keep the portrait after the session (default: no)",
    )  # fmt: skip
    add("--seconds", metavar="N", type=_seconds, help="stop after so many seconds of avatar (default: Ctrl-C)")
    add("--report", metavar="JSON", type=Path, help="write latencies, rates and counts to a file at the end")
    switch = argparse.BooleanOptionalAction
    motion = add_motion_options(parser)
    motion.add_argument("--mirror", action=switch, help="move as a mirror image of the driver (default: no)")
    motion.add_argument("--smoothing", action=switch, help="reduce jitter, slightly later (default: as in the window)")
    motion.add_argument("--search", action=switch, help="keep looking for a more neutral reference frame (default: no)")
    result = parser.add_argument_group("result")
    result.add_argument("--size", metavar="N", type=int, help="longer side of the drawn portrait in pixels")
    result.add_argument("--fit", choices=("blur", "fit", "fill"), help="how it fills 1280 x 720 (default: blur)")
    result.add_argument(
        "--background", metavar="KIND|#RRGGBB|FILE", help=f"{BACKGROUND_HELP} (default: as in the window)"
    )
    result.add_argument("--label", action=switch, help='write "AI avatar" into the corner (default: yes)')
    engine = parser.add_argument_group("engine")
    engine.add_argument(
        "--engine", choices=("warp", "fomm", "liveportrait"), help="what draws (default: as in the window)"
    )
    engine.add_argument("--model", metavar="NAME|FILE|FOLDER", help="its model, for fomm and liveportrait")
    engine.add_argument("--device", metavar="auto|cpu|cuda|cuda:N|mps", help="where a model runs")
    engine.add_argument(
        "--render", choices=("auto", "processor", "graphics"),
        help="where warp draws: on the processor, on the graphics chip, or on whichever is faster (auto)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run the session and return the exit code."""
    from avatar.library.library import Library
    from avatar.live.events import SourceNote
    from avatar.live.pipeline import Pipeline
    from avatar.live.session import run_session
    from avatar.live.stopping import stop_signals, watch_stdin
    from avatar.live.terminal import Terminal
    from avatar.outputs.files.target import files_named
    from avatar.outputs.live.recording_target import check_recording
    from avatar.reports.json_report import check_json_target, write_json
    from avatar.settings import load_settings
    from avatar.sources.open import check_source

    settings = load_settings()
    config = config_of(args, settings, _host_of(args))
    portrait = Library().resolve(config.avatar)  # fails for a wrong name before a camera is opened
    inputs = [portrait, *files_named(config.source, config.model)]
    check_json_target(args.report, inputs, beside=args.record)
    if args.record is not None:
        check_recording(args.record)
    if args.camera is not None:
        check_source(args.camera, remembered=settings.camera.source)
    terminal = Terminal()
    if (note := _opaque_note(args.record, config.canvas.background)) is not None:
        terminal.tell(SourceNote(note))
    with stop_signals() as stopped, watch_stdin() as closed:
        result = run_session(
            lambda tell: Pipeline(config, on_event=tell),
            _outputs(args, config, settings),
            seconds=args.seconds,
            asked_to_stop=lambda: stopped.is_set() or closed(),
            tell=terminal.tell,
            each_second=terminal.show,
        )
    terminal.end()
    if args.report is not None:
        write_json(args.report, _report(args, config, result))
    return _conclude(result)


def _opaque_note(record: Path | None, background: str) -> Message | None:
    """Return what to say of a recording that was to be transparent; None if there is nothing to say."""
    from avatar.outputs.files.target import OutputKind
    from avatar.outputs.live.recording_target import recording_kind

    if record is None or background != "transparent" or recording_kind(record) is not OutputKind.MP4:
        return None
    return Message(
        "{name} shows the portrait's own background, because MP4 cannot be transparent; --record show.webm can, and "
        "--browser-source.",
        name=record.name,
    )


def config_of(args: argparse.Namespace, settings: Settings, host: KnownHost | None = None) -> LiveConfig:
    """Build the session's config; the settings provide values that the command line omits.

    Args:
        args: the command line.
        settings: of the window.
        host: that is to draw; None: this machine.
    Raises:
        UsageError, EngineError: an option is invalid or not available.
    """
    from dataclasses import replace

    from avatar.live.config import LiveConfig
    from avatar.outputs.files.target import OutputKind
    from avatar.outputs.live.recording_target import recording_kind
    from avatar.settings import EngineSettings
    from avatar.system.devices import check_device_name

    if args.microphone is not None and not args.sound and args.camera != "voice":
        raise UsageError("--microphone belongs to --sound and --camera voice.", remedy="Leave it out, or add one.")
    if args.virtual_camera_device is not None and not args.virtual_camera:
        raise UsageError("--virtual-camera-device belongs to --virtual-camera.", remedy="Add --virtual-camera.")
    if args.sound and args.record is None:
        raise UsageError("--sound needs a recording.", remedy="Add --record FILE.mp4.")
    if args.sound and recording_kind(args.record) is OutputKind.PNG_FOLDER:
        raise UsageError(
            "A folder of pictures cannot hold sound.", remedy="Leave --sound out, or end the name in .mp4 or .webm."
        )
    camera, calibration = settings.camera, settings.calibration
    if host is None:
        engine = replace(_engine_of(args, settings.engine), remote="")  # a host is asked for by --remote alone
    else:
        engine = EngineSettings(host.engine, args.model or "", args.device or "auto")
    motion = motion_of(args, settings.motion, engine.name)
    size = _first(args.camera_size, (camera.width_px, camera.height_px))
    overruled = replace(
        settings,
        avatar=args.avatar or settings.avatar,
        engine=engine,
        motion=replace(motion, smoothing=_first(args.smoothing, motion.smoothing)),
        camera=replace(
            camera,
            source=args.camera or camera.source or _first_camera(),
            width_px=size[0],
            height_px=size[1],
            rate=_first(args.camera_rate, camera.rate),
            mirror=_first(args.mirror, camera.mirror),
        ),
        sound=replace(settings.sound, microphone=_first(args.microphone, settings.sound.microphone)),
        canvas=_canvas_of(args, settings.canvas),
        calibration=replace(calibration, search=_first(args.search, calibration.search)),
    )
    address = "" if host is None else str(host.address)
    config = replace(LiveConfig.of(overruled), size=args.size, remote=address)
    check_device_name(config.device)
    return config


def _host_of(args: argparse.Namespace) -> KnownHost | None:
    """Return the host that is to draw, if there is to be one, after asking and remembering it.

    Raises:
        UsageError, SetupError: something about it is missing.
        EngineError: it is not there, or refuses.
        WeightsError: it needs a network here that is missing.
    """
    given = {"--token": args.token, "--fingerprint": args.fingerprint, "--keep-portrait": args.keep_portrait}
    if args.remote is None:
        for name, value in given.items():
            if value is not None:
                raise UsageError(Message("{option} belongs to --remote.", option=name), remedy="Leave it out.")
        return None
    from avatar.remote.engine import join
    from avatar.remote.identity import find_host, remember
    from avatar.remote.protocol import ENGINES

    if args.render is not None or args.engine not in (None, *ENGINES):
        raise _decided_error("--engine" if args.render is None else "--render")

    token = args.token or os.environ.get("MASQUE_REMOTE_TOKEN") or None
    host = join(find_host(args.remote, token, args.fingerprint, args.keep_portrait), args.model)
    if args.engine not in (None, host.engine):
        raise UsageError(
            Message("The host draws with {engine}, not with {wanted}.", engine=host.engine, wanted=args.engine),
            remedy=Message("Leave --engine out, or start the host with --engine {wanted}.", wanted=args.engine),
        )
    if host.engine == "warp" and (args.model or args.device):  # nothing is measured here by a network
        raise _decided_error("--model" if args.model else "--device")
    remember(host)
    return host


def _decided_error(option: str) -> UsageError:
    return UsageError(Message("With --remote the host decides about {option}.", option=option), remedy="Leave it out.")


def _canvas_of(args: argparse.Namespace, chosen: CanvasSettings) -> CanvasSettings:
    """Return what the command line names. Raises: UsageError, ImageError: the background cannot be used."""
    from dataclasses import replace

    from avatar.outputs.background_choice import parse_background

    canvas = replace(chosen, fit=_first(args.fit, chosen.fit), label=_first(args.label, chosen.label))
    return canvas if args.background is None else parse_background(args.background).on(canvas)


def _engine_of(args: argparse.Namespace, chosen: EngineSettings) -> EngineSettings:
    """Return the engine settings; model and device of the settings apply only to the engine of the settings.

    Raises: UsageError, EngineError: the engine has no choice of model or device.
    """
    from avatar.engines.registry import ENTRIES
    from avatar.settings import EngineSettings
    from avatar.system.devices import check_device_name, require_processor

    name = args.engine or chosen.name
    if args.device is not None:
        check_device_name(args.device)
    if name == "warp":
        require_processor(args.device or "auto")
        if args.model:
            others = chained("{first} or {second}", *(each for each, entry in ENTRIES.items() if entry.takes_models))
            raise UsageError(Message("--model belongs to --engine {others}.", others=others), remedy="Leave it out.")
    if args.render is not None and not ENTRIES[name].has_renderers:
        others = chained("{first} or {second}", *(each for each, entry in ENTRIES.items() if entry.has_renderers))
        raise UsageError(Message("--render belongs to --engine {others}.", others=others), remedy="Leave it out.")
    usual = chosen if name == chosen.name else EngineSettings(name)
    return EngineSettings(name, args.model or usual.model, args.device or usual.device, args.render or usual.render)


def _first(given: Any, usual: Any) -> Any:
    return usual if given is None else given


def _first_camera() -> str:
    """Choose a camera if neither the command line nor the settings name one; without any, the avatar idles."""
    from avatar.live.config import IDLE
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


def _outputs(args: argparse.Namespace, config: LiveConfig, settings: Settings) -> dict[str, Callable[[], Output]]:
    from avatar.outputs.live.browser_source import BrowserSource
    from avatar.outputs.live.recorder import open_recording
    from avatar.outputs.live.virtual_camera import VirtualCamera
    from avatar.sources.microphone import Microphone

    name = _first(args.microphone, settings.sound.microphone) or None
    microphone = (lambda: Microphone(name)) if args.sound else None
    outputs: dict[str, Callable[[], Output]] = {}
    if args.virtual_camera:
        device = _first(args.virtual_camera_device, settings.virtual_camera.device)
        outputs["virtual camera"] = lambda: VirtualCamera(config.canvas.size, named=device)
    if args.browser_source is not None:
        outputs["browser source"] = lambda: BrowserSource(
            args.browser_source or settings.browser.port, settings.browser.path
        )
    if args.record is not None:
        outputs["recording"] = lambda: open_recording(args.record, config.canvas.size, microphone=microphone)
    return outputs


def _conclude(result: SessionResult) -> int:
    """Print a summary and return the exit code; a thread that hangs in a device must not keep the process alive."""
    statistics = result.statistics
    if statistics.drawn:
        latency = statistics.latency
        late = f", {latency.p50_ms:.0f} ms from capture to send (95 %: {latency.p95_ms:.0f})" if latency else ""
        print(f"{statistics.drawn} frames in {result.seconds:.1f} s{late}, {statistics.cores:.1f} cores busy.")
    elif not result.problems:
        print("Stopped before there was an avatar.", file=sys.stderr)
    code = FAILED if result.problems or not statistics.drawn else DONE
    if not result.clean:
        interrupts.leave(code)
    return code


def _report(args: argparse.Namespace, config: LiveConfig, result: SessionResult) -> Any:
    """Build a report that is safe to share: file names without folders, no camera serial number."""
    from avatar.reports.discretion import discreet_report, known_paths

    report: dict[str, Any] = result.as_json() | {"options": _facts(config), "machine": _machine()}
    if args.record is not None:
        report["encoder"] = _encoder(args.record, config)
    known = known_paths(args.record, args.report, config.avatar, config.model)
    if Path(config.source).expanduser().exists():
        known |= known_paths(config.source)
    elif config.source not in ("idle", "voice"):
        report["statistics"]["source"] = "camera"
        known |= {config.source: "(camera)"} if len(config.source) > 3 else {}
    return discreet_report(report, known)


def _facts(config: LiveConfig) -> dict[str, Any]:
    """Describe the conditions of the measurements, without the names of the user's files."""
    width, height = config.camera_size
    return {
        "engine": config.engine,
        "render": config.render,
        "remote": bool(config.remote),
        "camera": config.source
        if config.source in ("idle", "voice")
        else f"{width} x {height} at {config.camera_rate}, asked for",
        "canvas": f"{config.canvas.width_px} x {config.canvas.height_px}, {config.canvas.fit}",
    }


def _encoder(record: Path, config: LiveConfig) -> str:
    """Name what the recording was encoded by."""
    from avatar.outputs.files.target import OutputKind
    from avatar.outputs.live.alpha_codecs import PNG, VP9
    from avatar.outputs.live.encoder import RATE
    from avatar.outputs.live.h264 import choose_encoder
    from avatar.outputs.live.recording_target import recording_kind

    match recording_kind(record):
        case OutputKind.WEBM:
            return VP9.facts
        case OutputKind.PNG_FOLDER:
            return PNG.facts
    return choose_encoder(config.canvas.size, RATE).facts


def _machine() -> dict[str, Any]:
    from avatar.offline.bench import describe_machine

    return describe_machine()


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{2,4})[xX](\d{2,4})", text)
    if found and all(16 <= int(side) <= 8192 for side in found.groups()):
        return int(found[1]), int(found[2])
    raise argparse.ArgumentTypeError(f"{text} is not a size like 1280x720, of 16 to 8192 pixels")


def _rate(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 240:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to 240")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        value = float(text)
        if 0 < value < math.inf:
            return value
    raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
