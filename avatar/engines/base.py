"""The contract between engines and their callers, live or offline.

An engine is a folder of `avatar.engines` and a line in `avatar.engines.registry`. It draws one portrait at a time, from
the part of a driving frame that `Engine.wants` names, and does not depend on cameras, clips, trackers or outputs.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from avatar.engines.crop import FACE_MESH, Framing
from avatar.frames import AlphaImage, FloatArray, RgbImage
from avatar.images.box import Box
from avatar.motion.parameters import Measured
from avatar.settings import MotionSettings
from avatar.tracking.face import Face


class DrivingInput(enum.Enum):
    """Input that an engine draws from."""

    FACE = "face"  # the tracked landmarks
    FACE_CROP = "face crop"  # the image around the driver's face; without a face there is nothing to draw from
    CROP = "crop"  # the image around a face where there is one, else the whole frame
    FRAME = "frame"  # the whole frame, whatever it shows

    @property
    def is_image(self) -> bool:
        """True if the engine draws from `Driving.image`."""
        return self is not DrivingInput.FACE

    @property
    def follows_faces(self) -> bool:
        """True if the engine depends on the position of the face."""
        return self is not DrivingInput.FRAME

    @property
    def needs_face(self) -> bool:
        """True if nothing can be drawn without a face."""
        return self in (DrivingInput.FACE, DrivingInput.FACE_CROP)


@dataclass(frozen=True, eq=False)
class Driving:
    """Driving input of an engine for one frame."""

    face: Face | None = None  # for DrivingInput.FACE; None: no face, the last motion is kept. A hint for other engines
    image: RgbImage | None = None  # (h, w, 3), the crop to draw from, of any size; None: the last drawn frame is kept
    frame_width_px: int | None = None  # width of the frame that shows the face; for `adapt_scale=False` only
    weight: float = 1.0  # 0..1, weight of the motion; 0: at rest. Ignored by some engines that draw from images
    measured: Measured | None = None  # what a `MeasuringEngine` found in an image before, in its place
    moment: tuple[RgbImage, ...] = ()  # `calibrate`: more images of the same moment, for engines that average
    wants_matte: bool = False  # of this frame, from a `DistantEngine` whose matte has to be asked for with the frame
    captured_ns: int = 0  # when the driver was seen so; a `DistantEngine` returns it with the frame that shows it


Checkpoint = Callable[[], None]


def go_on() -> None:
    """Return: the checkpoint of a preparation that nobody interrupts."""


@dataclass(frozen=True, eq=False)
class Portrait:
    """Portrait to animate."""

    rgb: RgbImage  # (H, W, 3)
    face: Face | None = None  # in pixels of `rgb`
    alpha: AlphaImage | None = None  # (H, W), 255 = opaque; transparent pixels are background
    part: Box | None = None  # the part to animate, for engines that animate a part; None: the engine chooses
    outline: FloatArray | None = None  # (478, 2), landmarks that place the part, smoothed over a clip; None: the face's
    separate: bool = False  # tell the person from the background, also where that is work of its own
    checkpoint: Checkpoint = go_on  # called by `prepare` between its steps, which it ends by raising


@dataclass(frozen=True)
class EngineConfig:
    """Options with which an engine is opened."""

    name: str = "warp"  # name in the registry
    model: str | Path | None = None  # a name in the manifest, a file, a folder of ONNX files; None: the engine's own
    config: str | Path | None = None  # the model's structure: a published name or a YAML file; None: from the weights
    device: str = "auto"  # "auto", "cpu", "cuda", "cuda:N", "mps"
    motion: MotionSettings = field(default_factory=MotionSettings)
    follow_faces: bool = True  # False: engines that draw from images take whole portraits and frames
    detail: bool = True  # add the portrait's fine detail to a network's prediction
    tensorrt: bool = False  # compile ONNX files with TensorRT first, on CUDA; takes minutes once
    render: str = "auto"  # where engines with a choice draw: one of RENDERERS


@dataclass(frozen=True)
class EngineFacts:
    """Facts about an open engine."""

    engine: str
    device: str  # "cpu", "cuda:0", "gpu" for a graphics chip that draws, ...
    precision: str  # dtype of the arithmetic, such as "float32"
    why: str = ""  # reason for the choice of the device


class Engine(Protocol):
    """One model on one device; opened on one thread, then used on one thread, except for `prepare`."""

    wants: DrivingInput

    @property
    def facts(self) -> EngineFacts:
        """Device and precision; both may change while the engine runs."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user about options that were not possible or were dropped."""
        ...

    def prepare(self, portrait: Portrait, size_px: int | None = None, *, use_second_core: bool = True) -> Any:
        """Precompute everything that is needed once per portrait; may run on another thread while the engine draws.

        Args:
            portrait: the portrait; not changed.
            size_px: longer side of the drawn frames; None: the portrait's own.
            use_second_core: False while another portrait is drawn, which needs the CPU.
        Returns:
            The argument of `show`.
        Raises:
            FaceError: the engine animates faces and the portrait has none.
            UsageError: `part` reaches outside the portrait.
        """

    def show(self, prepared: Any) -> None:
        """Draw this portrait from the next frame on; the reference frame is kept."""

    def set_motion(self, motion: MotionSettings) -> None:
        """Change the motion transfer from the next frame on."""

    def calibrate(self, driving: Driving) -> None:
        """Set the reference frame of relative motion."""

    def draw(self, driving: Driving) -> RgbImage:
        """Draw the portrait with the driver's motion; without calibration the first frame is the reference.

        Returns:
            (H, W, 3) uint8, a new array each time.
        Raises:
            EngineError: no portrait is shown, or the engine is closed.
        """
        ...

    def close(self) -> None:
        """Release everything; safe to call twice."""


