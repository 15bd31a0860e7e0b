"""Placement of an image on a canvas, by the fit and by the user's position and zoom."""

from __future__ import annotations

from avatar.images.box import Box
from avatar.settings import ZOOMS, CanvasSettings, Place

_FACE_DOWN = 0.46  # height of the face's centre on a filled canvas, in heights of the canvas
_STAYS = 0.15  # minimum fraction of the canvas, or of a smaller image, that stays visible

Point = tuple[float, float]


def placed(size: tuple[int, int], canvas: CanvasSettings, place: Place, face: Point | None = None) -> Box:
    """Return the box of an image in canvas coordinates, which may reach beyond the canvas.

    Args:
        size: (width, height) of the image.
        canvas: provides size and fit.
        place: position and zoom of this avatar.
        face: centre of the face in [0, 1] of the image, on which "fill" is centred; None: the image's centre.
    """
    scales = canvas.width_px / size[0], canvas.height_px / size[1]
    scale = (max if canvas.fit == "fill" else min)(scales) * place.zoom
    width, height = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    left, top = (canvas.width_px - width) / 2, (canvas.height_px - height) / 2
    if canvas.fit == "fill" and face is not None:
        left = _covering(canvas.width_px / 2 - face[0] * width, width, canvas.width_px)
        top = _covering(_FACE_DOWN * canvas.height_px - face[1] * height, height, canvas.height_px)
    return Box(
        round(left + place.right * canvas.width_px), round(top + place.down * canvas.height_px), width, height
    )  # fmt: skip


def moved(
    place: Place, right: float, down: float, size: tuple[int, int], canvas: CanvasSettings, face: Point | None = None
) -> Place:
    """Move an image by fractions of the canvas; a part of it stays visible. Arguments as in `placed`."""
    box = placed(size, canvas, place, face)
    across = _kept(box.left + right * canvas.width_px, box.width, canvas.width_px) - box.left
    along = _kept(box.top + down * canvas.height_px, box.height, canvas.height_px) - box.top
    return _place(place.zoom, place.right + across / canvas.width_px, place.down + along / canvas.height_px)


def zoomed(
    place: Place, times: float, at: Point, size: tuple[int, int], canvas: CanvasSettings, face: Point | None = None
) -> Place:
    """Zoom an image about a fixed point of the canvas.

    Args:
        place: the current place.
        times: > 1 enlarges.
        at: the point, in [0, 1] of the canvas.
        size, canvas, face: as in `placed`.
    """
    before = placed(size, canvas, place, face)
    larger = _place(min(max(place.zoom * times, ZOOMS[0]), ZOOMS[1]), place.right, place.down)
    after = placed(size, canvas, larger, face)
    x, y = at[0] * canvas.width_px, at[1] * canvas.height_px
    left = x - (x - before.left) * after.width / before.width
    top = y - (y - before.top) * after.height / before.height
    right, down = (left - after.left) / canvas.width_px, (top - after.top) / canvas.height_px
    return moved(larger, right, down, size, canvas, face)


def sharpness(zoom: float) -> float:
    """Return the factor by which a zoomed portrait is drawn larger, in steps, so that it is rarely prepared again."""
    return next((step for step in (1.0, 1.5) if zoom <= step * 1.2), 2.0)


def _place(zoom: float, right: float, down: float) -> Place:
    right, down = (min(max(each, -4.0), 4.0) for each in (right, down))
    return Place(round(zoom, 4), round(right, 4), round(down, 4))


def _covering(start: float, length: float, room: float) -> float:
    """Shift an interval that is at least as long as the room so that it covers the whole room."""
    return min(0.0, max(start, room - length)) if length >= room else (room - length) / 2


def _kept(start: float, length: float, room: float) -> float:
    """Shift an interval so that a minimum part stays in the room."""
    stays = _STAYS * min(length, room)
    return min(max(start, stays - length), room - stays)
