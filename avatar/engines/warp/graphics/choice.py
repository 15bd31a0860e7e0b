"""The choice between processor and graphics chip: made by a first frame, and made anew when the chip is lost."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

import numpy as np

from avatar.engines.warp.graphics.chip import PACKAGE, Chip, NoChipError, find_chip
from avatar.engines.warp.graphics.renderer import GraphicsRenderer
from avatar.engines.warp.graphics.trial import survived
from avatar.engines.warp.layers import Layers
from avatar.engines.warp.portrait import WarpPortrait
from avatar.engines.warp.renderer import Place, ProcessorRenderer, Renderer
from avatar.engines.warp.scene import Scene
from avatar.frames import RgbImage
from avatar.motion.head import HeadMotion
from avatar.system.foreign_text import shown
from avatar.system.message import Message
from avatar.tracking.pose import rotation_from_angles

LEAST_PSNR_DB, LARGEST_DIFFERENCE = 45.0, 12  # between both drawings of a frame; beyond, they do not agree
RETRY_S, LONGEST_RETRY_S = 30.0, 960.0  # after the chip was lost, doubled each time
_PATIENCE_S = 5.0  # with a driver that starts, while the first frame waits
_PATIENCE_INSISTED_S = 30.0  # where the chip was asked for
_WARM_UP, _TIMED = 2, 5  # frames of the trial
_TURN_DEG = (8.0, 4.0, 3.0)  # yaw, pitch, roll in it

logger = logging.getLogger(__name__)


class ChipRenderer(Renderer, Protocol):
    """A renderer on a chip, which may be lost while it draws and takes portraits up to a size."""

    def takes(self, layers: Layers) -> bool:
        """Return whether a portrait is small enough."""
        ...


@dataclass(frozen=True, eq=False)
class OpenChip:
    """A chip that is ready to draw."""

    name: str
    renderer: ChipRenderer


def open_this_chip(*, accept_software: bool) -> OpenChip:
    """Open the chip of this machine.

    Args:
        accept_software: take a driver that computes on the processor.
    Raises:
        NoChipError: there is none, or it is not accepted.
    """
    with survived() if find_spec(PACKAGE) is not None else contextlib.nullcontext():
        chip = _found()
        renderer = None if chip.is_software and not accept_software else GraphicsRenderer(chip)
    if renderer is None:
        raise NoChipError(
            Message("There is no graphics chip, only the program {name} in place of one.", name=chip.name),
            remedy="Draw on the processor: it is quicker.",
        )
    return OpenChip(chip.name, renderer)


@functools.cache
def _found() -> Chip:
    return find_chip()


class ChosenRenderer:
    """Draws on the chip while that is possible and faster, else on the processor; see `Renderer`.

    The chip is opened on a thread of its own. When it is lost, the processor draws that same frame, and the chip is
    looked for again later.
    """

    def __init__(
        self,
        *,
        insists: bool,
        open_chip: Callable[[], OpenChip] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to open the chip.

        Args:
            insists: take the chip even if it is slower or software, and without a trial.
            open_chip: raises NoChipError; None: this machine's.
            clock: monotonic seconds.
        """
        self.place = Place("cpu")
        self.notes: tuple[str, ...] = ()  # sentences on what was given up
        self._open_chip = open_chip or functools.partial(open_this_chip, accept_software=insists)
        self._clock = clock
        self._processor = ProcessorRenderer()
        self._chip: ChipRenderer | None = None
        self._name = ""  # of the chip
        self._opening: _Opening | None = _Opening(self._open_chip)
        self._lock = threading.Lock()
        self._is_settled = False  # the choice is made, or is being made
        self._is_closed = False
        self._retry_s: float | None = None
        self._pause_s = RETRY_S

    def require_chip(self) -> None:
        """Wait for the chip and take it. Raises NoChipError: there is none; then this is closed."""
        self._is_settled = True
        opened = self._opened(_PATIENCE_INSISTED_S)
        if isinstance(opened, NoChipError):
            self.close()
            raise opened
        self._take(opened, Message("{name} was asked for", name=opened.name))

    def settle(self, portrait: WarpPortrait) -> None:
        """Choose by a frame of the first portrait; see `EngineRenderer.settle`."""
        if self._begins_to_settle():
            still = np.zeros_like(portrait.deformation.face.landmarks)
            turned = HeadMotion(rotation_from_angles(*_TURN_DEG), np.zeros(3, np.float32), 1.0)
            self._choose(portrait.layers, portrait.scene(still, turned))

    def draw(self, layers: Layers, scene: Scene) -> RgbImage:
        """Draw a portrait; see `Renderer.draw`."""
        # Where the portrait was prepared earlier, by another engine:
        if not self._is_settled and self._is_opened() and self._begins_to_settle():
            self._choose(layers, scene)
        self._look_again()
        if self._chip is not None and self._chip.takes(layers):
            try:
                return self._chip.draw(layers, scene)
            except Exception as error:  # of many kinds, from a foreign library
                logger.debug("The graphics chip failed", exc_info=True)
                self._lose(error)
        return self._processor.draw(layers, scene)

    def close(self) -> None:
        """Release the chip; safe to call twice."""
        self._is_closed = True
        opening, self._opening, self._retry_s = self._opening, None, None
        chip, self._chip = self._chip, None
        if opening is not None:
            opening.abandon()
        if chip is not None:
            _close(chip)

    def _opened(self, patience_s: float) -> OpenChip | NoChipError:
        """Wait for the chip that is being opened."""
        opening, self._opening = self._opening, None
        if opening is None:
            return NoChipError("The graphics chip was released.", remedy="Open the engine again.")
        result = opening.result(patience_s)
        if result is None:
            opening.abandon()
            what = Message("The graphics chip did not answer in {seconds:.0f} s.", seconds=patience_s)
            return NoChipError(what, remedy="Start the computer again, or draw on the processor.")
        return result

    def _is_opened(self) -> bool:
        """Return whether it is known if there is a chip."""
        opening = self._opening
        return opening is not None and opening.result(0) is not None

    def _begins_to_settle(self) -> bool:
        """Return whether the choice is still to be made, which the caller then does: of two threads, one."""
        with self._lock:
            before, self._is_settled = self._is_settled, True
        return not before

    def _choose(self, layers: Layers, scene: Scene) -> None:
        """Draw a frame on both, and take whichever is better."""
        opened = self._opened(_PATIENCE_S)
        if isinstance(opened, NoChipError):
            self.place = Place("cpu", opened.what)
            return
        if not opened.renderer.takes(layers):
            self._decline(opened, Message("the portrait is larger than {name} can hold", name=opened.name))
            return
        try:
            chip_ms, processor_ms, differs = _compared(opened.renderer, self._processor, layers, scene)
        except Exception as error:  # of many kinds, from a foreign library
            logger.debug("The graphics chip failed its trial", exc_info=True)
            self._decline(opened, Message("{name} failed: {error}", name=opened.name, error=_told(error)))
            return
        if differs:
            self._decline(opened, Message("{name} draws something else", name=opened.name))
            return
        times = {"name": opened.name, "chip_ms": chip_ms, "processor_ms": processor_ms}
        said = "a frame takes {name} {chip_ms:.1f} ms and the processor {processor_ms:.1f} ms"
        if chip_ms < processor_ms:
            self._take(opened, Message(said, **times))
        else:
            self._decline(opened, Message(said, **times))

    def _take(self, opened: OpenChip, why: str) -> None:
        if self._is_closed:  # during the trial
            _close(opened.renderer)
            return
        self._name, self._chip, self.place = opened.name, opened.renderer, Place("gpu", why)

    def _decline(self, opened: OpenChip, why: str) -> None:
        _close(opened.renderer)
        self.place = Place("cpu", why)

    def _lose(self, error: Exception) -> None:
        """Go on without the chip for a while."""
        assert self._chip is not None
        chip, self._chip = self._chip, None
        _close(chip)
        name = self._name
        self.place = Place("cpu", Message("{name} failed and is tried again later", name=name))
        if not self.notes:
            lost = "{name} failed while it drew ({error}), so the processor drew in its place."
            self.notes = (Message(lost, name=name, error=_told(error)),)
        self._retry_s = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_RETRY_S)

    def _look_again(self) -> None:
        """Open a chip that was lost once more, when its time has come; take it once it is open."""
        if self._retry_s is None or self._clock() < self._retry_s:
            return
        if self._opening is None:
            self._opening = _Opening(self._open_chip)
            return
        result = self._opening.result(0)
        if result is None:
            return
        self._opening = None
        if isinstance(result, NoChipError):
            self._retry_s = self._clock() + self._pause_s
        else:
            self._retry_s = None
            self._take(result, Message("{name} works again", name=result.name))


