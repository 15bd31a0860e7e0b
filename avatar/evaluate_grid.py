"""Many clips times many portraits through an engine, each pair measured; for whoever works on the engine.

    python -m avatar.evaluate_grid CLIPS... --portraits PICTURES... -o FOLDER [--every N] [--size N] [--no-sheets]
        [--engine warp|fomm] [--model NAME|FILE]

Writes FOLDER/grid.json, FOLDER/grid.md and, per pair, FOLDER/sheets/CLIP--PORTRAIT.png. Nothing is encoded and no
clip is kept in memory: the drawn frames go straight to the tracker that judges them.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from avatar.errors import AvatarError, FaceError
from avatar.evaluate import Evaluation, evaluate_frames, find_portrait
from avatar.evaluate_sheet import Moment, Sheet, pick_moments, tile
from avatar.evaluate_table import Pair, write_tables
from avatar.frames import Frame, RgbImage
from avatar.letterbox import letterboxed
from avatar.motion.reference import choose_reference
from avatar.motion.template import SUFFIX, load_template
from avatar.motion.track import MotionTrack, track_frames
from avatar.portrait_source import PortraitSource
from avatar.sources.video import open_driving
from avatar.tracking import open_tracker
from avatar.tracking.face import Face

BETWEEN_CLIPS_S = 10.0  # the engine's clock runs on from clip to clip; after this long it starts afresh


@dataclass(frozen=True, eq=False)
class Clip:
    """A driving clip, tracked once."""

    path: Path
    track: MotionTrack
    every: int  # the track's frames are every n-th of the file's
    moments: tuple[Moment, ...]  # those that go on the sheet
    tiles: dict[int, RgbImage]  # of those and of references, by the track's frame

    def pictures(self) -> Generator[RgbImage, None, None]:
        """The driver's pictures, one for each of the track's frames."""
        with open_driving(self.path) as frames:
            facts = frames.facts
            for frame in itertools.islice(frames, 0, None, self.every):
                yield letterboxed(frame.rgb, facts.width_px, facts.height_px)

    def tile(self, index: int) -> RgbImage | None:
        """The driver's head in one frame; a motion template has no pictures."""
        if index not in self.tiles and self.path.suffix != SUFFIX:
            self.tiles.update(_tiles(self.path, self.track, self.every, {index}))
        return self.tiles.get(index)


class Stage(Protocol):
    """An engine as the grid uses it."""

    needs_pictures: bool  # of the driver, not only the tracked face

    def set_source(self, portrait: PortraitSource) -> None:
        """Prepare a portrait, by its first face."""

    def begin(self, clip: Clip, face: Face) -> int:
        """Calibrate for a clip; the reference frame that was taken."""
        ...

    def draw(self, face: Face | None, picture: RgbImage | None, time_s: float) -> RgbImage:
        """Draw the portrait as the driver is."""
        ...

    def close(self) -> None:
        """Release everything."""


class WarpStage:
    """The warp engine, driven by tracked faces."""

    needs_pictures = False

    def __init__(self, size: int | None) -> None:
        from avatar.engine.warp.engine import WarpEngine, WarpOptions

        self._engine = WarpEngine(None, WarpOptions(size=size))

    def set_source(self, portrait: PortraitSource) -> None:
        """Prepare a portrait, by its first face."""
        self._engine.set_source(Frame(portrait.rgb, 0, 0), portrait.faces[0], portrait.alpha)

    def begin(self, clip: Clip, face: Face) -> int:
        """Calibrate by expression and pose."""
        reference = choose_reference(clip.track, face)
        self._engine.calibrate_face(clip.track.face(reference), clip.track.width_px)
        return reference

    def draw(self, face: Face | None, picture: RgbImage | None, time_s: float) -> RgbImage:
        """Draw the portrait as the face is."""
        return self._engine.animate_face(face, time_s)

    def close(self) -> None:
        """Let go of the portrait."""
        self._engine.close()


class FommStage:
    """The First Order Motion Model, driven by pictures."""

    needs_pictures = True

    def __init__(self, size: int | None, model: str | None) -> None:
        from avatar.engine.fomm.engine import FommEngine, FommOptions

        self._engine = FommEngine(FommOptions(model=model, size=size))

    def set_source(self, portrait: PortraitSource) -> None:
        """Prepare a portrait, by its first face."""
        self._engine.set_source(Frame(portrait.rgb, 0, 0), portrait.faces[0])

    def begin(self, clip: Clip, face: Face) -> int:
        """Calibrate by normalised landmarks, in the square around the whole track."""
        from avatar.engine.fomm.crop import square_of_track
        from avatar.engine.fomm.reference import nearest_by_points

        track, seen = clip.track, clip.track.presence > 0
        reference = nearest_by_points(face.landmarks[:, :2], track.landmarks[..., :2], seen)
        box = square_of_track(track.landmarks[seen], track.width_px, track.height_px)
        picture = next(itertools.islice(clip.pictures(), reference, None))
        self._engine.calibrate_in(Frame(picture, 0, 0), box)
        return reference

    def draw(self, face: Face | None, picture: RgbImage | None, time_s: float) -> RgbImage:
        """Draw the portrait as the picture says."""
        assert picture is not None  # asked for with `needs_pictures`
        return self._engine.animate(Frame(picture, 0, round(time_s * 1e9))).rgb

    def close(self) -> None:
        """Let go of model and portrait."""
        self._engine.close()


@dataclass(eq=False)
class _Timer:
    draw_ms: list[float] = field(default_factory=list)


