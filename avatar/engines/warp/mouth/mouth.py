"""The interior of the mouth: teeth, tongue and darkness, or the portrait's own teeth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.mouth.arch import (
    EYE_SPAN_MM,
    LOWER,
    MOUTH_SPAN_MM,
    UPPER,
    ArchView,
    arch_points,
)
from avatar.engines.warp.mouth.frame import (
    LOWER_INNER,
    SHOWN_SHADOW,
    UPPER_INNER,
    MouthFrame,
    Opening,
    Raster,
    Skull,
    head_axes,
    lip_shadow,
    reach,
    smooth,
)
from avatar.engines.warp.mouth.jaw import Jaw, RestingMouth
from avatar.engines.warp.mouth.light import LUMA, cartoon_light, flatness, line_between_lips, read_light
from avatar.engines.warp.mouth.own import find_own_teeth, lay_in
from avatar.engines.warp.mouth.seam import close_lips
from avatar.engines.warp.mouth.surface import read_surface
from avatar.engines.warp.mouth.texture import (
    EDGE_MARGIN_MM,
    TONGUE_SIZE,
    TOOTH_DEPTH_MM,
    RgbaImage,
    RowTexture,
    paint_row,
    paint_tongue,
    row_texture,
)
from avatar.frames import FloatArray, RgbImage
from avatar.tracking.regions import EYES, EyeRegion

MOST_BARED_MM = 11.0  # maximum height of upper teeth and gums shown above the incisors' edge, in the widest smile
TEETH_SHOWN_MM, CARTOON_SHOWN_MM = 4.0, 2.1  # height of upper teeth below the lip of a mouth at rest
OWN_UNBARED_MM = 2.1  # the same where the portrait shows its teeth: height from which a smile bares them
UPPER_DEPTH_MM, LOWER_DEPTH_MM, TONGUE_DEPTH_MM, BACK_DEPTH_MM = 5.0, 5.5, 16.0, 33.0  # depths behind the lips
BARED_MM, LAID_BARE = 2.4, 0.85  # height bared beyond that over which the teeth's depth falls, by what fraction
# Teeth that a wide smile bares catch more light than eye whites under their lids do: over which height of the opening,
# and how much, up to what luma and multiple of the skin's, and of what is bright in the picture. The lower row stands
# behind the upper one.
WIDE_SMILE_MM, FULL_LIGHT, FULL_LUMA, FULL_OVER_SKIN = (6.0, 16.0), 1.3, 222.0, 2.6
NEVER_WHITE, LOWER_LIGHT = 0.94, 0.8
FORGIVEN = 0.022  # gap between landmarks, in mouth widths, that counts as a closed mouth
SHADOW_MM = 1.0  # distance below the upper teeth's edge at which their shadow has faded to 1/e
LARGEST_EYE, ROUND_EYE = 0.46, 0.56  # height of the opening over the eye's width: a person's maximum, and a cartoon's
OWN_FADE_MM = 0.4  # change of the gap over which the portrait's own open mouth fades to the drawn one
LEAST_LIGHT, MOST_LIGHT = 0.55, 1.1  # limits of the light on the portrait's own teeth, relative to that in the portrait
CARTOON_WIDER = 0.35  # widening of a cartoon's rows, which reach into the corners of the mouth
STRAIGHT = np.eye(3, dtype=np.float32)


class MouthInterior:
    """Renderer of the interior of one portrait's mouth.

    Upper teeth are fixed to the skull, lower teeth and tongue follow the jaw; the lips of each frame only mask them.
    Everything that depends on the portrait alone is painted once, on creation.
    """

    def __init__(self, rgb: RgbImage, landmarks: FloatArray) -> None:
        self._mouth_px = float(np.linalg.norm(landmarks[291] - landmarks[61]))
        eyes_px = float(np.linalg.norm(landmarks[263] - landmarks[33]))
        mm_px = min(eyes_px / EYE_SPAN_MM, self._mouth_px / MOUTH_SPAN_MM)
        light = read_light(rgb, landmarks)

        self.drawn = max(_cartoonness(landmarks), flatness(rgb, landmarks))  # [0, 1], 1 for a flat drawing
        shown_mm = TEETH_SHOWN_MM + self.drawn * (CARTOON_SHOWN_MM - TEETH_SHOWN_MM)
        self._skull = Skull.of(landmarks, _resting_edge(landmarks, shown_mm, mm_px), mm_px)
        frame = self._skull.on(landmarks, STRAIGHT)
        self._own_gap = _gaps(frame, landmarks) / frame.px_per_mm  # mm
        widest_mm = float(self._own_gap.max())
        self._closed = 1 - smooth((widest_mm * mm_px / self._mouth_px - FORGIVEN) / FORGIVEN)

        own = find_own_teeth(rgb, frame, Opening.of(frame, landmarks), light) if self._closed < 1 else None
        if own is not None:
            lower = self._skull.axes[:, 1] * own.edge_down
            self._skull = replace(self._skull, edge=(self._skull.edge + lower).astype(np.float32))
            frame = self._skull.on(landmarks, STRAIGHT)
            own = find_own_teeth(rgb, frame, Opening.of(frame, landmarks), light)
        if own is not None:
            light = replace(light, tooth=own.tooth)
        self._light, self._shows_teeth = light, own is not None
        self._shows_lower = own is not None and own.lower is not None
        self._own_reach = reach(TOOTH_DEPTH_MM, _open_mm(Opening.of(frame, landmarks), frame))
        self.colour = light.colour  # [0, 1], 0 for a grey image
        self._plain = 0.0 if own else self.drawn
        light = self._light = cartoon_light(light, rgb, landmarks, self._plain)
        most_luma = min(FULL_LUMA, NEVER_WHITE * light.bright_luma, FULL_OVER_SKIN * light.skin_luma)
        self._full_light = min(FULL_LIGHT, max(most_luma / max(float(light.tooth @ LUMA), 1.0), 1.0))
        self._unbared_mm = OWN_UNBARED_MM if own else shown_mm
        own_drop = 0.0 if own else (1 - self._closed) * max(0.0, 0.8 * widest_mm - shown_mm)
        hides_lower = own is not None and own.lower is None
        self._rest = RestingMouth.of(self._opening(frame, landmarks), frame, own_drop, hides_lower=hides_lower)

        density = float(np.clip((1.5 if own is None else 2.5) * mm_px, 2.0, 10.0))
        wide = np.array([1 + CARTOON_WIDER * self._plain, 1, 1], np.float32)
        self._upper_points, self._lower_points = (
            (along, points * wide) for along, points in (arch_points(UPPER), arch_points(LOWER))
        )
        painted = [paint_row(shape, light, density, self._plain) for shape in (UPPER, LOWER)]
        surface = read_surface(rgb, landmarks)
        upper, lower = (surface.on(row.rgba, density / mm_px, mm_px) for row in painted)
        if own is not None:
            view = ArchView.of(*self._upper_points, frame.to_mouth)
            upper = lay_in(painted[0], own.upper, own.raster, view, UPPER.half_span, density, -1.0)
            if own.lower is not None:
                view = ArchView.of(*self._lower_points, frame.to_mouth)
                lower = lay_in(painted[1], own.lower, own.raster, view, LOWER.half_span, density, 1.0)
        self._upper, self._lower = row_texture(upper, UPPER, density), row_texture(lower, LOWER, density)
        self._tongue = paint_tongue(light)

    def draw(
        self,
        canvas: RgbImage,
        landmarks: FloatArray,
        rotation: FloatArray,
        scale: float,
        jaw_drop: float,
        skull: FloatArray | None = None,
    ) -> None:
        """Draw the interior between the lips of a frame, in place.

        Args:
            canvas: (H, W, 3) uint8, the frame with the portrait already moved.
            landmarks: (478, 3) landmarks of the moved portrait, pixels of the canvas.
            rotation: (3, 3) rotation of the head relative to the portrait.
            scale: canvas pixels per portrait pixel.
            jaw_drop: drop of the lower jaw relative to the portrait, in widths of the portrait's mouth.
            skull: (478, 3) the same landmarks where a smile has not lifted the nose; None: it has not.
        """
        frame = self._skull.on(landmarks if skull is None else skull, rotation, scale)
        change = float(np.sqrt(np.mean((_gaps(frame, landmarks) / frame.px_per_mm - self._own_gap) ** 2)))
        strength = smooth(change / (OWN_FADE_MM if self._shows_teeth else 0.35 + 0.85 * (1 - self._closed)))
        opening = self._opening(frame, landmarks)
        if self._closed < 1 and strength > 0 and opening.width >= 3:
            close_lips(canvas, frame, opening, self._own_gap, line_between_lips(self._light))
        if strength < 1 / 255 or opening.width < 3 or opening.area / opening.width < 0.02:
            return
        raster = Raster.over(opening)
        chin_mm = jaw_drop * self._mouth_px / self._skull.px_per_mm
        rgb = self._paint(raster, opening, frame, self._rest.jaw(chin_mm, opening, frame))
        coverage = raster.coverage(opening, max(1.0, 0.012 * opening.width) * raster.per_px)
        raster.blend(canvas, rgb, coverage * np.float32(strength), frame)

    def _opening(self, frame: MouthFrame, landmarks: FloatArray) -> Opening:
        """Create the opening of (478, 3) canvas landmarks, less the gap between the portrait's closed lips."""
        return Opening.of(frame, landmarks, forgiven=self._own_gap * self._closed * frame.px_per_mm)

    def _paint(self, raster: Raster, opening: Opening, frame: MouthFrame, jaw: Jaw) -> FloatArray:
        """Paint the interior without its outline: (3, H, W) float32 over the raster, 0 to 255 or more."""
        light, mm = self._light, frame.px_per_mm
        open_mm = _open_mm(opening, frame)
        upper, lower = raster.curves(opening)
        down, across = raster.down[:, None], raster.across[None]

        rgb = np.empty((3, len(raster.down), len(raster.across)), np.float32)  # planes: NumPy is slow along 3 values
        off_middle = np.clip((across - 0.5 * (opening.across[0] + opening.across[-1])) / (0.5 * opening.width), -1, 1)
        back = light.dark + light.flesh * 0.45 * reach(BACK_DEPTH_MM, open_mm)
        rgb[:] = (1 - 0.55 * off_middle**2) * back[:, None, None]

        if self._shows_lower:
            edge_down, lower_view = jaw.own_row(*self._lower_points, frame)
        else:
            edge_down, lower_view = jaw.lower_row(*self._lower_points, frame)
        bared_mm = -float(opening.upper[len(opening.upper) // 2]) / max(float(frame.to_mouth[1, 1]), 1e-3)
        bared = smooth((bared_mm - self._unbared_mm) / BARED_MM)
        before = 1 - LAID_BARE * bared
        self._draw_tongue(rgb, raster, frame, edge_down, open_mm)
        lower_light = self._lit(LOWER_DEPTH_MM, open_mm, bared, LOWER_LIGHT)
        self._draw_row(rgb, raster, self._lower, lower_view, 1.0, lower_light)
        upper_view = self._upper_row(frame, opening)
        self._shade_below(rgb, raster, upper_view, before)
        self._draw_row(rgb, raster, self._upper, upper_view, -1.0, self._lit(UPPER_DEPTH_MM, open_mm, bared))

        if self._shows_teeth:
            shadow = lip_shadow(raster, opening, mm, SHOWN_SHADOW)
        else:
            shadow = lip_shadow(raster, opening, mm, before)
            shadow += 0.6 * self._plain * (1 - shadow)
            shadow = shadow * (1 + light.sideways * off_middle) * (1 - 0.4 * before * np.abs(off_middle) ** 3)
        _mix(rgb, 0.85 * light.dark, 1 - shadow)  # scattered light: no shade is quite black
        # The wet rim of each lip that turns inwards.
        below_upper, above_lower = np.maximum(down - upper, 0) / mm, np.maximum(lower - down, 0) / mm
        rim = 0.7 * np.exp(-((above_lower / 0.9) ** 2)) + 0.45 * np.exp(-((below_upper / 0.6) ** 2))
        _mix(rgb, 0.42 * light.lip, np.minimum(rim, 0.8) * (0.4 + 0.6 * before))
        return rgb

    def _upper_row(self, frame: MouthFrame, opening: Opening) -> ArchView:
        """Project the upper row; a lip that rises further than anatomy allows raises it, so that it does not float."""
        view = ArchView.of(*self._upper_points, frame.to_mouth)
        in_front = np.interp(7.0 * frame.px_per_mm * np.linspace(-1, 1, 5), opening.across, opening.upper)
        bared = -float(in_front.max()) / view.px_per_mm
        lift = float(np.logaddexp(0.0, bared - MOST_BARED_MM)) * view.px_per_mm
        return replace(view, down=view.down - np.float32(lift))

    def _lit(self, depth_mm: float, open_mm: float, bared: float, most: float = 1.0) -> float:
        """Return the light on a row of teeth; in a cartoon most of it reaches them, however narrow the gap.

        For the portrait's own teeth it is relative to the light that they have in the portrait.

        Args:
            depth_mm: distance behind the lips at rest.
            open_mm: height of the opening.
            bared: [0, 1], how far a smile has bared the teeth.
            most: fraction of the light that they get once they are bared.
        """
        if self._shows_teeth:
            return min(max(reach(TOOTH_DEPTH_MM, open_mm) / self._own_reach, LEAST_LIGHT), MOST_LIGHT)
        share = reach((1 - LAID_BARE * bared) * depth_mm, open_mm)
        wide = smooth((open_mm - WIDE_SMILE_MM[0]) / (WIDE_SMILE_MM[1] - WIDE_SMILE_MM[0]))
        gain = most * (1 + wide * (self._full_light - 1))
        share *= 1 + (1 - self._plain) * bared * (gain - 1)
        return share + 0.75 * self._plain * (1 - share)

    def _draw_row(
        self, rgb: FloatArray, raster: Raster, texture: RowTexture, view: ArchView, sign: float, light: float
    ) -> None:
        """Draw a row of teeth over (3, H, W) `rgb`, in place; `sign` +1: crowns below the edge line, -1: above it."""
        along, edge = view.columns(raster.across)
        level, density = texture.level(view.px_per_mm * raster.per_px)
        margin = EDGE_MARGIN_MM * view.px_per_mm
        if sign > 0:
            part = slice(int(np.searchsorted(raster.down, edge.min() - margin)), None)
        else:
            part = slice(0, int(np.searchsorted(raster.down, edge.max() + margin)))
        inward = sign * (raster.down[part, None] - edge) / max(view.px_per_mm, 1e-3)
        if len(inward) == 0:
            return
        columns, rows = texture.maps(np.broadcast_to(along, inward.shape), inward, density)
        rgba = cv2.remap(level, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        _over(rgb[:, part], rgba, light, self._light.dark)

    def _shade_below(self, rgb: FloatArray, raster: Raster, upper: ArchView, strength: float) -> None:
        """Draw the upper teeth's shadow on (3, H, W) float32 `rgb`, in place: a thin dark line where the rows meet."""
        along, edge = upper.columns(raster.across)
        part = slice(*np.searchsorted(raster.down, [edge.min(), edge.max() + 4 * SHADOW_MM * upper.px_per_mm]))
        below = (raster.down[part, None] - edge) / max(upper.px_per_mm, 1e-3)
        shade = 0.6 * strength * np.exp(-np.maximum(below, 0) / SHADOW_MM) * (np.abs(along) < UPPER.half_span)
        _mix(rgb[:, part], self._light.dark, shade)

    def _draw_tongue(self, rgb: FloatArray, raster: Raster, frame: MouthFrame, edge: float, open_mm: float) -> None:
        """Draw the tongue over (3, H, W) `rgb`, in place; `edge`: height of the lower incisors' edge, pixels."""
        mm = frame.px_per_mm
        centre = float(frame.to_mouth[0, 2]) * 18
        width = max(float(frame.to_mouth[0, 0]), 0.3 * mm) * 18.5
        top, bottom = edge - (2.5 + 0.5 * open_mm) * mm, edge + 3 * mm
        x = ((raster.across - centre) / (2 * width) + 0.5) * TONGUE_SIZE - 0.5
        part = slice(int(np.searchsorted(raster.down, top)), None)
        y = (raster.down[part] - top) / (bottom - top) * TONGUE_SIZE - 0.5
        if len(y) == 0:
            return
        columns, rows = np.meshgrid(x.astype(np.float32), np.minimum(y, TONGUE_SIZE - 1).astype(np.float32))
        rgba = cv2.remap(self._tongue, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        _over(rgb[:, part], rgba, 0.9 * reach(TONGUE_DEPTH_MM, open_mm), self._light.dark)


def _over(rgb: FloatArray, rgba: RgbaImage, light: float, dark: FloatArray) -> None:
    """Composite a layer over `rgb`, in place.

    Args:
        rgb: (3, H, W) float32, 0 to 255.
        rgba: (H, W, 4) uint8, the layer.
        light: fraction of light that reaches it.
        dark: (3,) lower bound of its colours.
    """
    *channels, opacity = cv2.split(rgba)
    alpha = opacity * np.float32(1 / 255)
    for index, (channel, darkest) in enumerate(zip(channels, dark, strict=True)):
        rgb[index] += alpha * (channel * np.float32(light) + np.float32(1 - light) * darkest - rgb[index])


def _mix(rgb: FloatArray, colour: FloatArray, weight: FloatArray) -> None:
    """Mix a colour (3,) into (3, H, W) float32 by weights (H, W) in [0, 1], in place."""
    rgb += weight.astype(np.float32) * (colour.astype(np.float32)[:, None, None] - rgb)


def _resting_edge(landmarks: FloatArray, shown_mm: float, mm_px: float) -> FloatArray:
    """Estimate the (3,) upper incisors' edge from (478, 3) landmarks: behind the lip, `shown_mm` below it; pixels."""
    axes = head_axes(landmarks)
    lip = landmarks[13]
    middle = 0.5 * landmarks[[13, 14, 0, 17]].mean(axis=0) + 0.5 * landmarks[[2, 164]].mean(axis=0)
    sideways = axes[:, 0] * float(axes[:, 0] @ (middle - lip))
    return np.asarray(lip + sideways + (shown_mm * axes[:, 1] + 2.0 * axes[:, 2]) * mm_px, np.float32)


def _cartoonness(landmarks: FloatArray) -> float:
    """Return 0 for people's eyes, however wide open, to 1 for eyes as round as only a drawing's; (478, 3) landmarks."""
    return smooth((max(_roundness(landmarks, eye) for eye in EYES) - LARGEST_EYE) / (ROUND_EYE - LARGEST_EYE))


def _roundness(landmarks: FloatArray, eye: EyeRegion) -> float:
    """Return the height of the opening over the width of an eye of (478, 3) landmarks."""
    gap = np.linalg.norm(landmarks[eye.lower, :2] - landmarks[eye.upper, :2], axis=1)[2:-2].mean()
    return float(gap / max(float(np.linalg.norm(landmarks[eye.outer] - landmarks[eye.inner])), 1e-6))


def _open_mm(opening: Opening, frame: MouthFrame) -> float:
    """Return the height of the opening's middle, assuming a parabola."""
    return 1.5 * opening.area / max(opening.width, 1e-3) / frame.px_per_mm


def _gaps(frame: MouthFrame, landmarks: FloatArray) -> FloatArray:
    """Compute the (11,) heights of the opening of (478, 3) landmarks, along the face's vertical, pixels; >= 0."""
    apart = landmarks[list(LOWER_INNER), :2] - landmarks[list(UPPER_INNER), :2]
    return np.asarray(np.maximum(apart @ frame.axes[1], 0), np.float32)
