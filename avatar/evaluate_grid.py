"""Many clips times many portraits through the warp engine, each pair measured; for whoever works on the engine.

    python -m avatar.evaluate_grid CLIPS... --portraits PICTURES... -o FOLDER [--every N] [--size N] [--no-sheets]

Writes FOLDER/grid.json, FOLDER/grid.md and, per pair, FOLDER/sheets/CLIP--PORTRAIT.png. Nothing is encoded and no
clip is kept in memory: the drawn frames go straight to the tracker that judges them.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatar.errors import AvatarError, FaceError
from avatar.evaluate import Evaluation, evaluate_frames, find_portrait
from avatar.evaluate_sheet import Moment, Sheet, pick_moments, tile
from avatar.evaluate_table import Pair, write_tables
from avatar.frames import Frame, RgbImage
from avatar.motion.reference import choose_reference
from avatar.motion.template import SUFFIX, load_template
from avatar.motion.track import MotionTrack, track_frames
from avatar.sources.video import open_driving
from avatar.tracking import open_tracker
from avatar.tracking.face import Face

if TYPE_CHECKING:
    from avatar.engine.warp.engine import WarpEngine

BETWEEN_CLIPS_S = 10.0  # the engine's clock runs on from clip to clip; after this long it starts afresh


@dataclass(frozen=True, eq=False)
class Clip:
    """A driving clip, tracked once."""

    path: Path
    track: MotionTrack
    every: int  # the track's frames are every n-th of the file's
    moments: tuple[Moment, ...]  # those that go on the sheet
    tiles: dict[int, RgbImage]  # of those and of references, by the track's frame

    def tile(self, index: int) -> RgbImage | None:
        """The driver's head in one frame; a motion template has no pictures."""
        if index not in self.tiles and self.path.suffix != SUFFIX:
            self.tiles.update(_tiles(self.path, self.track, self.every, {index}))
        return self.tiles.get(index)


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


def run_portrait(path: Path, clips: Sequence[Clip], *, size: int | None, sheets: Path | None) -> Iterator[Pair]:
    """Animate one portrait by every clip and measure each result; a pair that fails says why."""
    from avatar.engine.warp.engine import WarpEngine, WarpOptions

    tracker = open_tracker()
    try:
        portrait = find_portrait(path, tracker)
    except FaceError as error:
        yield from (Pair(clip.path.stem, path.stem, failure=error.what) for clip in clips)
        return
    engine = WarpEngine(tracker, WarpOptions(size=size))
    started = time.perf_counter()
    rgb, face = portrait.rgb, portrait.faces[0]
    engine.set_source(Frame(rgb, 0, 0), face, portrait.alpha)
    prepare_ms = 1000 * (time.perf_counter() - started)
    begin_s = 0.0
    for clip in clips:
        try:
            yield _run_pair(engine, clip, path.stem, (rgb, face), prepare_ms, begin_s, sheets)
        except FaceError as error:
            yield Pair(clip.path.stem, path.stem, failure=error.what)
        begin_s += float(clip.track.times_s[-1]) + BETWEEN_CLIPS_S
    engine.close()


def _run_pair(
    engine: WarpEngine,
    clip: Clip,
    portrait: str,
    source: tuple[RgbImage, Face],
    prepare_ms: float,
    begin_s: float,
    sheets: Path | None,
) -> Pair:
    rgb, face = source
    reference = choose_reference(clip.track, face)
    engine.calibrate_face(clip.track.face(reference), clip.track.width_px)
    sheet, timer = Sheet(clip.moments, clip.tiles, rgb, face.landmarks), _Timer()
    frames = _animated(engine, clip.track, begin_s, sheet, timer)
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


def _animated(
    engine: WarpEngine, track: MotionTrack, begin_s: float, sheet: Sheet, timer: _Timer
) -> Iterator[Frame]:
    for index, time_s in enumerate(track.times_s):
        face = track.face(index) if track.presence[index] > 0 else None
        started = time.perf_counter()
        rgb = engine.animate_face(face, begin_s + float(time_s))
        timer.draw_ms.append(1000 * (time.perf_counter() - started))
        sheet.add(index, rgb)
        yield Frame(rgb, index, round(float(time_s) * 1e9))


def _tiles(path: Path, track: MotionTrack, every: int, wanted: set[int]) -> dict[int, RgbImage]:
    with open_driving(path) as frames:
        kept = enumerate(itertools.islice(frames, 0, None, every))
        return {index: tile(frame.rgb, track.landmarks) for index, frame in kept if index in wanted}


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
    pairs: list[Pair] = []
    for portrait in args.portraits:
        for pair in run_portrait(portrait, clips, size=args.size, sheets=sheets):
            pairs.append(pair)
            print(pair.line(), file=sys.stderr, flush=True)
            write_tables(args.output, pairs)  # after every pair, so that an interrupted run leaves what it measured
    print((args.output / "grid.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
