"""The common interface of all kinds of results."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from avatar.frames import RgbImage

MADE_BY = "Animated portrait, made with Masque"  # the comment in every video file


class FrameWriter(Protocol):
    """Writer of frames; nothing appears under the result's name before `commit`.

    Use it in a `with` block: leaving the block without `commit` is `abort`.
    """

    notes: list[str]  # notes about the result, for the user

    def write(self, rgb: RgbImage, time_s: float) -> None:
        """Add a frame that is shown from `time_s` on, later than the last one. Raises OutputError.

        Args:
            rgb: (H, W, 3) uint8, or (H, W, 4) with straight alpha in a result that was opened for transparency.
            time_s: of the clip.
        """
        ...

    def commit(self, end_s: float | None = None) -> None:
        """Finish the result and rename it; the last frame is shown until `end_s`. Raises OutputError."""
        ...

    def abort(self) -> None:
        """Remove the unfinished result, keeping an older one; does nothing after `commit`."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class AbortsUnlessCommitted:
    """The `with` behaviour of a FrameWriter, to be inherited."""

    def abort(self) -> None:
        """Remove the unfinished result."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()