class _Opening:
    """A chip that is being opened, on a daemon thread: a driver may hang."""

    def __init__(self, open_chip: Callable[[], OpenChip]) -> None:
        self._open_chip = open_chip
        self._lock = threading.Lock()
        self._result: OpenChip | NoChipError | None = None
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name="masque-graphics", daemon=True)
        self._thread.start()

    def result(self, timeout_s: float) -> OpenChip | NoChipError | None:
        """Return the chip, or why there is none; None: not known yet."""
        self._thread.join(timeout_s)
        return self._result

    def abandon(self) -> None:
        """Close the chip as soon as it is open; nobody wants it any more."""
        with self._lock:
            self._abandoned, result = True, self._result
        if isinstance(result, OpenChip):
            _close(result.renderer)

    def _run(self) -> None:
        result: OpenChip | NoChipError
        try:
            result = self._open_chip()
        except NoChipError as error:
            result = error
        except Exception as error:  # outermost frame of the thread
            logger.exception("The graphics chip could not be opened")
            result = NoChipError(
                Message("The graphics chip could not be opened: {error}.", error=_told(error)),
                remedy="Draw on the processor.",
            )
        with self._lock:
            self._result = result
            abandoned = self._abandoned
        if abandoned and isinstance(result, OpenChip):
            _close(result.renderer)


