"""Compute digests of the output for fixed inputs, to show that a refactoring changes no pixel.

    .venv/bin/python tools/digests.py CLIP PORTRAIT... -o before.json
    (change something)
    .venv/bin/python tools/digests.py CLIP PORTRAIT... --against before.json

It animates with each engine, plays a scripted live session on a clock of its own, composes frames for every fit, and
reads settings and reports. Digests are comparable on one machine only: kernels differ between processors.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from avatar.cv import cv2  # noqa: E402
from avatar.frames import Frame, RgbImage  # noqa: E402

ANIMATIONS = {
    "warp": [],
    "warp-absolute": ["--absolute", "--reference", "first"],
    "warp-weak": ["--strength-head", "0.5", "--strength-expression", "1.5", "--no-adapt-scale", "--reference", "2"],
    "warp-small": ["--size", "300", "--crop", "none", "--side-by-side"],
    "fomm": ["--engine", "fomm"],
    "fomm-absolute": ["--engine", "fomm", "--absolute", "--size", "320", "--show", "motion"],
    "fomm-whole": ["--engine", "fomm", "--crop", "none", "--reference", "1", "--side-by-side"],
}
FRAME_S = 1 / 25


def main() -> int:
    """Print the digests, or what differs from a file of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("portraits", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, help="write the digests here")
    parser.add_argument("--against", type=Path, help="compare with these; exit code 1 where they differ")
    args = parser.parse_args()
    cv2.setNumThreads(2)
    with _own_folders() as folder:
        clip = _short(args.clip, folder)
        found: dict[str, Any] = {"settings": _settings(folder)}
        for portrait in args.portraits:
            for name, words in ANIMATIONS.items():
                found[f"animate {name} {portrait.stem}"] = _animated(portrait, clip, folder / "out", words)
        found |= _by_template(args.portraits[0], clip, folder)
        for engine in ("warp", "fomm"):
            found[f"live {engine}"] = _live(clip, args.portraits, engine)
        found["recording"] = _recorded(clip, folder)
        found["canvas"] = _canvases(clip)
        found["canvas size"] = _sizes()
    if args.output is not None:
        args.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if args.against is None:
        return 0
    before = json.loads(args.against.read_text(encoding="utf-8"))
    differing = [name for name in {**before, **found} if before.get(name) != found.get(name)]
    for name in differing:
        print(f"differs: {name}\n  before {_told(before.get(name))}\n  now    {_told(found.get(name))}")
    print(f"{len(found) - len(differing)} of {len(found)} agree.")
    return 1 if differing else 0


@contextlib.contextmanager
def _own_folders() -> Iterator[Path]:
    """Keep the user's settings and avatars out of it."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["MASQUE_SETTINGS"], os.environ["MASQUE_AVATARS"] = f"{name}/settings.toml", f"{name}/avatars"
        yield Path(name)


def _short(clip: Path, folder: Path) -> Path:
    """Copy every other of the first 60 frames into a folder: no encoder between two runs."""
    target = folder / "driving"
    target.mkdir()
    video = cv2.VideoCapture(str(clip))
    for number in range(60):
        read, bgr = video.read()
        if read and number % 2 == 0:
            cv2.imwrite(str(target / f"{number:03d}.png"), bgr)
    video.release()
    return target


def _digest(*arrays: Any) -> str:
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.shape} {array.dtype}".encode())
        total.update(array.tobytes())
    return total.hexdigest()[:16]


def _animated(portrait: Path, clip: Path, target: Path, words: list[str]) -> dict[str, Any]:
    """Animate through the command line, with PNG frames as the result."""
    said = _command("animate", str(portrait), str(clip), "-o", str(target), *words)
    images = [_digest(cv2.imread(str(path))) for path in sorted(target.glob("*.png"))]
    for path in sorted(target.glob("*")):
        path.unlink()
    return {"frames": len(images), "pictures": _digest_text(images), "said": said}


def _by_template(portrait: Path, clip: Path, folder: Path) -> dict[str, Any]:
    template = folder / "motion.masque"
    said = _command("template", str(clip), "-o", str(template))
    return {"template": said, "animate by template": _animated(portrait, template, folder / "out", [])}


def _command(*words: str) -> list[Any]:
    """Run a command in this process: exit code and what it printed, without times and names of the folder."""
    from avatar.cli import main as run

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(list(words))
    folder = str(Path(os.environ["MASQUE_SETTINGS"]).parent)
    lines = (out.getvalue() + err.getvalue()).replace(folder, "FOLDER").replace("\r", "\n").splitlines()
    return [code, [line for line in lines if not any(mark in line for mark in (" s", "%", "ms", "frames/s"))]]


def _shape(report: Any) -> Any:
    """Return the keys of a report and the types of its values."""
    if isinstance(report, dict):
        return {key: _shape(value) for key, value in report.items()}
    return type(report).__name__


def _digest_text(values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def _told(value: Any) -> str:
    return json.dumps(value)[:600]


def _settings(folder: Path) -> str:
    from avatar.settings import Settings, load_settings, save_settings

    path = folder / "written.toml"
    save_settings(Settings(), path)
    assert load_settings(path) == Settings()
    return _digest_text(path.read_text(encoding="utf-8"))


def _live(clip: Path, portraits: list[Path], engine: str) -> list[Any]:
    """Play a session step by step on one thread: what is published after each frame, and the events."""
    clock = _Clock()
    before = time.monotonic, time.monotonic_ns
    time.monotonic, time.monotonic_ns = clock.monotonic, clock.monotonic_ns
    try:
        return _Session(clip, portraits, engine, clock).play()
    finally:
        time.monotonic, time.monotonic_ns = before


class _Clock:
    """Stands in for time.monotonic."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def monotonic_ns(self) -> int:
        return round(self.now_s * 1e9)


