"""The person of a portrait apart from its background, for engines whose networks draw both as one image.

In each frame the motion that carries the portrait's features carries its matte, too, which stays as steady and fine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engines.base import Portrait
from avatar.engines.warp.layers import in_one_piece
from avatar.engines.warp.matting.background import fill_background
from avatar.engines.warp.matting.matte import person_matte
from avatar.frames import AlphaImage, RgbImage
from avatar.images.load import BACKDROP


@dataclass(frozen=True, eq=False)
class Cutout:
    """The layers of a portrait at rest."""

    background: RgbImage  # (H, W, 3), without the person
    matte: AlphaImage  # (H, W), 255 = person


def cut_out(portrait: Portrait, rgb: RgbImage) -> Cutout | None:
    """Separate the person from the background.

    Args:
        portrait: with its face; without one, its alpha channel decides.
        rgb: (H, W, 3), the same image at the size at which it is drawn.
    Returns:
        None if the portrait has neither.
    """
    height, width = rgb.shape[:2]
    alpha = portrait.alpha
    if alpha is not None:
        alpha = np.asarray(cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA))
    if portrait.face is not None:
        across, down = width / portrait.rgb.shape[1], height / portrait.rgb.shape[0]
        half = np.array([0.5, 0.5, 0], np.float32)  # pixel centres are whole numbers
        landmarks = (portrait.face.landmarks + half) * np.array([across, down, across], np.float32) - half
        matte = person_matte(rgb, landmarks, alpha, portrait.checkpoint)
        portrait.checkpoint()
        tight = in_one_piece(np.round(matte * 255).astype(np.uint8), landmarks)
        return Cutout(fill_background(rgb, matte, landmarks), tight)
    if alpha is not None and int(alpha.min()) < 128 <= int(alpha.max()):
        return Cutout(np.full_like(rgb, BACKDROP), alpha)
    return None
