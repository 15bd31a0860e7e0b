"""Evaluation of an animation: how faithfully the portrait follows the driver, and how sharp it remains."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from avatar.errors import FaceError, UsageError
from avatar.frames import Frame, RgbImage
from avatar.motion.template import SUFFIX, load_template
from avatar.motion.track import MotionTrack, track_frames
from avatar.offline.evaluate_image import SAME_SHAPE, ImageMeter
from avatar.offline.evaluate_motion import Channel, compare_tracks, frames_lost, match_frames
from avatar.portrait.crop import Crop
from avatar.portrait.source import Likeness, PortraitSource, read_portrait
from avatar.sources.facts import DrivingVideo
from avatar.system.message import Message
from avatar.tracking.face import Face
from avatar.tracking.tracker import FaceTracker

__all__ = ["Channel", "Evaluation", "compare_tracks", "evaluate", "evaluate_frames"]

GAIN_RANGE = (0.7, 1.3)
SHARPNESS_TARGET = 0.9
PAIRED = 0.9  # minimum fraction of the result's frames that match a frame of the driving clip
TARGETS = {"yaw": 0.97, "pitch": 0.92, "roll": 0.97, "jawOpen": 0.88, "blink": 0.85, "smile": 0.8, "gaze": 0.8}
"""Correlations that a good engine reaches in the median over many pairs; single pairs vary."""


@dataclass(frozen=True)
class Evaluation:
    """Measurements of one animation."""

    channels: dict[str, Channel]  # by name, in the order of CHANNELS
    frames: int  # number of compared frames: those at whose time the driving clip has one
    result_frames: int  # number of frames of the result
    frames_lost: int  # compared frames in which the driver has a face and the result has none
    sharpness: float | None  # detail of the result's face over that of the portrait's
    background_change: float | None  # mean change outside the head, [0, 255]
    notes: tuple[str, ...] = ()  # notes for the user about the clips

    def as_json(self) -> dict[str, Any]:
        """Convert the measurements to JSON values."""
        return asdict(self)

    def table(self) -> str:
        """Format the measurements as a table, one line per channel."""
        lines = [f"{'channel':<12} {'correlation':>11} {'gain':>6}  target"]
        for name, channel in self.channels.items():
            target = f">= {TARGETS[name]}" if name in TARGETS else ""
            if channel.correlation is None or channel.gain is None:
                lines.append(f"{name:<12} {'not moved by the driver':>18}")
            else:
                lines.append(f"{name:<12} {channel.correlation:>11.3f} {channel.gain:>6.2f}  {target}".rstrip())
        compared = f"{self.frames} of {self.result_frames}"
        lines += ["", f"frames compared    {compared}, without a face in the result {self.frames_lost}"]
        target = f"of the portrait's (target >= {SHARPNESS_TARGET})"
        lines.append(f"sharpness          {_number(self.sharpness, target)}")
        lines.append(f"background change  {_number(self.background_change, 'of 255 outside the head')}")
        if self.frames < PAIRED * self.result_frames:
            lines.append("Driving clip and result differ in length: is this result made from that clip?")
        return "\n".join(lines)


def evaluate(
    source: Path | Likeness,
    driving: Path,
    result: Path,
    *,
    crop: Crop = "auto",
    progress: Callable[[int], None] = lambda frames: None,
) -> Evaluation:
    """Compare an animation with the portrait and the clip it was made from.

    Args:
        source: the portrait, or an avatar of the library (`Library.likeness`).
        driving: a video, a folder of images or a motion template.
        result: the animation: a video, a GIF or a folder of images, without the driver beside it.
        crop: the animated part of the portrait, as given to `animate`.
        progress: called with the number of frames read so far, in the driving clip and then in the result.
    Raises:
        ImageError, VideoError, TemplateError: a file cannot be read.
        FaceError: one of the three shows no face.
        UsageError: the result shows the driver too.
        WeightsError: the face model is missing.
    """
    from avatar.sources.video import open_driving

    with contextlib.closing(open_watching_tracker()) as tracker:
        portrait = find_portrait(source, tracker, crop)
    with open_driving(result) as frames:  # opened before the long work, because it may be missing
        notes: list[str] = []
        driver = load_template(driving) if driving.suffix.lower() == SUFFIX else _track(driving, progress, notes)
        _refuse_company(frames, portrait.rgb, driver, result.name)
        found = evaluate_frames(portrait.rgb, portrait.faces[0], driver, _counted(frames, progress), name=result.name)
        return replace(found, notes=(*notes, *frames.notes))


def evaluate_frames(
    source: RgbImage, source_face: Face, driver: MotionTrack, result: Iterable[Frame], *, name: str = "The result"
) -> Evaluation:
    """Compare an animation given as frames, none of which is kept.

    Args:
        source: (H, W, 3) uint8, the portrait.
        source_face: its face.
        driver: the motion of the driving clip.
        result: the frames of the animation, in order.
        name: name of the result, for messages.
    Raises:
        FaceError: no frame of the result shows a face.
    """
    meter = ImageMeter(source, source_face)
    with contextlib.closing(open_watching_tracker(meter.add)) as tracker:
        track = track_frames(result, tracker, name=name)
    compared = len(match_frames(driver, track)[0])
    channels = compare_tracks(driver, track)
    lost = frames_lost(driver, track)
    return Evaluation(channels, compared, len(track), lost, meter.sharpness, meter.background_change)


def find_portrait(source: Path | Likeness, tracker: FaceTracker, crop: Crop = "auto") -> PortraitSource:
    """Return the part of an image that `animate` takes, with at least one face.

    Raises:
        ImageError: the image cannot be read.
        UsageError: the part reaches outside the image.
        FaceError: it shows no face.
    """
    portrait = read_portrait(source, tracker, crop)
    if not portrait.faces:
        path = source.path if isinstance(source, Likeness) else source
        raise FaceError(
            Message("{name} shows no face.", name=path.name),
            remedy="Choose a portrait that shows one from the front.",
        )
    return portrait


class WatchingTracker(FaceTracker):
    """A tracker that passes every frame and its face to a callback."""

    def __init__(self, model: Path, watch: Callable[[RgbImage, Face | None], None]) -> None:
        super().__init__(model)
        self._watch = watch

    def track(self, rgb: RgbImage, time_s: float | None = None) -> Face | None:
        """Track as `FaceTracker.track`: (H, W, 3) uint8."""
        face = super().track(rgb, time_s)
        self._watch(rgb, face)
        return face


def open_watching_tracker(watch: Callable[[RgbImage, Face | None], None] = lambda rgb, face: None) -> WatchingTracker:
    """Open a tracker with the face model in the user's cache. Raises: WeightsError."""
    from avatar.weights import model_path

    return WatchingTracker(model_path("face-landmarker"), watch)