class _Session:
    """A pipeline whose engine thread is not started but stepped."""

    def __init__(self, clip: Path, portraits: list[Path], engine: str, clock: _Clock) -> None:
        from avatar.live.config import LiveConfig
        from avatar.live.pipeline import Pipeline

        self._clock, self._portraits, self._events = clock, portraits, []  # type: ignore[var-annotated]
        self._camera = [_read(path) for path in sorted(clip.glob("*.png"))]
        options = LiveConfig(source=str(clip), avatar=str(portraits[0]), engine=engine)
        self._pipeline = Pipeline(options, on_event=lambda event: self._events.append(_event(event)))
        self._thread = self._pipeline._engine
        self._inbox = self._pipeline.avatar_frames.subscribe()
        self._sent = 0

    def play(self) -> list[Any]:
        pipeline, thread = self._pipeline, self._thread
        stage = thread.manager
        stage.helper.ask = lambda job: job()  # type: ignore[method-assign]
        thread.tracking._tracker = thread.tracking._tools.open_tracker(True)
        stage._prepare()
        told = [*self._follow(12)]
        for act in self._acts():
            act()
            told += [*self._follow(6)]
        told += [*self._follow(30, blind=True), *self._follow(8)]
        self._change(source="idle")
        told += [*self._follow(10, blind=True)]
        stage.close()
        thread.tracking._tracker.close()
        return [_digest_text(told), told[:3], self._events, _shape(pipeline.statistics().as_json())]

    def _acts(self) -> list[Callable[[], object]]:
        from avatar.settings import CropSettings, MotionSettings

        pipeline = self._pipeline
        return [
            pipeline.calibrate,
            lambda: self._change(motion=MotionSettings(strength_head=0.5, strength_expression=0.5)),
            lambda: self._change(avatar=str(self._portraits[-1])),
            pipeline.recentre,
            lambda: self._change(motion=MotionSettings(relative=False, smoothing=False)),
            lambda: self._change(motion=MotionSettings(adapt_scale=False)),
            lambda: self._change(mirror_driving=True),
            lambda: self._change(crop=CropSettings(auto=False, zoom=1.2)),
            lambda: self._change(crop=CropSettings()),
            lambda: pipeline.freeze(True),
            lambda: pipeline.freeze(False),
            lambda: pipeline.pass_through(True),
            lambda: pipeline.pass_through(False),
            pipeline.start_guided_calibration,
            lambda: [*self._follow(130)],
            pipeline.undo_calibration,
        ]

    def _change(self, **changes: Any) -> None:
        self._pipeline.apply(dataclasses.replace(self._pipeline.config, **changes))

    def _follow(self, count: int, *, blind: bool = False) -> Iterator[str]:
        """Step `count` frames; blind: the camera shows nobody."""
        for _ in range(count):
            self._clock.now_s += FRAME_S
            rgb = self._camera[self._sent % len(self._camera)]
            frame = Frame(rgb * 0 + 90 if blind else rgb, self._sent, self._clock.monotonic_ns())
            self._sent += 1
            self._thread._catch_up()
            self._thread._step(self._thread.tracking._tracked(frame), self._clock.now_s)
            self._thread._catch_up()
            published = self._inbox.take(timeout_s=0)
            yield "none" if published is None else _digest(published.rgb) + " camera" * published.passed_through


def _event(event: Any) -> str:
    facts = {key: value for key, value in vars(event).items() if not key.endswith(("_s", "_ms"))}
    return f"{type(event).__name__} {facts}"


def _read(path: Path) -> RgbImage:  # (H, W, 3) uint8
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)  # type: ignore[no-any-return]


def _recorded(clip: Path, folder: Path) -> list[str]:
    """Return digests of the frames of a recording and of a replay, as a player decodes them."""
    import av

    from avatar.live.composer import Composer
    from avatar.outputs.live.recorder import Recorder
    from avatar.outputs.live.replay import ReplayRing
    from avatar.settings import CanvasSettings

    files = folder / "recording.mp4", folder / "replay.mp4"
    canvas = CanvasSettings()
    composer, recorder, replay = Composer(canvas), Recorder(files[0], canvas.size), ReplayRing(canvas.size)
    for number, path in enumerate(sorted(clip.glob("*.png"))):
        frame = composer.compose(Frame(_read(path), number, round(1e9 + number * 4e7)), canvas)
        recorder.send(frame)
        replay.send(frame)
    replay.save(files[1])
    recorder.close()
    replay.close()
    found = []
    for file in files:
        with av.open(str(file)) as container:
            found.append(_digest(*(frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))))
    return found


def _canvases(clip: Path) -> dict[str, str]:
    from avatar.outputs.canvas import compose_frame
    from avatar.settings import FITS, CanvasSettings

    frame = Frame(_read(sorted(clip.glob("*.png"))[0])[:, :200].copy(), 0, 0)
    found = {}
    for fit in FITS:
        for width, height in ((1280, 720), (720, 1280), (333, 77)):
            for changes in dict[str, Any](), {"mirror": True}, {"label": False}:
                canvas = dataclasses.replace(CanvasSettings(width, height, fit), **changes)
                found[f"{fit} {width}x{height} {changes}"] = _digest(compose_frame(frame, canvas))
    return found


def _sizes() -> list[int]:
    from avatar.outputs.canvas import size_on_canvas
    from avatar.settings import FITS, CanvasSettings

    return [size_on_canvas(640, 480, CanvasSettings(w, h, fit)) for w, h in ((1280, 720), (300, 900)) for fit in FITS]


if __name__ == "__main__":
    sys.exit(main())
