"""From RGB pixels to what video encoders take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from avatar.frames import RgbImage

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.codeccontext import VideoCodecContext

_BT709 = 1  # AVCOL_SPC_BT709, AVCOL_PRI_BT709, AVCOL_TRC_BT709
_LIMITED = 1  # AVCOL_RANGE_MPEG: what players expect of yuv420p


class YuvConverter:
    """RGB to BT.709 in limited range with half the colour resolution; keeps swscale's tables from frame to frame."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()

    def convert(self, rgb: RgbImage) -> VideoFrame:
        """A yuv420p frame of an (H, W, 3) picture; an odd size is padded by one repeated row or column."""
        from av import VideoFrame
        from av.video.reformatter import ColorRange, Colorspace, Interpolation

        height, width = rgb.shape[:2]
        if height % 2 or width % 2:
            rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        return self._reformatter.reformat(
            frame,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            # Without the two flags every frame comes out one level darker and a little green.
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP,
            threads=1,
        )


def name_colours(context: VideoCodecContext) -> None:
    """Write into the stream what `YuvConverter` made, so that players do not have to guess."""
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED
