"""The colours of a clip's frames as sRGB: odd matrices, wide gamut, HDR."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from avatar.colour_space import (
    HLG,
    PQ,
    SRGB,
    UNSPECIFIED,
    USUAL_PEAK_NITS,
    ColourSpace,
    Levels,
    from_cicp,
    to_srgb,
)
from avatar.frames import RgbImage
from avatar.images import flatten

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter

WIDE_PRIMARIES = (9, 11, 12)  # BT.2020, DCI P3, Display P3; those of older video hardly differ from sRGB
# ITU-T H.273, table 4: RGB, BT.709, unspecified, FCC, BT.601 (twice), SMPTE 240, BT.2020: what swscale converts.
MATRICES = (0, 1, UNSPECIFIED, 4, 5, 6, 7, 9)
BT2020, BT2020_CONSTANT = 9, 10
UNUSUAL_MATRICES = {8: "YCgCo", 14: "ICtCp", 16: "YCgCo-Re", 17: "YCgCo-Ro", 15: "IPT-C2"}
HD_HEIGHT_PX = 720  # players take untagged video of this height for BT.709, smaller for BT.601


def srgb_of(frame: VideoFrame, reformatter: VideoReformatter, width_px: int, height_px: int) -> RgbImage:
    """Return (height_px, width_px, 3) uint8 as an sRGB screen shows a frame, transparent parts on the neutral grey."""
    frame.colorspace = _usual_matrix(frame)
    space = _space_of(frame)
    has_alpha = any(component.is_alpha for component in frame.format.components)
    name = "rgb48le" if space.is_hdr else "rgba" if has_alpha else "rgb24"
    pixels = reformatter.reformat(frame, width_px, height_px, format=name, threads=1).to_ndarray()
    levels: Levels = np.asarray(pixels, np.uint16) if space.is_hdr else np.asarray(pixels, np.uint8)
    rgb = to_srgb(levels[..., :3], space, USUAL_PEAK_NITS)
    return flatten(rgb, levels[..., 3].astype(np.uint8)) if levels.shape[2] == 4 else rgb


def _usual_matrix(frame: VideoFrame) -> int:
    """The matrix by which a frame is converted: its own, or the likeliest where it names none or an unusual one."""
    matrix = int(frame.colorspace)
    if frame.format.is_rgb or (matrix in MATRICES and matrix != UNSPECIFIED):
        return matrix
    if matrix == BT2020_CONSTANT:
        return BT2020
    return 1 if min(frame.width, frame.height) >= HD_HEIGHT_PX else 5  # BT.709, BT.601


def _space_of(frame: VideoFrame) -> ColourSpace:
    primaries, transfer = int(frame.color_primaries), int(frame.color_trc)
    if transfer not in (PQ, HLG):
        return from_cicp(primaries if primaries in WIDE_PRIMARIES else 1, SRGB)  # screens show SDR video as it is
    return from_cicp(BT2020 if primaries == UNSPECIFIED else primaries, transfer)


def colour_notes(frame: VideoFrame) -> tuple[str, ...]:
    """Return what to say about a clip's colours."""
    notes = []
    if not frame.format.is_rgb and int(frame.colorspace) not in (*MATRICES, BT2020_CONSTANT):
        name = UNUSUAL_MATRICES.get(int(frame.colorspace), f"number {int(frame.colorspace)}")
        notes.append(f"The clip's colours are stored in an unusual way ({name}); they are shown by the usual one.")
    if int(frame.colorspace) == BT2020_CONSTANT:
        notes.append("The clip's colours are BT.2020 with constant luminance; they are shown as without.")
    if _space_of(frame).is_hdr:
        kind = "PQ" if int(frame.color_trc) == PQ else "HLG"
        notes.append(f"The clip is HDR ({kind}); its colours are mapped to SDR, with white at 203 cd/m2 (BT.2390).")
    return tuple(notes)