def _counted(frames: Iterable[Frame], progress: Callable[[int], None]) -> Iterator[Frame]:
    for count, frame in enumerate(frames, 1):
        yield frame
        progress(count)


def _track(clip: Path, progress: Callable[[int], None], notes: list[str]) -> MotionTrack:
    from avatar.motion.upright_clip import open_turned, turn_of_clip

    with (
        contextlib.closing(open_watching_tracker()) as tracker,
        open_turned(clip, turn_of_clip(clip, tracker)) as frames,
    ):
        track = track_frames(_counted(frames, progress), tracker, name=clip.name)
        notes += frames.notes
        return track


def _refuse_company(result: DrivingVideo, portrait: RgbImage, driver: MotionTrack, name: str) -> None:
    """Raise UsageError if the driver is beside the (H, W, 3) portrait, because the larger face would be measured."""
    shape = result.facts.width_px / result.facts.height_px
    both = portrait.shape[1] / portrait.shape[0] + driver.width_px / driver.height_px
    if abs(shape / both - 1) <= SAME_SHAPE:
        raise UsageError(
            Message("{name} shows the driver beside the portrait.", name=name),
            remedy="Evaluate a result made without --side-by-side.",
        )


def _number(value: float | None, unit: str) -> str:
    return "not known" if value is None else f"{value:.2f} {unit}"
