"""Conversion of RGB to the input of video encoders: yuv420p, BT.709, limited range; with alpha yuva420p."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.frames import AlphaImage, RgbImage
from avatar.images.load import straight

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.codeccontext import VideoCodecContext

_SPREAD_PX = 9
_UNSEEN = 8  # alpha, of 255, below which a pixel is invisible
_BT709 = 1  # AVCOL_SPC_BT709, AVCOL_PRI_BT709, AVCOL_TRC_BT709
_LIMITED = 1  # AVCOL_RANGE_MPEG: what players expect of yuv420p
# ITU-R BT.709-6, item 3: luma, and the two colour differences; scaled to 16..235 and 16..240.
_RED, _BLUE = 0.2126, 0.0722
_GREEN = 1 - _RED - _BLUE
_LUMA = np.array([[_RED, _GREEN, _BLUE, 0]]) * 219 / 255 + [0, 0, 0, 16]
_CHROMA = np.array(
    [
        [-_RED / (1 - _BLUE), -_GREEN / (1 - _BLUE), 1, 0],
        [1, -_GREEN / (1 - _RED), -_BLUE / (1 - _RED), 0],
    ]
) * (224 / 255 / 2) + [0, 0, 0, 128]


def to_yuv420p(rgb: RgbImage) -> VideoFrame:
    """Convert an (H, W, 3) uint8 image to a yuv420p frame; an odd size is padded by repeating a row or column.

    OpenCV's matrix product takes half the time of swscale's exact conversion, with equal rounding.
    """
    from av import VideoFrame

    height, width = rgb.shape[:2]
    if height % 2 or width % 2:
        rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        height, width = rgb.shape[:2]
    planes = np.empty((height * 3 // 2, width), np.uint8)
    planes[:height] = cv2.transform(rgb, _LUMA)
    half = cv2.resize(rgb, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    blue, red = cv2.split(cv2.transform(half, _CHROMA))
    planes[height:].reshape(2, -1)[:] = blue.reshape(-1), red.reshape(-1)
    return VideoFrame.from_ndarray(planes, format="yuv420p")


def to_yuva420p(rgba: npt.NDArray[np.uint8]) -> VideoFrame:
    """Convert an (H, W, 4) uint8 image with straight alpha to a yuva420p frame; an odd size is padded likewise."""
    from av import VideoFrame

    opaque = to_yuv420p(np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)))
    height, width = rgba.shape[:2]
    alpha = np.pad(rgba[..., 3], ((0, height % 2), (0, width % 2)), mode="edge")
    planes = [*(np.asarray(plane).reshape(-1, plane.line_size)[:, : plane.width] for plane in opaque.planes), alpha]
    frame = VideoFrame(opaque.width, opaque.height, "yuva420p")
    for plane, values in zip(frame.planes, planes, strict=True):
        if plane.line_size != plane.width:
            values = np.pad(values, ((0, 0), (0, plane.line_size - plane.width)))  # noqa: PLW2901
        plane.update(np.ascontiguousarray(values))
    return frame


def straight_rgba(rgb: RgbImage, alpha: AlphaImage | None) -> npt.NDArray[np.uint8]:
    """Return (H, W, 4) with straight alpha; the colours go on a little where nothing is seen.

    A codec stores colour at half the size, and an edge would otherwise take in the black beside it.

    Args:
        rgb: (H, W, 3), premultiplied.
        alpha: (H, W); None: opaque.
    """
    if alpha is None:
        return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA))
    colours, size = straight(rgb, alpha), (_SPREAD_PX, _SPREAD_PX)
    near = straight(np.asarray(cv2.blur(rgb, size)), np.asarray(cv2.blur(alpha, size)))
    cv2.copyTo(near, cv2.compare(alpha, _UNSEEN, cv2.CMP_LT), colours)
    return np.asarray(cv2.merge([*cv2.split(colours), alpha]))


def name_colours(context: VideoCodecContext) -> None:
    """Set the stream's colour metadata to that of `to_yuv420p`, so that players do not have to guess."""
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED
