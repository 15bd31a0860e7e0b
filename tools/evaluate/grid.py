"""Evaluation grid: every clip drives every portrait, and each pair is measured; for work on an engine.

    python -m tools.evaluate.grid CLIPS... --portraits PICTURES... -o FOLDER [--every N] [--size N] [--no-sheets]
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

import numpy as np

from avatar.engines.base import Driving, Engine, EngineConfig, Portrait
from avatar.engines.crop import square_of_track
from avatar.engines.registry import ENGINES, create_engine
from avatar.errors import AvatarError, FaceError
from avatar.frames import Frame, RgbImage
from avatar.images.box import Box
from avatar.images.letterbox import letterboxed
from avatar.motion.nearest import nearest_by_points
from avatar.motion.presence import Presence
from avatar.motion.reference import choose_reference
from avatar.motion.template import SUFFIX, load_template
from avatar.motion.track import MotionTrack, track_frames
from avatar.offline.evaluate import Evaluation, evaluate_frames, find_portrait
from avatar.portrait.source import PortraitSource
from avatar.sources.video import open_driving
from avatar.tracking import open_tracker
from avatar.tracking.face import Face
from tools.evaluate.sheet import Moment, Sheet, pick_moments, tile
from tools.evaluate.table import Pair, write_tables

BETWEEN_CLIPS_S = 10.0  # the engine's clock runs on from clip to clip; after this long it starts afresh


@dataclass(frozen=True, eq=False)
class Clip:
    """A driving clip, tracked once."""

    path: Path
    track: MotionTrack
    every: int  # the track's frames are every n-th of the file's
    moments: tuple[Moment, ...]  # those that go on the sheet
    tiles: dict[int, RgbImage]  # of those and of references, by the track's frame

    def images(self) -> Generator[RgbImage, None, None]:
        """Yield the driver's (H, W, 3) images, one for each frame of the track."""
        with open_driving(self.path) as frames:
            facts = frames.facts
            for frame in itertools.islice(frames, 0, None, self.every):
                yield letterboxed(frame.rgb, facts.width_px, facts.height_px)

    def tile(self, index: int) -> RgbImage | None:
        """Return a tile of the driver's head in one frame; None for a motion template, which has no images."""
        if index not in self.tiles and self.path.suffix != SUFFIX:
            self.tiles.update(_tiles(self.path, self.track, self.every, {index}))
        return self.tiles.get(index)


class Driven:
    """An engine as the grid uses it."""

    def __init__(self, engine: Engine, size_px: int | None) -> None:
        self._engine, self._size_px = engine, size_px
        self._presence = Presence()
        self._square: Box | None = None  # of the clip's frames
        self.takes_images = engine.wants.is_image

    def set_source(self, portrait: PortraitSource) -> None:
        """Prepare a portrait, by its first face."""
        source = Portrait(portrait.rgb, portrait.faces[0], portrait.alpha)
        self._engine.show(self._engine.prepare(source, self._size_px))

    def begin(self, clip: Clip, face: Face) -> int:
        """Calibrate for a clip and return the number of the reference frame.

        Faces are compared by expression and pose; images by landmarks, in one square around the whole track.
        """
        track, seen = clip.track, clip.track.presence > 0
        if not self.takes_images:
            reference = choose_reference(track, face)
            self._engine.calibrate(Driving(face=track.face(reference), frame_width_px=track.width_px))
            return reference
        reference = nearest_by_points(face.landmarks[:, :2], track.landmarks[..., :2], seen)
        self._square = square_of_track(track.landmarks[seen], track.width_px, track.height_px)
        neutral = next(itertools.islice(clip.images(), reference, None))
        self._engine.calibrate(Driving(image=self._square.of(neutral)))
        return reference

    def draw(self, face: Face | None, image: RgbImage | None, time_s: float) -> RgbImage:
        """Draw the portrait as the driver is."""
        weight = self._presence.update(face is not None, time_s)
        if image is not None and self._square is not None:
            return self._engine.draw(Driving(image=self._square.of(image), weight=weight))
        return self._engine.draw(Driving(face=face, weight=weight))

    def close(self) -> None:
        """Release everything."""
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


def run_portrait(path: Path, clips: Sequence[Clip], driven: Driven, *, sheets: Path | None) -> Iterator[Pair]:
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
    driven.set_source(portrait)
    prepare_ms = 1000 * (time.perf_counter() - started)
    begin_s = 0.0
    for clip in clips:
        try:
            yield _run_pair(driven, clip, path.stem, (rgb, face), prepare_ms, begin_s, sheets)
        except FaceError as error:
            yield Pair(clip.path.stem, path.stem, failure=error.what)
        begin_s += float(clip.track.times_s[-1]) + BETWEEN_CLIPS_S


def _run_pair(
    driven: Driven,
    clip: Clip,
    portrait: str,
    source: tuple[RgbImage, Face],  # (H, W, 3) uint8
    prepare_ms: float,
    begin_s: float,
    sheets: Path | None,
) -> Pair:
    rgb, face = source
    reference = driven.begin(clip, face)
    sheet, timer = Sheet(clip.moments, clip.tiles, rgb, face.landmarks), _Timer()
    frames = _animated(driven, clip, begin_s, sheet, timer)
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


def _animated(driven: Driven, clip: Clip, begin_s: float, sheet: Sheet, timer: _Timer) -> Iterator[Frame]:
    track = clip.track
    with contextlib.ExitStack() as opened:
        images = opened.enter_context(contextlib.closing(clip.images())) if driven.takes_images else None
        for index, time_s in enumerate(track.times_s):
            face = track.face(index) if track.presence[index] > 0 else None
            image = None if images is None else next(images)
            started = time.perf_counter()
            rgb = driven.draw(face, image, begin_s + float(time_s))
            timer.draw_ms.append(1000 * (time.perf_counter() - started))
            sheet.add(index, rgb)
            yield Frame(rgb, index, round(float(time_s) * 1e9))


def _tiles(path: Path, track: MotionTrack, every: int, wanted: set[int]) -> dict[int, RgbImage]:
    """Return tiles (TILE_PX, TILE_PX, 3) uint8 of the wanted frames."""
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
    parser = argparse.ArgumentParser(prog="python -m tools.evaluate.grid", description="Measure clips x portraits.")
    parser.add_argument("clips", metavar="CLIP", nargs="+", type=Path)
    parser.add_argument("--portraits", metavar="PICTURE", nargs="+", type=Path, required=True)
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every n-th frame")
    parser.add_argument("--size", type=int, default=None, help="longer side of the result in pixels")
    parser.add_argument("--engine", choices=ENGINES, default="warp", help="what draws")
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
    driven = Driven(create_engine(EngineConfig(args.engine, args.model)), args.size)
    pairs: list[Pair] = []
    with contextlib.closing(driven):
        for portrait in args.portraits:
            for pair in run_portrait(portrait, clips, driven, sheets=sheets):
                pairs.append(pair)
                print(pair.line(), file=sys.stderr, flush=True)
                write_tables(args.output, pairs)  # after every pair: an interrupted run leaves what it measured
    print((args.output / "grid.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
