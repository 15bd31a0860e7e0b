"""Shading of solid bodies: a large key light, sky and bounce light, subsurface scattering, rim light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.frames import FloatArray
from tools.gallery.paint import Colour, colour, to_linear, to_srgb
from tools.gallery.solid import Seen, Vector

_VIEW = np.array([0, 0, 1], np.float32)


@dataclass(frozen=True)
class Lights:
    """Light sources; colours as sRGB, strengths as factors."""

    key: Vector = (-0.55, -0.75, 0.75)  # direction towards the key light: from the upper left before the image
    key_colour: Colour = "#fff4e6"
    key_strength: float = 0.86
    sky_colour: Colour = "#e8ecff"
    sky_strength: float = 0.5
    bounce_colour: Colour = "#ffd0b5"
    bounce_strength: float = 0.3
    rim: Vector = (0.85, -0.35, -0.45)
    rim_colour: Colour = "#cfe0ff"
    rim_strength: float = 0.55


@dataclass(frozen=True)
class Material:
    """Material of a body; `paint` may be a texture (H, W, 3) in image space."""

    paint: Colour
    through: float = 0.0  # subsurface scattering: 1 = skin
    gloss: float = 0.15  # strength of reflection
    rough: float = 0.4  # roughness: 0 = a mirror, 1 = no reflection
    sheen: float = 0.0  # soft light at grazing angles, as on felt and fur


def shaded(seen: Seen, materials: list[Material], lights: Lights) -> FloatArray:
    """Shade the bodies: sRGB (H, W, 3); undefined where nothing was hit."""
    shape = seen.hit.shape
    albedo = np.zeros((*shape, 3), np.float32)
    through, gloss, rough, sheen = (np.zeros(shape, np.float32) for _ in range(4))
    for index, material in enumerate(materials):
        here = seen.part == index
        paint = to_linear(colour(material.paint))
        albedo[here] = paint if paint.ndim == 1 else paint[here]
        through[here], gloss[here], rough[here] = material.through, material.gloss, material.rough
        sheen[here] = material.sheen
    normals = seen.normals
    key, rim = (_unit(direction) for direction in (lights.key, lights.rim))
    wrap = through[..., None] * np.array([0.5, 0.28, 0.2], np.float32)
    facing = (normals @ key)[..., None]
    lit = seen.lit[..., None] ** np.where(wrap > 0, np.array([0.75, 1.0, 1.1], np.float32), 1)
    direct = np.clip((facing + wrap) / (1 + wrap), 0, 1) * lit * _light(lights.key_colour, lights.key_strength)
    up = 0.5 - 0.5 * normals[..., 1:2]
    open_sky = seen.open_sky[..., None] ** (1 - 0.35 * wrap)
    around = up * _light(lights.sky_colour, lights.sky_strength)
    around = around + (1 - up) * _light(lights.bounce_colour, lights.bounce_strength)
    light = direct * (0.55 + 0.45 * open_sky) + around * open_sky
    grazing = 1 - np.clip(normals @ _VIEW, 0, 1)
    light += (sheen * grazing**2)[..., None] * around * 1.6 * open_sky
    out = albedo * light
    half = _unit(key + _VIEW)
    power = 2 / np.maximum(rough, 0.05) ** 4
    shine = np.clip(normals @ half, 0, 1) ** power * (power + 8) / 60 * gloss * seen.lit
    out += np.minimum(shine, 2.5)[..., None] * _light(lights.key_colour, 1.0) * (0.4 + 0.6 * open_sky)
    edge = grazing**3 * np.clip(normals @ rim + 0.35, 0, 1) * (0.35 + 0.65 * seen.open_sky)
    out += (edge * lights.rim_strength)[..., None] * _light(lights.rim_colour, 1.0) * (0.25 + 0.75 * albedo)
    return to_srgb(_tone(out))


def _tone(light: FloatArray) -> FloatArray:
    """Tone-map linear light (H, W, 3), so that highlights keep some colour."""
    knee = np.float32(0.75)
    over = np.maximum(light - knee, 0)
    return np.asarray(np.minimum(light, knee) + (1 - knee) * (1 - np.exp(-over / (1 - knee))), np.float32)


def _light(paint: Colour, strength: float) -> FloatArray:  # (3,), linear RGB
    return to_linear(colour(paint)) * np.float32(strength)


def _unit(direction: Vector | FloatArray) -> FloatArray:  # (3,), of length 1
    vector = np.asarray(direction, np.float32)
    return vector / np.float32(np.linalg.norm(vector))
