"""What every kind of result has in common."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from avatar.frames import RgbImage

MADE_BY = "Animated portrait, made with Masque"  # the comment in every video file


class FrameWriter(Protocol):
    """Takes frames one by one; nothing appears under the result's name before `commit`.

    Use it in a `with` block: leaving the block without `commit` is `abort`.
    """

    notes: list[str]  # sentences the user should read about the result

    def write(self, rgb: RgbImage, time_s: float) -> None:
        """Add a frame that is shown from `time_s` on, later than the one before. Raises OutputError."""
        ...

    def commit(self, end_s: float | None = None) -> None:
        """Finish and give the result its name; the last frame is shown until `end_s`. Raises OutputError."""
        ...

    def abort(self) -> None:
        """Remove what was written, leaving an older result as it was; does nothing after `commit`."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class AbortsUnlessCommitted:
    """The `with` behaviour of a FrameWriter, to be inherited."""

    def abort(self) -> None:
        """Remove what was written."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()
