"""Where about the person is: a network's opinion, or what colours or the face's place alone can tell."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engine.warp.fields import Mask, as_unit, blurred, distance_to
from avatar.engine.warp.headroom import Head, shrunk
from avatar.frames import FloatArray, RgbImage
from avatar.manifest import MANIFEST

logger = logging.getLogger(__name__)

MODEL = MANIFEST.parent / "person-segmentation.tflite"
_NETWORK_SIDE = 256
_NETWORK_OUTPUT = ("activation_10",)  # (1, 256, 256, 1) in [0, 1]
_GRABCUT_SIDE = 320
_ROOMS = (1.6, 1.35, 1.15, 1.0)  # how much room GrabCut gives hair and hats: the first that leaves some background
_FACE_MUST_BE = 0.7  # mean over the face below which an opinion cannot be right


@dataclass(frozen=True, eq=False)
class CoarsePerson:
    """A rough answer, right but for the outline."""

    probability: FloatArray  # (H, W) in [0, 1]
    source: str  # "network", "colours" or "shape"
    confidence: float  # [0, 1]


def find_person(rgb: RgbImage, head: Head) -> CoarsePerson:
    """Say roughly where the person is whose head is given; there is always an answer."""
    face = head.face(rgb.shape)
    if min(rgb.shape[:2]) >= 8:
        for source, opinion in (("network", _by_network), ("colours", _by_colours)):
            probability = opinion(rgb, head)
            if probability is not None and face.any() and probability[face].mean() > _FACE_MUST_BE:
                return _weighed(_without_others(probability, face, head.size), face, source)
    return CoarsePerson(by_shape(rgb.shape, head), "shape", 0.2)


def by_shape(shape: tuple[int, ...], head: Head, *, room: float = 1.0) -> FloatArray:
    """A skull with hair, a neck and shoulders of usual proportions around the face, soft outside; (H, W).

    With more `room`, as large as hats and long hair make it.
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
    """MediaPipe's selfie segmentation, on the picture and on its mirror image; None where it cannot run."""
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
    """GrabCut (Rother et al. 2004), seeded by the usual shape; None where it finds no background."""
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
    except cv2.error as error:  # a picture of one colour leaves its clusters without members
        logger.info("GrabCut found nothing: %s", error)
        return None
    person = np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    soft = blurred(cv2.medianBlur(person, 5), max(1.0, 0.02 * head.size))
    return np.asarray(cv2.resize(soft, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_LINEAR))


def _without_others(probability: FloatArray, face: Mask, size: float) -> FloatArray:
    """Take away what does not hang together with the face: other people, dark corners."""
    # Opened, so that a thin bridge does not join what hardly touches; the reach below gives back what that takes.
    thin = np.ones((2 * max(1, round(0.04 * size)) + 1,) * 2, np.uint8)
    _, label = cv2.connectedComponents(cv2.morphologyEx((probability > 0.5).astype(np.uint8), cv2.MORPH_OPEN, thin))
    counts = np.bincount(label[face & (label > 0)], minlength=1)
    away = distance_to(label == int(counts.argmax()))
    return np.asarray(probability * np.clip(2 - away / (0.15 * size + 1), 0, 1), np.float32)


def _weighed(probability: FloatArray, face: Mask, source: str) -> CoarsePerson:
    """Confidence falls with everything that is neither person nor background."""
    undecided = float(((probability > 0.2) & (probability < 0.8)).sum()) / max(float((probability > 0.5).sum()), 1.0)
    most = 1.0 if source == "network" else 0.5
    return CoarsePerson(probability, source, most * float(probability[face].mean()) * max(0.3, 1 - 2 * undecided))
