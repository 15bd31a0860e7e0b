"""Animated GIFs with one palette fitted to the whole clip."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatar.frames import RgbImage
from avatar.outputs.files.target import write_errors_explained
from avatar.outputs.files.writer import AbortsUnlessCommitted
from avatar.system.atomic import part_path, replacing

if TYPE_CHECKING:
    from av import VideoFrame
    from av.filter import Graph

_TICK = Fraction(1, 100)  # GIF counts hundredths of a second
_SHORTEST_TICKS = 2  # shorter delays are shown as a tenth of a second by browsers
_TYPICAL_TICKS = 4


class GifWriter(AbortsUnlessCommitted):
    """Writer that keeps the frames in a lossless hidden file while their colours are counted, and writes the GIF last.

    Palettes per frame would shimmer, and one palette for the clip needs all frames, which the file keeps out of memory.
    """

    def __init__(self, target: Path, width_px: int, height_px: int) -> None:
        """Open the hidden file. Raises OutputError."""
        import av

        self._target = target.resolve()
        self._size = (width_px, height_px)
        self._ticks: list[int] = []
        self._spool_path = part_path(self._target)
        self._palette = _palette_graph(width_px, height_px)
        self.notes: list[str] = []
        with write_errors_explained(target):
            self._spool: Any = av.open(str(self._spool_path), "w", format="matroska")
            self._stream: Any = self._spool.add_stream("ffv1", rate=25)
            self._stream.width, self._stream.height, self._stream.pix_fmt = width_px, height_px, "bgr0"
            self._spool.start_encoding()  # opens the file now, so that errors come before drawing

    def write(self, rgb: RgbImage, time_s: float) -> None:
        """Keep an (H, W, 3) uint8 frame; one that follows too closely for a GIF is dropped."""
        from av import VideoFrame

        tick = round(time_s / _TICK)
        if self._ticks and tick - self._ticks[-1] < _SHORTEST_TICKS:
            return
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format="bgr0", threads=1)
        frame.pts = len(self._ticks)
        frame.time_base = Fraction(1, 25)
        self._palette.push(frame)
        with write_errors_explained(self._target):
            self._spool.mux(self._stream.encode(frame))
        self._ticks.append(tick)

    def commit(self, end_s: float | None = None) -> None:
        """Fit the palette, write every frame with it, and rename the file."""
        self._palette.push(None)
        palette = self._palette.pull()
        last = _TYPICAL_TICKS if end_s is None else round(end_s / _TICK) - self._ticks[-1]
        with write_errors_explained(self._target):
            self._spool.mux(self._stream.encode(None))
            self._spool.close()
            with replacing(self._target) as part:
                self._draw(part, palette, max(_SHORTEST_TICKS, last))
        self.abort()

    def abort(self) -> None:
        """Remove the hidden file."""
        with contextlib.suppress(Exception):
            self._spool.close()
        self._spool_path.unlink(missing_ok=True)

    def _draw(self, part: Path, palette: VideoFrame, last_ticks: int) -> None:
        import av

        graph = _drawing_graph(*self._size)
        graph.push(palette, at=1)
        graph.push(None, at=1)
        options = {"loop": "0", "final_delay": str(last_ticks)}
        with av.open(str(part), "w", format="gif", container_options=options) as output:
            stream: Any = output.add_stream("gif", rate=100)
            stream.width, stream.height, stream.pix_fmt = *self._size, "pal8"
            stream.codec_context.time_base = stream.time_base = _TICK
            for number, frame in enumerate(self._drawn(graph)):
                frame.pts, frame.time_base = self._ticks[number], _TICK
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))

    def _drawn(self, graph: Graph) -> Iterator[VideoFrame]:
        """Yield the kept frames in the colours of the palette."""
        import av

        with av.open(str(self._spool_path), format="matroska") as spool:
            for number, frame in enumerate(spool.decode(video=0)):
                frame.pts, frame.time_base = number, Fraction(1, 25)
                graph.push(frame, at=0)
                yield from _pulled(graph)
        graph.push(None, at=0)
        yield from _pulled(graph)


def _palette_graph(width_px: int, height_px: int) -> Graph:
    """Build the filter graph that computes one palette from all frames."""
    from av.filter import Graph

    graph = Graph()
    source = _source(graph, width_px, height_px)
    fit = graph.add("palettegen", "stats_mode=full")
    graph.link_nodes(source, fit, graph.add("buffersink")).configure()
    return graph


def _drawing_graph(width_px: int, height_px: int) -> Graph:
    """Build the filter graph that applies a palette (input 1) to frames (input 0)."""
    from av.filter import Graph

    graph = Graph()
    frames, palette = _source(graph, width_px, height_px), _source(graph, 16, 16)
    # Ordered dithering is stable over time; error diffusion would make a still background crawl.
    use = graph.add("paletteuse", "dither=bayer:bayer_scale=3:diff_mode=rectangle")
    frames.link_to(use, 0, 0)
    palette.link_to(use, 0, 1)
    use.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _source(graph: Graph, width_px: int, height_px: int) -> Any:
    from av import VideoFormat

    return graph.add_buffer(
        width=width_px, height=height_px, format=VideoFormat("bgr0", width_px, height_px), time_base=Fraction(1, 25)
    )


def _pulled(graph: Graph) -> Iterator[VideoFrame]:
    from av.error import BlockingIOError, EOFError

    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):
            return
