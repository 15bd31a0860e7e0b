"""The dataset in memory: all training images as uint8 on the training device, and sampling of pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from avatar.errors import TrainingError
from avatar.frames import FloatArray
from avatar.motion.keypoints import inverse
from avatar.training.pack import Pack

GROUP_KINDS = ("clip", "pair", "synthetic")  # in the order of `TrainConfig.shares`


@dataclass(frozen=True, eq=False)
class Batch:
    """B source images with their driving frames."""

    source: Tensor  # (B, 3, H, W) float32 in [0, 1]
    driving: Tensor  # (B, 3, H, W) float32 in [0, 1]
    source_points: Tensor  # (B, P, 2) landmarks in [-1, 1]
    driving_points: Tensor  # (B, P, 2) landmarks in [-1, 1]
    known: Tensor  # (B,) 1 where the landmarks are known, else 0


@dataclass(frozen=True)
class _Range:
    """Images of one group within a block."""

    start: int
    count: int


class FrameDataset:
    """Training images in groups of one identity; a pair is two images of one group. May grow during training."""

    def __init__(self, size: int, points: npt.NDArray[np.intp], mirror: npt.NDArray[np.intp], device: torch.device):
        """Create an empty dataset.

        Args:
            size: side of the images, pixels.
            points: (P,) indices of the landmarks that are kept, out of 478; may be empty.
            mirror: (P,) for each of them, the position in `points` of its counterpart on the other side of the face.
            device: where the images are stored.
        """
        self.size, self.points = size, points
        self._mirror = torch.as_tensor(mirror.astype(np.int64), device=device)
        self._device = device
        self._blocks: list[Tensor] = []  # uint8 (n, 3, size, size)
        self._landmarks: list[Tensor] = []  # (n, P, 2) in [-1, 1]
        self._known: list[bool] = []  # per block
        self._groups: dict[str, list[tuple[int, _Range]]] = {kind: [] for kind in GROUP_KINDS}  # block, range in it
        self.count = 0

    def add(
        self,
        images: npt.NDArray[np.uint8],
        landmarks: FloatArray | None,
        groups: list[tuple[str, int, int]],
    ) -> None:
        """Add a block of images.

        Args:
            images: (N, H, W, 3) uint8 RGB.
            landmarks: (N, 478, 2) or (N, 478, 3) in pixels; None if unknown.
            groups: (kind, start, count), kind out of GROUP_KINDS.
        """
        block = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).contiguous()
        known = landmarks is not None and len(self.points) > 0
        places = np.zeros((len(images), len(self.points), 2), np.float32)
        if landmarks is not None and known:
            places = landmarks[:, self.points, :2].astype(np.float32) * (2 / (self.size - 1)) - 1
        for kind, start, count in groups:
            self._groups[kind].append((len(self._blocks), _Range(start, count)))
        self._blocks.append(block)
        self._landmarks.append(torch.from_numpy(places).to(self._device))
        self._known.append(known)
        self.count += len(images)

    def add_pack(self, pack: Pack, *, held_out: bool = False) -> None:
        """Add the clips and pairs of a packed dataset: the training set, or the held-out set."""
        for group in pack.groups:
            if group.held_out != held_out or group.count < 2:
                continue
            part = range(group.start, group.start + group.count)
            landmarks = pack.landmarks[part.start : part.stop] if pack.is_tracked else None
            images = np.stack([pack.image(index) for index in part])
            self.add(images, landmarks, [("pair" if group.kind == "pair" else "clip", 0, group.count)])

    def sample(self, batch: int, shares: tuple[float, ...], generator: np.random.Generator) -> Batch:
        """Sample random pairs.

        Args:
            batch: the number of pairs.
            shares: sampling weights of GROUP_KINDS; kinds without a group are left out.
            generator: the source of randomness.
        Raises:
            TrainingError: there is no group at all.
        """
        given = dict(zip(GROUP_KINDS, shares, strict=True))
        weights = np.array([given[kind] if self._groups[kind] else 0.0 for kind in GROUP_KINDS])
        if weights.sum() == 0:
            remedy = "It needs clips, or pictures of the same identity; a teacher needs stills."
            raise TrainingError("There are no two pictures of one identity to train on.", remedy=remedy)
        picks: list[tuple[int, int, int]] = []
        for kind in generator.choice(len(GROUP_KINDS), size=batch, p=weights / weights.sum()):
            groups = self._groups[GROUP_KINDS[kind]]
            block, group = groups[int(generator.integers(len(groups)))]
            source, driving = generator.integers(group.count, size=2)
            picks.append((block, group.start + int(source), group.start + int(driving)))
        return self.gather(picks)

    def gather(self, picks: list[tuple[int, int, int]]) -> Batch:
        """Collate the pairs given as (block, source index, driving index)."""
        known = torch.tensor([float(self._known[block]) for block, _, _ in picks], device=self._device)
        source, source_points = self._taken([(block, source) for block, source, _ in picks])
        driving, driving_points = self._taken([(block, driving) for block, _, driving in picks])
        return Batch(source, driving, source_points, driving_points, known)

    def _taken(self, places: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """Return (B, 3, H, W) images in [0, 1] and (B, P, 2) landmarks in [-1, 1], by block and index."""
        images = torch.stack([self._blocks[block][place] for block, place in places])
        points = torch.stack([self._landmarks[block][place] for block, place in places])
        return images.float().div_(255).contiguous(memory_format=torch.channels_last), points

    def every(self, most: int) -> list[tuple[int, int, int]]:
        """Select up to `most` pairs for evaluation over all groups, deterministically; first image as source."""
        groups = [found for kind in GROUP_KINDS for found in self._groups[kind]]
        picks: list[tuple[int, int, int]] = []
        per = max(1, most // max(1, len(groups)))
        for block, group in groups:
            places = np.unique(np.linspace(1, group.count - 1, min(per, group.count - 1)).round().astype(int))
            picks += [(block, group.start, group.start + int(place)) for place in places]
        return picks[:most]

    def flipped(self, points: Tensor) -> Tensor:
        """Mirror (B, P, 2) landmarks in [-1, 1]."""
        swapped = points[:, self._mirror]
        return torch.stack([-swapped[..., 0], swapped[..., 1]], dim=-1)


def augment(
    batch: Batch, dataset: FrameDataset, flip: float, jitter: float, zoom: float, generator: torch.Generator
) -> Batch:
    """Augment a batch: horizontal flip, colour jitter, and a random similarity.

    Flip and colours are the same for source and driving frame; the similarity differs, as the position of a person
    before the camera does.

    Args:
        batch: what to augment.
        dataset: the dataset, which knows the mirrored landmarks.
        flip: probability of a flip.
        jitter: strength of the colour jitter.
        zoom: strength of the similarity; 0 for none.
        generator: on the device of the batch.
    """
    count, device = len(batch.source), batch.source.device

    def uniform(*shape: int) -> Tensor:
        """Sample a tensor of this shape, (...), uniformly from [-1, 1]."""
        return torch.rand(*shape, generator=generator, device=device) * 2 - 1

    mirrored = uniform(count) < 2 * flip - 1
    contrast, bright = 1 + jitter * uniform(count, 1, 1, 1), 0.5 * jitter * uniform(count, 1, 1, 1)
    tint = 1 + 0.5 * jitter * uniform(count, 3, 1, 1)

    def changed(image: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Augment (B, 3, H, W) images and (B, P, 2) landmarks."""
        image = torch.where(mirrored[:, None, None, None], image.flip(3), image)
        points = torch.where(mirrored[:, None, None], dataset.flipped(points), points)
        if zoom > 0:
            image, points = _shifted(image, points, zoom, uniform(count, 4))
        image = (((image - 0.5) * contrast + 0.5 + bright) * tint).clamp(0, 1)
        return image.contiguous(memory_format=torch.channels_last), points

    source, source_points = changed(batch.source, batch.source_points)
    driving, driving_points = changed(batch.driving, batch.driving_points)
    return Batch(source, driving, source_points, driving_points, batch.known)


def _shifted(image: Tensor, points: Tensor, zoom: float, by: Tensor) -> tuple[Tensor, Tensor]:
    """Resample images by a similarity T(z) = S R z + t that stays inside the image, except for the corners.

    Args:
        image: (B, 3, H, W).
        points: (B, P, 2) landmarks in [-1, 1].
        zoom: strength.
        by: (B, 4) random numbers in [-1, 1].
    Returns:
        (B, 3, H, W) images and (B, P, 2) landmarks.
    """
    size = 1 - zoom * (0.5 + 0.5 * by[:, 0])  # visible fraction of the side
    angle = zoom * by[:, 1]
    shift = (1 - size)[:, None] * by[:, 2:]
    cos, sin = size * torch.cos(angle), size * torch.sin(angle)
    matrix = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    grid = F.affine_grid(torch.cat([matrix, shift[:, :, None]], 2), list(image.shape), align_corners=True)
    seen = F.grid_sample(image, grid, padding_mode="reflection", align_corners=True)
    moved = (points - shift[:, None]) @ inverse(matrix).mT
    return seen, moved
