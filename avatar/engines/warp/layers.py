"""Layers of a portrait: the person with a soft matte, and the filled background; with them, eyes and mouth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engines.base import Checkpoint, go_on
from avatar.engines.warp.beyond import Beyond, Edges
from avatar.engines.warp.fields import distance_to
from avatar.engines.warp.headroom import Head
from avatar.engines.warp.look_up import Box, LookUp
from avatar.engines.warp.matting.background import Foreground, fill_background, widen_matte
from avatar.engines.warp.moving_parts import MovingParts
from avatar.engines.warp.openings import Openings
from avatar.frames import AlphaImage, FloatArray, RgbImage
from avatar.tracking.face import Face
from avatar.tracking.regions import FACE_OVAL

FINER = 2  # oversampling of the person's texture, so that bilinear sampling keeps it sharp
_HALF_WAY = np.array([-3, 19, 19, -3], np.float32) / 32  # the weights of bicubic interpolation there
_ITSELF = np.array([0, 1, 0, 0], np.float32)
_LOST, _SAME = np.array([-3, 3, 3, -3], np.float32) / 32, np.ones(1, np.float32)  # bicubic less linear interpolation
_VISIBLE_LOSS = 1.5  # levels
_LOST_SHARE = 0.01  # of the person's pixels, up to which an image counts as soft
_PROBE_ROWS = 16
_SOLID = 64  # of 255: above it a pixel connects parts of the person
_SURE = 160  # of 255: what is connected by less and is larger than an aerial or a curl is background
_CLOUD = 0.1  # squared head sizes
_STRAND = 0.12  # head sizes: how far thinner hair reaches from what is solid
_STRIP_ROWS = 128  # a large image is processed in strips to bound the memory
_MARGIN_PX = 4  # of background around the person: interpolation reaches 2 pixels far
SHARP_UP_TO_PX = 2048  # longer side of an image up to which a finer texture is always kept
FINER_UP_TO_PX = 8000  # OpenCV cannot sample textures with a side above 32,767 pixels


class Layers:
    """The layers of one portrait, computed once."""

    def __init__(
        self, rgb: RgbImage, face: Face, matte: FloatArray, openings: Openings, checkpoint: Checkpoint = go_on
    ) -> None:
        """Split a portrait into layers.

        Args:
            rgb: (H, W, 3) uint8.
            face: its face.
            matte: (H, W) in [0, 1], 1 on the person; overwritten, since it is large.
            openings: the eyes and the mouth of this portrait.
            checkpoint: called between the steps; what it raises ends them.
        """
        self.background = fill_background(rgb, matte, face.landmarks)  # (H, W, 3) uint8
        checkpoint()
        beyond, width_px = Beyond.of(Edges.of(matte), face.landmarks[FACE_OVAL, :2]), rgb.shape[1]
        beyond = beyond.crowned(rgb, matte, face.landmarks[FACE_OVAL, :2])
        # Widened, the matte holds noise of the background too; and a shadow apart from the person is no part of her.
        tight = _as_bytes(matte)
        checkpoint()
        widen_matte(rgb, matte, self.background)
        checkpoint()
        alpha = _as_bytes(matte)
        self.image = Box(0, 0, rgb.shape[1], rgb.shape[0])
        self.moving_parts = MovingParts(*beyond.continued(alpha, self.image, width_px))
        self._rest_box = _around_person(alpha)  # outside of it there is background alone
        alpha = self._cut(alpha).copy()
        corner = np.array([self._rest_box.left, self._rest_box.top, 0], np.float32)
        tight = in_one_piece(self._cut(tight).copy(), face.landmarks - corner)
        self._tight = beyond.continued(tight, self._rest_box, width_px)[0]
        del tight
        self._tight_texture: AlphaImage | None = None  # the same as finely as the person; made when first asked for
        checkpoint()
        foreground = Foreground(rgb, matte, self.background)
        premultiplied, self._at_rest = _over(foreground, alpha, self._cut(self.background), self._rest_box)
        del matte, foreground, alpha  # this matters for large images
        premultiplied, self.person_box = beyond.continued(premultiplied, self._rest_box, width_px)
        checkpoint()
        self.texture_scale = how_fine(premultiplied, max(rgb.shape))
        self.person = _finer(premultiplied, self.texture_scale)  # (h, w, 4) uint8 of `person_box`, premultiplied
        self.openings = openings

    def at_rest(self) -> RgbImage:
        """Return what `compose` makes of no motion, (H, W, 3), a new array."""
        canvas, box = np.empty_like(self.background), self._rest_box
        canvas[: box.top], canvas[box.bottom :] = self.background[: box.top], self.background[box.bottom :]
        beside, behind = canvas[box.top : box.bottom], self.background[box.top : box.bottom]
        beside[:, : box.left], beside[:, box.right :] = behind[:, : box.left], behind[:, box.right :]
        beside[:, box.left : box.right] = self._at_rest
        return canvas

    def compose(self, look_up: LookUp, part: Box | None = None) -> RgbImage:
        """Warp the person and composite it over the background.

        Args:
            look_up: the backward map of the frame.
            part: the pixels of the frame that are wanted; None: all.
        Returns:
            (H, W, 3) uint8, the frame or that part.
        """
        at = look_up.pixels(self.texture_scale, part, origin=self.person_box)
        moved = cv2.remap(self.person, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        hidden = cv2.bitwise_not(cv2.extractChannel(moved, 3))
        background = self.background if part is None else part.view(self.background, look_up.whole.box)
        behind = cv2.multiply(background, cv2.merge([hidden] * 3), scale=1 / 255)
        return np.asarray(cv2.add(behind, cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB)))

    def matte(self, look_up: LookUp) -> AlphaImage:
        """Return the matte of a warped person, (H, W), 255 = person. Argument as in `compose`."""
        if self._tight_texture is None:
            self._tight_texture = _finer(self._tight, self.texture_scale)
        at = look_up.pixels(self.texture_scale, origin=self.person_box)
        moved = cv2.remap(self._tight_texture, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved)

    def _cut(self, layer: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return a view of the person's box in a layer (H, W, ...)."""
        return self._rest_box.view(layer, self.image)


