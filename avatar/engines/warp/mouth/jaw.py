"""State of the lower jaw: its drop, and the lower row of teeth that moves with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avatar.engines.warp.mouth.arch import OVERBITE_MM, ArchView, about_hinge
from avatar.engines.warp.mouth.frame import MouthFrame, Opening, smooth
from avatar.frames import FloatArray

# Measured on tracked clips: a grin on closed teeth raises the upper lip by a third of the lips' parting, speech
# and shouts by less than a fifth. The chin drops by up to 3.5 mm in such a grin; on a turned head it may read 5 mm
# too low.
JAW_SHARE, GRIN_SHARE = 0.2, 0.32  # the upper lip's fraction of the parting: below the first jaw, above the second grin
MOVED_MM = (0.0, 3.0)  # drop of the chin between which the jaw's drop becomes certain
MOVED_IN_GRIN_MM = (2.5, 8.0)
GRIN_MM, SHOUT_MM = 18.0, 26.0  # parting of the lips between which a grin on closed teeth becomes impossible
CROWNS_MM, GUM_MM = 8.5, 1.5  # height of the lower crowns and gums that a lowered lip shows while the jaw is up
WIDE_MM, WIDE_BARED_MM = 14.0, 3.0  # additional height of lower teeth shown by a jaw dropped that far
TALLEST = 1.4  # limit of the lower teeth's scale in a mouth that is large for its face
FARTHEST_MM = 45.0


@dataclass(frozen=True)
class RestingMouth:
    """The mouth of a portrait before it moves."""

    drop_mm: float  # drop of its jaw from closed teeth
    gap_mm: float  # gap between its lips
    upper_mm: float  # height of its upper lip's middle below the upper incisors' edge
    hides_lower: bool = False  # its upper teeth are visible, and the lip covers the lower ones

    @staticmethod
    def of(opening: Opening, frame: MouthFrame, drop_mm: float, *, hides_lower: bool = False) -> RestingMouth:
        """Measure the opening of a portrait."""
        return RestingMouth(drop_mm, _gap_mm(opening, frame), _upper_mm(opening, frame), hides_lower)

    def jaw(self, chin_mm: float, opening: Opening, frame: MouthFrame) -> Jaw:
        """Distinguish a dropped jaw from lips parted over closed teeth.

        Args:
            chin_mm: drop of the chin since the portrait.
            opening: the current opening between the lips.
            frame: the mouth's current frame.
        """
        parted = _gap_mm(opening, frame) - self.gap_mm
        raised = self.upper_mm - _upper_mm(opening, frame)
        grins = smooth((raised / max(parted + 1, 1) - JAW_SHARE) / (GRIN_SHARE - JAW_SHARE))
        least, sure = (a + grins * (b - a) for a, b in zip(MOVED_MM, MOVED_IN_GRIN_MM, strict=True))
        dropped = smooth((chin_mm - least) / (sure - least))
        is_down = max(dropped, smooth((parted - GRIN_MM) / (SHOUT_MM - GRIN_MM)))
        drop_mm = self.drop_mm + (chin_mm * dropped if chin_mm > 0 else chin_mm)

        # With the jaw up the rows meet, so the lower one has to reach from there to the lip.
        lowest = float(opening.lower.max()) / _px_per_mm(frame)
        to_lip = lowest + OVERBITE_MM - max(drop_mm, 0.0)
        tall = 1 + (1 - is_down) * (min(max(to_lip / CROWNS_MM, 1.0), TALLEST) - 1)
        bared = tall * CROWNS_MM + GUM_MM
        # Once the jaw is down the lip covers most of the crowns.
        covered = 2.4 + 4.1 * float(np.exp(-((max(drop_mm, lowest, 0.0) / 9.0) ** 2)))
        if self.hides_lower:  # the lip keeps covering them; only a wide mouth shows their edges
            bared, covered = -GUM_MM, WIDE_BARED_MM * smooth(drop_mm / WIDE_MM - 0.5) - GUM_MM
        return Jaw(drop_mm, lowest - (bared + is_down * (covered - bared)), tall)


@dataclass(frozen=True)
class Jaw:
    """The lower jaw in one frame, measured at its incisors."""

    drop_mm: float  # drop from closed teeth, from the chin
    least_edge_mm: float  # lower bound below the upper incisors' edge: higher up the row would float behind the lip
    tall: float  # vertical scale of the lower teeth

    def lower_row(self, along: FloatArray, points: FloatArray, frame: MouthFrame) -> tuple[float, ArchView]:
        """Compute the height of the lower incisors' edge (pixels down) and the projection of the lower row.

        Args:
            along: (N,) mm along the row, see `arch_points`.
            points: (N, 3) points of the row at the height of the upper incisors' edge, mm.
            frame: the mouth's frame.
        """
        drop = min(max(float(np.logaddexp(self.drop_mm, self.least_edge_mm + OVERBITE_MM)), 0.0), FARTHEST_MM)
        points = about_hinge(points - np.array([0, OVERBITE_MM, 0], np.float32), drop)
        view = ArchView.of(along, points, frame.to_mouth)
        edge = float(np.interp(0.0, view.across, view.down))
        missing = self.least_edge_mm - edge / view.px_per_mm  # on a nodding head a dropped jaw appears higher up
        shift = float(np.logaddexp(0.0, missing)) * view.px_per_mm
        down = view.down + np.float32(shift)
        return edge + shift, replace(view, down=down, px_per_mm=self.tall * view.px_per_mm)

    def own_row(self, along: FloatArray, points: FloatArray, frame: MouthFrame) -> tuple[float, ArchView]:
        """Compute `lower_row` for visible teeth, which meet the upper ones in the portrait; points (N,) and (N, 3)."""
        view = ArchView.of(along, about_hinge(points, min(max(self.drop_mm, 0.0), FARTHEST_MM)), frame.to_mouth)
        return float(np.interp(0.0, view.across, view.down)), view


def _px_per_mm(frame: MouthFrame) -> float:
    return max(float(frame.to_mouth[1, 1]), 1e-3)


def _gap_mm(opening: Opening, frame: MouthFrame) -> float:
    return float((opening.lower - opening.upper).max()) / _px_per_mm(frame)


def _upper_mm(opening: Opening, frame: MouthFrame) -> float:
    return float(opening.upper[len(opening.upper) // 2]) / _px_per_mm(frame)
