"""Where the lower jaw is: how far it has dropped, and the lower row of teeth that goes with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avatar.engine.warp.mouth_arch import OVERBITE_MM, ArchView, about_hinge
from avatar.engine.warp.mouth_frame import MouthFrame, Opening, smooth
from avatar.frames import FloatArray

# Measured on tracked clips: a grin on closed teeth raises the upper lip by a third of what it parts the lips, speech
# and shouts by less than a fifth. The chin goes down by up to 3.5 mm in such a grin; on a turned head it may say 5 mm
# too little.
JAW_SHARE, GRIN_SHARE = 0.2, 0.32  # of the parting of the lips, made by the upper lip
MOVED_MM = (0.0, 3.0)  # how far the chin goes down when the jaw does: no less than the first, surely from the second on
MOVED_IN_GRIN_MM = (2.5, 8.0)
GRIN_MM, SHOUT_MM = 18.0, 26.0  # the lips part further than in any grin on closed teeth; only a dropped jaw does this
CROWNS_MM, GUM_MM = 8.5, 1.5  # of the lower row: what a lip that is drawn down bares while the jaw is up
TALLEST = 1.4  # times as tall the lower teeth of a mouth that is large for its face
FARTHEST_MM = 45.0


@dataclass(frozen=True)
class RestingMouth:
    """The mouth of a portrait before it moves."""

    drop_mm: float  # of its jaw from closed teeth
    gap_mm: float  # between its lips
    upper_mm: float  # its upper lip's middle below the upper incisors' edge

    @staticmethod
    def of(opening: Opening, frame: MouthFrame, drop_mm: float) -> RestingMouth:
        """Measure the opening of a portrait."""
        return RestingMouth(drop_mm, _gap_mm(opening, frame), _upper_mm(opening, frame))

    def jaw(self, chin_mm: float, opening: Opening, frame: MouthFrame) -> Jaw:
        """Tell a dropped jaw from lips drawn apart over closed teeth.

        Args:
            chin_mm: how far the chin has gone down since.
            opening: between the lips now.
            frame: of the mouth now.
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
        return Jaw(drop_mm, lowest - (bared + is_down * (covered - bared)), tall)


@dataclass(frozen=True)
class Jaw:
    """The lower jaw in one frame, measured at its incisors."""

    drop_mm: float  # from closed teeth, as the chin says
    least_edge_mm: float  # below the upper incisors' edge: higher up the lower row would float behind the lip
    tall: float  # times their usual height, of the lower teeth

    def lower_row(self, along: FloatArray, points: FloatArray, frame: MouthFrame) -> tuple[float, ArchView]:
        """Where the lower incisors' edge is (pixels down), and the lower row as seen.

        Args:
            along: (N,) mm along the row, see `arch_points`.
            points: (N, 3) of the row at the height of the upper incisors' edge.
            frame: of the mouth.
        """
        drop = min(max(float(np.logaddexp(self.drop_mm, self.least_edge_mm + OVERBITE_MM)), 0.0), FARTHEST_MM)
        points = about_hinge(points - np.array([0, OVERBITE_MM, 0], np.float32), drop)
        view = ArchView.of(along, points, frame.to_mouth)
        edge = float(np.interp(0.0, view.across, view.down))
        missing = self.least_edge_mm - edge / view.px_per_mm  # a nodding head sees a dropped jaw higher up
        shift = float(np.logaddexp(0.0, missing)) * view.px_per_mm
        down = view.down + np.float32(shift)
        return edge + shift, replace(view, down=down, px_per_mm=self.tall * view.px_per_mm)


def _px_per_mm(frame: MouthFrame) -> float:
    return max(float(frame.to_mouth[1, 1]), 1e-3)


def _gap_mm(opening: Opening, frame: MouthFrame) -> float:
    return float((opening.lower - opening.upper).max()) / _px_per_mm(frame)


def _upper_mm(opening: Opening, frame: MouthFrame) -> float:
    return float(opening.upper[len(opening.upper) // 2]) / _px_per_mm(frame)