def _as_bytes(matte: FloatArray) -> AlphaImage:
    """Convert an (H, W) matte in [0, 1] to 0 to 255."""
    alpha = np.empty(matte.shape, np.uint8)
    for top in range(0, len(matte), _STRIP_ROWS):
        strip = slice(top, top + _STRIP_ROWS)
        alpha[strip] = np.round(matte[strip] * 255)
    return alpha


def _around_person(alpha: AlphaImage) -> Box:
    """Return the box of an (H, W) matte in which it is not 0, with a margin that is, except at the image's edges."""
    height, width = alpha.shape
    left, top, across, down = cv2.boundingRect(alpha)
    whole = Box(0, 0, width, height)
    return Box(left - _MARGIN_PX, top - _MARGIN_PX, left + across + _MARGIN_PX, top + down + _MARGIN_PX).within(whole)


def _over(
    person: Foreground, alpha: AlphaImage, background: RgbImage, box: Box
) -> tuple[npt.NDArray[np.uint8], RgbImage]:
    """Premultiply the person's colours by her matte (h, w), and lay her over the background (h, w, 3), all in a box.

    Returns:
        (h, w, 4), because premultiplied alpha avoids fringes in interpolation, and (h, w, 3).
    """
    premultiplied, at_rest = np.empty((*alpha.shape, 4), np.uint8), np.empty((*alpha.shape, 3), np.uint8)
    rows, columns = box.slices
    for top in range(0, len(alpha), _STRIP_ROWS):
        strip = slice(top, min(top + _STRIP_ROWS, len(alpha)))
        share = alpha[strip]
        colours = person.colours(slice(rows.start + strip.start, rows.start + strip.stop), columns)
        colours = cv2.multiply(colours, cv2.merge([share] * 3), scale=1 / 255)
        premultiplied[strip] = cv2.merge([*cv2.split(colours), share])
        behind = cv2.multiply(background[strip], cv2.merge([255 - share] * 3), scale=1 / 255)
        at_rest[strip] = cv2.add(behind, colours)
    return premultiplied, at_rest