def _compared(chip: Renderer, processor: Renderer, layers: Layers, scene: Scene) -> tuple[float, float, bool]:
    """Draw a frame on both, in turn.

    Returns:
        Median milliseconds of the chip and of the processor, and whether their images differ.
    """
    for _ in range(_WARM_UP):
        images = chip.draw(layers, scene), processor.draw(layers, scene)
    times_s: tuple[list[float], list[float]] = [], []
    for _ in range(_TIMED):
        for renderer, kept in zip((chip, processor), times_s, strict=True):
            began_s = time.perf_counter()
            renderer.draw(layers, scene)
            kept.append(time.perf_counter() - began_s)
    chip_ms, processor_ms = (1000 * float(np.median(kept)) for kept in times_s)
    psnr_db, largest = compare(*images)
    return chip_ms, processor_ms, psnr_db < LEAST_PSNR_DB or largest > LARGEST_DIFFERENCE


def compare(one: RgbImage, other: RgbImage) -> tuple[float, int]:
    """Return the PSNR in dB between two images of a frame, (H, W, 3) each, and their largest difference."""
    difference = one.astype(np.int16) - other
    square = float(np.mean(np.square(difference, dtype=np.float32)))
    return float(10 * np.log10(255**2 / max(square, 1e-9))), int(np.abs(difference).max())


def _told(error: Exception) -> str:
    """Return the first line of what a foreign library says."""
    first = next(iter(str(error).splitlines()), "")
    return shown(first or type(error).__name__)


def _close(renderer: Renderer) -> None:
    with contextlib.suppress(Exception):  # a lost device need not be closed properly
        renderer.close()
