"""Conversion of a clip's frames to sRGB: unusual matrices, wide gamut, HDR."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from avatar.frames import RgbImage
from avatar.images.colour_space import (
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
from avatar.images.load import flatten
from avatar.system.message import Message

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter

WIDE_PRIMARIES = (9, 11, 12)  # BT.2020, DCI P3, Display P3; older ones hardly differ from sRGB
# Matrices that swscale converts; ITU-T H.273, table 4: RGB, BT.709, unspecified, FCC, BT.601 (twice), SMPTE 240,
# BT.2020.
MATRICES = (0, 1, UNSPECIFIED, 4, 5, 6, 7, 9)
BT2020, BT2020_CONSTANT = 9, 10
UNUSUAL_MATRICES = {8: "YCgCo", 14: "ICtCp", 16: "YCgCo-Re", 17: "YCgCo-Ro", 15: "IPT-C2"}
HD_HEIGHT_PX = 720  # players treat untagged video from this height on as BT.709, smaller as BT.601


def srgb_of(frame: VideoFrame, reformatter: VideoReformatter, width_px: int, height_px: int) -> RgbImage:
    """Convert a frame to (height_px, width_px, 3) uint8 sRGB, with transparent parts on the neutral grey."""
    frame.colorspace = _usual_matrix(frame)
    space = _space_of(frame)
    has_alpha = any(component.is_alpha for component in frame.format.components)
    name = "rgb48le" if space.is_hdr else "rgba" if has_alpha else "rgb24"
    pixels = reformatter.reformat(frame, width_px, height_px, format=name, threads=1).to_ndarray()
    levels: Levels = np.asarray(pixels, np.uint16) if space.is_hdr else np.asarray(pixels, np.uint8)
    rgb = to_srgb(levels[..., :3], space, USUAL_PEAK_NITS)
    return flatten(rgb, levels[..., 3].astype(np.uint8)) if levels.shape[2] == 4 else rgb


def _usual_matrix(frame: VideoFrame) -> int:
    """Return the conversion matrix: the frame's own, or the most likely one if it names none or an unusual one."""
    matrix = int(frame.colorspace)
    if frame.format.is_rgb or (matrix in MATRICES and matrix != UNSPECIFIED):
        return matrix
    if matrix == BT2020_CONSTANT:
        return BT2020
    return 1 if min(frame.width, frame.height) >= HD_HEIGHT_PX else 5  # BT.709, BT.601


def _space_of(frame: VideoFrame) -> ColourSpace:
    primaries, transfer = int(frame.color_primaries), int(frame.color_trc)
    if transfer not in (PQ, HLG):
        return from_cicp(primaries if primaries in WIDE_PRIMARIES else 1, SRGB)  # screens show SDR video unchanged
    return from_cicp(BT2020 if primaries == UNSPECIFIED else primaries, transfer)


def colour_notes(frame: VideoFrame) -> tuple[str, ...]:
    """Return notes for the user about a clip's colours."""
    notes: list[str] = []
    if not frame.format.is_rgb and int(frame.colorspace) not in (*MATRICES, BT2020_CONSTANT):
        number = int(frame.colorspace)
        name = UNUSUAL_MATRICES.get(number) or Message("number {number}", number=number)
        notes.append(
            Message(
                "The clip's colours are stored in an unusual way ({name}); they are shown by the usual one.", name=name
            )
        )
    if int(frame.colorspace) == BT2020_CONSTANT:
        notes.append("The clip's colours are BT.2020 with constant luminance; they are shown as without.")
    if _space_of(frame).is_hdr:
        kind = "PQ" if int(frame.color_trc) == PQ else "HLG"
        notes.append(
            Message(
                "The clip is HDR ({kind}); its colours are mapped to SDR, with white at 203 cd/m2 (BT.2390).", kind=kind
            )
        )
    return tuple(notes)