def how_fine(person: npt.NDArray[np.uint8], longest_px: int) -> int:
    """Return how finely to keep the person (h, w, 4) of an image with a longer side of so many pixels.

    A large image is often soft, from its camera or because it was enlarged; then a finer texture would add nothing but
    four times the memory. What bilinear sampling loses, compared with bicubic, is largest half-way between two pixels.
    """
    if longest_px <= SHARP_UP_TO_PX:
        return FINER
    if longest_px > FINER_UP_TO_PX:
        return 1
    lost = many = 0
    for top in range(0, len(person), 4 * _PROBE_ROWS):
        strip = person[top : top + _PROBE_ROWS].astype(np.float32)
        across, down = (cv2.sepFilter2D(strip, -1, *each) for each in ((_LOST, _SAME), (_SAME, _LOST)))
        loss = np.maximum(np.abs(across), np.abs(down)).max(axis=2)[2:-2]
        shown = person[top : top + _PROBE_ROWS, :, 3][2:-2] > 0
        lost, many = lost + int((loss[shown] > _VISIBLE_LOSS).sum()), many + int(shown.sum())
    return 1 if lost <= _LOST_SHARE * many else FINER


def in_one_piece(matte: AlphaImage, landmarks: FloatArray) -> AlphaImage:
    """Leave out of a matte what is not connected with the face.

    Args:
        matte: (H, W), 255 = person.
        landmarks: (478, 3) pixels.
    Returns:
        (H, W); strands beside the person stay.
    """
    head = Head.of(landmarks)
    whole = _connected(matte, head, _SOLID)
    doubtful = ((whole > 0) & (_connected(matte, head, _SURE) == 0)).astype(np.uint8)
    _, label, facts, _ = cv2.connectedComponentsWithStats(doubtful)
    large = facts[:, cv2.CC_STAT_AREA] > _CLOUD * head.size**2
    large[0] = False
    return np.asarray(np.where(large[label], 0, whole), np.uint8)


def _connected(matte: AlphaImage, head: Head, solid: int) -> AlphaImage:
    """Leave out of a matte (H, W) what is not connected with the face by pixels above `solid`, or is no strand."""
    _, label = cv2.connectedComponents((matte > solid).astype(np.uint8))
    ours = np.zeros(int(label.max()) + 1, np.bool_)
    ours[label[head.face(matte.shape)]] = True
    ours[0] = False
    if not ours.any():
        return matte
    reach = max(1, round(_STRAND * head.size))
    return np.asarray(matte * (distance_to(ours[label]) <= reach), np.uint8)


def _finer(image: npt.NDArray[np.uint8], scale: int) -> npt.NDArray[np.uint8]:
    """Upsample an (H, W, 4) or (H, W) image bicubically by `scale`, 1 or 2, preserving its own pixels."""
    if scale == 1:
        return image
    height, width = image.shape[:2]
    finer = np.empty((2 * height - 1, 2 * width - 1, *image.shape[2:]), np.uint8)
    pixels = finer.view(np.uint32)[..., 0] if finer.ndim == 3 else finer
    for top in range(0, height, _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, height)
        around = image[max(top - 1, 0) : bottom + 2]  # rows that interpolation needs
        rows, target = slice(top - max(top - 1, 0), bottom - max(top - 1, 0)), pixels[2 * top : 2 * bottom]
        for down, across in ((False, False), (False, True), (True, False), (True, True)):
            kernels = _HALF_WAY if across else _ITSELF, _HALF_WAY if down else _ITSELF
            between = around
            if down or across:  # half a level rounds up
                between = cv2.sepFilter2D(
                    around, -1, *kernels, anchor=(1, 1), delta=1e-4, borderType=cv2.BORDER_REPLICATE
                )
            between = np.ascontiguousarray(between[rows])
            values = between.view(np.uint32)[..., 0] if finer.ndim == 3 else between
            place = target[int(down) :: 2, int(across) :: 2]
            place[:] = values[: place.shape[0], : place.shape[1]]
    return finer
