"""All training pictures as uint8 on the device that trains, and batches of pairs out of them."""

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

SORTS = ("clip", "pair", "teacher")  # of groups, in the order of `TrainConfig.shares`


@dataclass(frozen=True, eq=False)
class Batch:
    """B sources with their driving frames."""

    source: Tensor  # (B, 3, H, W) float in [0, 1]
    driving: Tensor  # the same
    source_points: Tensor  # (B, P, 2) landmarks in [-1, 1]
    driving_points: Tensor
    known: Tensor  # (B,) 1 where the landmarks are known, else 0


@dataclass(frozen=True)
class _Run:
    start: int
    count: int


class FrameBank:
    """Grows while the teacher draws; pairs are two pictures of one group."""

    def __init__(self, size: int, points: npt.NDArray[np.intp], mirror: npt.NDArray[np.intp], device: torch.device):
        """Start empty.

        Args:
            size: sides of the pictures, pixels.
            points: (P,) which of the 478 landmarks are kept; may be empty.
            mirror: (P,) for each of them, the place of its partner on the other side of the face.
        """
        self.size, self.points = size, points
        self._mirror = torch.as_tensor(mirror.astype(np.int64), device=device)
        self._device = device
        self._blocks: list[Tensor] = []  # uint8 (n, 3, size, size)
        self._landmarks: list[Tensor] = []  # (n, P, 2) in [-1, 1]
        self._known: list[bool] = []  # of each block
        self._runs: dict[str, list[tuple[int, _Run]]] = {sort: [] for sort in SORTS}  # block, part of it
        self.count = 0

    def add(
        self,
        pictures: npt.NDArray[np.uint8],
        landmarks: FloatArray | None,
        groups: list[tuple[str, int, int]],
    ) -> None:
        """Take in (n, H, W, 3) pictures, (n, 478, 2 or 3) landmarks in pixels, and (sort, start, count) groups."""
        block = torch.from_numpy(pictures).to(self._device).permute(0, 3, 1, 2).contiguous()
        known = landmarks is not None and len(self.points) > 0
        places = np.zeros((len(pictures), len(self.points), 2), np.float32)
        if landmarks is not None and known:
            places = landmarks[:, self.points, :2].astype(np.float32) * (2 / (self.size - 1)) - 1
        for sort, start, count in groups:
            self._runs[sort].append((len(self._blocks), _Run(start, count)))
        self._blocks.append(block)
        self._landmarks.append(torch.from_numpy(places).to(self._device))
        self._known.append(known)
        self.count += len(pictures)

    def add_pack(self, pack: Pack, *, held_out: bool = False) -> None:
        """Take in a pack's clips and pairs: those to train on, or those that were held out."""
        for group in pack.groups:
            if group.held_out != held_out or group.count < 2:
                continue
            part = range(group.start, group.start + group.count)
            landmarks = pack.landmarks[part.start : part.stop] if pack.is_tracked else None
            pictures = np.stack([pack.picture(index) for index in part])
            self.add(pictures, landmarks, [("pair" if group.kind == "pair" else "clip", 0, group.count)])

    def sample(self, batch: int, shares: tuple[float, ...], generator: np.random.Generator) -> Batch:
        """Draw pairs. A sort that has no group yet gives its share to the others.

        Raises:
            TrainingError: there is no group at all.
        """
        weights = np.array([share if self._runs[sort] else 0.0 for sort, share in zip(SORTS, shares, strict=True)])
        if weights.sum() == 0:
            remedy = "It needs clips, or pictures of the same identity; a teacher needs stills."
            raise TrainingError("There are no two pictures of one identity to train on.", remedy=remedy)
        picks: list[tuple[int, int, int]] = []
        for sort in generator.choice(len(SORTS), size=batch, p=weights / weights.sum()):
            runs = self._runs[SORTS[sort]]
            block, run = runs[int(generator.integers(len(runs)))]
            source, driving = generator.integers(run.count, size=2)
            picks.append((block, run.start + int(source), run.start + int(driving)))
        return self.gather(picks)

    def gather(self, picks: list[tuple[int, int, int]]) -> Batch:
        """The pairs named by (block, source, driving)."""
        known = torch.tensor([float(self._known[block]) for block, _, _ in picks], device=self._device)
        source, source_points = self._taken([(block, source) for block, source, _ in picks])
        driving, driving_points = self._taken([(block, driving) for block, _, driving in picks])
        return Batch(source, driving, source_points, driving_points, known)

    def _taken(self, places: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        pictures = torch.stack([self._blocks[block][place] for block, place in places])
        points = torch.stack([self._landmarks[block][place] for block, place in places])
        return pictures.float().div_(255).contiguous(memory_format=torch.channels_last), points

    def every(self, most: int) -> list[tuple[int, int, int]]:
        """Pairs for looking and measuring: spread over all groups, the first picture the source; the same each time."""
        runs = [found for sort in SORTS for found in self._runs[sort]]
        picks: list[tuple[int, int, int]] = []
        per = max(1, most // max(1, len(runs)))
        for block, run in runs:
            places = np.unique(np.linspace(1, run.count - 1, min(per, run.count - 1)).round().astype(int))
            picks += [(block, run.start, run.start + int(place)) for place in places]
        return picks[:most]

    def flipped(self, points: Tensor) -> Tensor:
        """(B, P, 2) landmarks of a mirrored picture."""
        swapped = points[:, self._mirror]
        return torch.stack([-swapped[..., 0], swapped[..., 1]], dim=-1)


def augment(
    batch: Batch, bank: FrameBank, flip: float, jitter: float, zoom: float, generator: torch.Generator
) -> Batch:
    """Mirror, colour and shift a batch.

    Mirroring and colours are the same for source and driving frame; shifts, sizes and small turns differ, as a
    person's place before the camera does.
    """
    count, device = len(batch.source), batch.source.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device) * 2 - 1

    mirrored = uniform(count) < 2 * flip - 1
    contrast, bright = 1 + jitter * uniform(count, 1, 1, 1), 0.5 * jitter * uniform(count, 1, 1, 1)
    tint = 1 + 0.5 * jitter * uniform(count, 3, 1, 1)
    def changed(image: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        image = torch.where(mirrored[:, None, None, None], image.flip(3), image)
        points = torch.where(mirrored[:, None, None], bank.flipped(points), points)
        if zoom > 0:
            image, points = _shifted(image, points, zoom, uniform(count, 4))
        image = (((image - 0.5) * contrast + 0.5 + bright) * tint).clamp(0, 1)
        return image.contiguous(memory_format=torch.channels_last), points

    source, source_points = changed(batch.source, batch.source_points)
    driving, driving_points = changed(batch.driving, batch.driving_points)
    return Batch(source, driving, source_points, driving_points, batch.known)


def _shifted(image: Tensor, points: Tensor, zoom: float, by: Tensor) -> tuple[Tensor, Tensor]:
    """Look at a part of the picture: T(z) = S R z + t, inside the picture but for the corners."""
    size = 1 - zoom * (0.5 + 0.5 * by[:, 0])  # how much of the picture is seen
    angle = zoom * by[:, 1]
    shift = (1 - size)[:, None] * by[:, 2:]
    cos, sin = size * torch.cos(angle), size * torch.sin(angle)
    matrix = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    grid = F.affine_grid(torch.cat([matrix, shift[:, :, None]], 2), list(image.shape), align_corners=True)
    seen = F.grid_sample(image, grid, padding_mode="reflection", align_corners=True)
    moved = (points - shift[:, None]) @ inverse(matrix).mT
    return seen, moved
