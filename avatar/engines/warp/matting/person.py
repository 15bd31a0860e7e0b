"""Coarse segmentation of the person: by a network, else by colours, else by the position of the face."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.fields import Mask, as_unit, blurred, distance_to
from avatar.engines.warp.headroom import Head, shrunk
from avatar.frames import FloatArray, RgbImage
from avatar.system.installation import MODELS

logger = logging.getLogger(__name__)

MODEL = MODELS / "person-segmentation.tflite"
_NETWORK_SIDE = 256
_NETWORK_OUTPUT = ("activation_10",)  # (1, 256, 256, 1) in [0, 1]
_GRABCUT_SIDE = 320
_ROOMS = (1.6, 1.35, 1.15, 1.0)  # GrabCut's room for hair and hats: the first one that leaves some background
_FACE_MUST_BE = 0.7  # mean probability over the face below which a segmentation must be wrong


@dataclass(frozen=True, eq=False)
class CoarsePerson:
    """A coarse segmentation, correct except for the outline."""

    probability: FloatArray  # (H, W) in [0, 1]
    source: str  # "network", "colours" or "shape"
    confidence: float  # [0, 1]


def find_person(rgb: RgbImage, head: Head) -> CoarsePerson:
    """Segment the person with the given head in an (H, W, 3) image; never fails."""
    face = head.face(rgb.shape)
    if min(rgb.shape[:2]) >= 8:
        for source, segment in (("network", _by_network), ("colours", _by_colours)):
            probability = segment(rgb, head)
            if probability is not None and face.any() and probability[face].mean() > _FACE_MUST_BE:
                return _weighed(_without_others(probability, face, head.size), face, source)
    return CoarsePerson(by_shape(rgb.shape, head), "shape", 0.2)


def by_shape(shape: tuple[int, ...], head: Head, *, room: float = 1.0) -> FloatArray:
    """Return an average head with hair, neck and shoulders around the face, with a soft edge: (H, W) in [0, 1].

    `room` > 1 enlarges it for hats and long hair.
    """
    height, width = shape[:2]
    down = head.landmarks[152, :2] - head.landmarks[10, :2]
    down = down / max(float(np.linalg.norm(down)), 1e-3)
    middle = 0.5 * (head.landmarks[152, :2] + head.landmarks[10, :2])
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x, y = (x - middle[0]) / head.size, (y - middle[1]) / head.size
    along, across = x * down[0] + y * down[1], x * down[1] - y * down[0]
    skull = 1 - np.hypot(across / (0.72 * room), (along + 0.18) / (0.98 * room))
    shoulders = np.minimum(y - 0.3, 0.42 * room + 1.3 * room * np.clip(y - 0.75 / room, 0, 1.0) - np.abs(x))
    return np.asarray(np.clip(0.5 + 4 * np.maximum(skull, shoulders), 0, 1), np.float32)


def _by_network(rgb: RgbImage, head: Head) -> FloatArray | None:
    """Run MediaPipe's selfie segmentation on an (H, W, 3) uint8 image and its mirror image.

    Returns:
        (H, W) float32 in [0, 1]; None if the network cannot run.
    """
    del head
    try:
        from avatar.tracking.networks import LiteRtNetwork

        network = LiteRtNetwork(MODEL.read_bytes(), _NETWORK_OUTPUT, threads=2)
    except (ImportError, OSError, ValueError, RuntimeError, KeyError) as error:
        logger.info("The person network cannot run (%s); colours decide instead.", error)
        return None
    small = cv2.resize(rgb, (_NETWORK_SIDE, _NETWORK_SIDE), interpolation=cv2.INTER_AREA)
    values = as_unit(small)[None]
    straight = network.run(values)[0][0, ..., 0]
    mirrored = network.run(np.ascontiguousarray(values[:, :, ::-1]))[0][0, :, ::-1, 0]
    size = (rgb.shape[1], rgb.shape[0])
    return np.asarray(np.clip(cv2.resize(0.5 * (straight + mirrored), size, interpolation=cv2.INTER_CUBIC), 0, 1))


def _by_colours(rgb: RgbImage, head: Head) -> FloatArray | None:
    """Run GrabCut (Rother et al. 2004) on an (H, W, 3) uint8 image, seeded by an average shape.

    Returns:
        (H, W) float32 in [0, 1]; None if no background is found.
    """
    small, scale = shrunk(rgb, _GRABCUT_SIDE)
    head = head.scaled(scale)
    shape = by_shape(small.shape, head)
    trimap = np.where(shape > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    for room in _ROOMS:
        outside = by_shape(small.shape, head, room=room) <= 0
        if outside.mean() > 0.04:
            break
    trimap[outside] = cv2.GC_BGD
    trimap[(shape > 0.97) & (blurred(shape, 0.1 * head.size) > 0.97)] = cv2.GC_FGD
    trimap[head.face(small.shape)] = cv2.GC_FGD
    if not ((trimap == cv2.GC_BGD).sum() > 50 and (trimap == cv2.GC_FGD).sum() > 50):
        return None
    cv2.setRNGSeed(1)  # GrabCut starts from random clusters
    models = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        cv2.grabCut(small, trimap, None, *models, 4, cv2.GC_INIT_WITH_MASK)
    except cv2.error as error:  # in an image of one colour some clusters are empty
        logger.info("GrabCut found nothing: %s", error)
        return None
    person = np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    soft = blurred(cv2.medianBlur(person, 5), max(1.0, 0.02 * head.size))
    return np.asarray(cv2.resize(soft, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_LINEAR))


def _without_others(probability: FloatArray, face: Mask, size: float) -> FloatArray:
    """Remove components that are not connected to the face, such as other people; (H, W) each."""
    # The opening cuts thin bridges; the tolerance below restores what it erodes.
    thin = np.ones((2 * max(1, round(0.04 * size)) + 1,) * 2, np.uint8)
    _, label = cv2.connectedComponents(cv2.morphologyEx((probability > 0.5).astype(np.uint8), cv2.MORPH_OPEN, thin))
    counts = np.bincount(label[face & (label > 0)], minlength=1)
    away = distance_to(label == int(counts.argmax()))
    return np.asarray(probability * np.clip(2 - away / (0.15 * size + 1), 0, 1), np.float32)


def _weighed(probability: FloatArray, face: Mask, source: str) -> CoarsePerson:
    """Add a confidence, which falls with the number of undecided pixels; (H, W) each."""
    undecided = float(((probability > 0.2) & (probability < 0.8)).sum()) / max(float((probability > 0.5).sum()), 1.0)
    most = 1.0 if source == "network" else 0.5
    return CoarsePerson(probability, source, most * float(probability[face].mean()) * max(0.3, 1 - 2 * undecided))