@runtime_checkable
class ImageEngine(Engine, Protocol):
    """An engine that draws from images: it animates a part of a portrait and composites it into the whole."""

    framing: Framing  # which square around a driver's face it is to be shown

    def distance(self, image: RgbImage) -> float:
        """Return the distance of an image (h, w, 3) from the portrait's pose; the best reference has the smallest.

        Raises:
            EngineError: no portrait is shown.
        """
        ...

    def panels(self, height_px: int) -> RgbImage:
        """Draw the motion of the last frame, (height_px, height_px, 3). Raises: EngineError: nothing was drawn yet."""
        ...


@runtime_checkable
class LayeredEngine(Engine, Protocol):
    """An engine that tells the person from the background, so that another one can be put behind.

    Both are None for a portrait that was not to be separated, or that shows no face and has no alpha channel.
    """

    def background(self) -> RgbImage | None:
        """Return the portrait without the person, (H, W, 3), not to be modified: one array while the portrait is on.

        Raises:
            EngineError: no portrait is shown.
        """
        ...

    def matte(self) -> AlphaImage | None:
        """Return which part of the frame drawn last is the person, (H, W).

        Raises:
            EngineError: nothing was drawn yet.
        """
        ...


@dataclass(frozen=True, eq=False)
class Arrival:
    """A frame that was drawn elsewhere."""

    rgb: RgbImage  # (H, W, 3)
    captured_ns: int  # `Driving.captured_ns` of the motion that it shows, which was asked for before the newest
    network_ms: float | None = None  # how long motion and frame were on their way; None: it was drawn here after all
    host_ms: float | None = None  # how long the other machine took


@runtime_checkable
class DistantEngine(Engine, Protocol):
    """An engine that draws elsewhere: its frames come later than they are asked for, and some never."""

    framing: Framing  # as of an `ImageEngine`; for one that wants images

    def draw_newest(self, driving: Driving) -> Arrival | None:
        """Ask for a frame, and return the newest that has come meanwhile, of this motion or an earlier one.

        Returns:
            A frame that was not returned before; None if none is new: the last one stays.
        Raises:
            EngineError: no portrait is shown.
        """
        ...


@runtime_checkable
class MeasuringEngine(ImageEngine, Protocol):
    """An engine of images whose motion templates hold what it measures in an image; it needs no portrait for that."""

    points: int  # keypoints of its model

    @property
    def extractor_digest(self) -> bytes:
        """SHA-256 of the network that measures: who has the same can measure in its place."""
        ...

    def measure(self, driving: Driving) -> Measured:
        """Measure the driver in an image; the face adds how far eyes and lips are open."""
        ...

    def distance_to(self, measured: Measured) -> float:
        """Return what `distance` returns, of what was measured before. Raises: EngineError: no portrait is shown."""
        ...


def framing_of(engine: Engine) -> Framing:
    """Return the square around a driver's face that an engine expects; the usual one if it draws from no images."""
    return engine.framing if isinstance(engine, ImageEngine | DistantEngine) else FACE_MESH


@dataclass(frozen=True)
class EngineEntry:
    """Registry entry of an engine: facts that are known before its packages are loaded."""

    name: str
    open: Callable[[EngineConfig], Engine]  # loads them; raises EngineError, WeightsError, UsageError
    open_several: Callable[[EngineConfig], Callable[[], Engine]] | None = None  # on the same weights; None: no need
    takes_models: bool = False  # accepts --model, --config and --device
    separates_expression: bool = False  # has separate strengths for head and expression
    parts: tuple[str, ...] = ()  # those of PARTS that have strengths of their own
    knows_regions: bool = False  # has regions and retargeting
    has_panels: bool = False  # supports `--show motion`
    has_renderers: bool = False  # accepts --render
    needs_gpu: bool = False  # takes seconds for a frame on a processor
    own_templates: bool = False  # its motion templates hold parameters of its own: a `MeasuringEngine`
    takes_clips: bool = False  # a video can be its portrait, offline: each frame is a portrait of its own
    from_images: bool = False  # draws from the driver's images, so motion templates do not suffice