def read_clip(path: Path, every: int) -> Clip:
    """Track every n-th frame of a clip. Raises: VideoError, TemplateError, FaceError."""
    if path.suffix == SUFFIX:
        track = _thinned(load_template(path), every)
        return Clip(path, track, every, pick_moments(track), {})
    tracker = open_tracker()
    with open_driving(path) as frames:
        track = track_frames(itertools.islice(frames, 0, None, every), tracker, name=path.name)
    tracker.close()
    moments = pick_moments(track)
    return Clip(path, track, every, moments, _tiles(path, track, every, {moment.index for moment in moments}))


def run_portrait(path: Path, clips: Sequence[Clip], stage: Stage, *, sheets: Path | None) -> Iterator[Pair]:
    """Animate one portrait by every clip and measure each result; a pair that fails says why."""
    tracker = open_tracker()
    try:
        portrait = find_portrait(path, tracker)
    except FaceError as error:
        yield from (Pair(clip.path.stem, path.stem, failure=error.what) for clip in clips)
        return
    finally:
        tracker.close()
    started = time.perf_counter()
    rgb, face = portrait.rgb, portrait.faces[0]
    stage.set_source(portrait)
    prepare_ms = 1000 * (time.perf_counter() - started)
    begin_s = 0.0
    for clip in clips:
        try:
            yield _run_pair(stage, clip, path.stem, (rgb, face), prepare_ms, begin_s, sheets)
        except FaceError as error:
            yield Pair(clip.path.stem, path.stem, failure=error.what)
        begin_s += float(clip.track.times_s[-1]) + BETWEEN_CLIPS_S


def _run_pair(
    stage: Stage,
    clip: Clip,
    portrait: str,
    source: tuple[RgbImage, Face],
    prepare_ms: float,
    begin_s: float,
    sheets: Path | None,
) -> Pair:
    rgb, face = source
    reference = stage.begin(clip, face)
    sheet, timer = Sheet(clip.moments, clip.tiles, rgb, face.landmarks), _Timer()
    frames = _animated(stage, clip, begin_s, sheet, timer)
    started = time.perf_counter()
    evaluation: Evaluation = evaluate_frames(rgb, face, clip.track, frames, name=f"{clip.path.stem} on {portrait}")
    total_ms = 1000 * (time.perf_counter() - started)
    if sheets is not None:
        sheet.save(sheets / f"{clip.path.stem}--{portrait}.png", clip.tile(reference), evaluation)
    draw_ms = (float(np.median(timer.draw_ms)), float(np.quantile(timer.draw_ms, 0.95)))
    other_ms = (total_ms - sum(timer.draw_ms)) / len(clip.track)
    return Pair(
        clip.path.stem, portrait, reference, evaluation, draw_ms=draw_ms, prepare_ms=prepare_ms, measure_ms=other_ms
    )


def _animated(stage: Stage, clip: Clip, begin_s: float, sheet: Sheet, timer: _Timer) -> Iterator[Frame]:
    track = clip.track
    with contextlib.ExitStack() as opened:
        pictures = opened.enter_context(contextlib.closing(clip.pictures())) if stage.needs_pictures else None
        for index, time_s in enumerate(track.times_s):
            face = track.face(index) if track.presence[index] > 0 else None
            picture = None if pictures is None else next(pictures)
            started = time.perf_counter()
            rgb = stage.draw(face, picture, begin_s + float(time_s))
            timer.draw_ms.append(1000 * (time.perf_counter() - started))
            sheet.add(index, rgb)
            yield Frame(rgb, index, round(float(time_s) * 1e9))


def _tiles(path: Path, track: MotionTrack, every: int, wanted: set[int]) -> dict[int, RgbImage]:
    with open_driving(path) as frames:
        kept = enumerate(itertools.islice(frames, 0, None, every))
        size = frames.facts.width_px, frames.facts.height_px
        return {index: tile(letterboxed(frame.rgb, *size), track.landmarks) for index, frame in kept if index in wanted}


def _thinned(track: MotionTrack, every: int) -> MotionTrack:
    return replace(
        track,
        landmarks=track.landmarks[::every],
        blendshapes=track.blendshapes[::every],
        presence=track.presence[::every],
        times_s=track.times_s[::every],
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the grid of the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m avatar.evaluate_grid", description="Measure clips x portraits.")
    parser.add_argument("clips", metavar="CLIP", nargs="+", type=Path)
    parser.add_argument("--portraits", metavar="PICTURE", nargs="+", type=Path, required=True)
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every n-th frame")
    parser.add_argument("--size", type=int, default=None, help="longer side of the result in pixels")
    parser.add_argument("--engine", choices=("warp", "fomm"), default="warp", help="what draws")
    parser.add_argument("--model", metavar="NAME|FILE", help="checkpoint, for fomm")
    parser.add_argument("--no-sheets", action="store_true", help="numbers only")
    args = parser.parse_args(argv)
    try:
        return _grid(args)
    except AvatarError as error:
        print(f"{error.what}\n{error.remedy}", file=sys.stderr)
        return 1


def _grid(args: argparse.Namespace) -> int:
    args.output.mkdir(parents=True, exist_ok=True)
    sheets = None if args.no_sheets else args.output / "sheets"
    if sheets is not None:
        sheets.mkdir(exist_ok=True)
    clips = [read_clip(path, max(1, args.every)) for path in args.clips]
    stage: Stage = FommStage(args.size, args.model) if args.engine == "fomm" else WarpStage(args.size)
    pairs: list[Pair] = []
    with contextlib.closing(stage):
        for portrait in args.portraits:
            for pair in run_portrait(portrait, clips, stage, sheets=sheets):
                pairs.append(pair)
                print(pair.line(), file=sys.stderr, flush=True)
                write_tables(args.output, pairs)  # after every pair: an interrupted run leaves what it measured
    print((args.output / "grid.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
