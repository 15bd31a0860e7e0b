"""The measure against the truth: who is measured, where, and what its numbers mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from motion_samples import make_face

from avatar.errors import UsageError
from tools.evaluate.pairs import REGIONS, Score, errors_over_copying, people_in, regions_of, table

SIZE = 256


def test_people_are_split_by_their_sorted_names(tmp_path: Path) -> None:
    for number in range(7):
        for state in ("neutral", "smiling") if number < 6 else ("neutral",):
            (tmp_path / f"p_{number}_{state}.jpg").touch()
    assert people_in(tmp_path) == [f"p_{number}" for number in range(6)]
    assert people_in(tmp_path, "report") == ["p_2", "p_5"]
    assert people_in(tmp_path, "tune") == ["p_0", "p_1", "p_3", "p_4"]
    with pytest.raises(UsageError):
        people_in(tmp_path / "missing")


def test_a_copy_of_the_portrait_scores_one_and_the_truth_nothing() -> None:
    landmarks = make_face(scale=70, centre=(128, 118)).landmarks
    portrait = np.full((SIZE, SIZE, 3), 100, np.uint8)
    truth = np.full((SIZE, SIZE, 3), 140, np.uint8)
    half = np.full((SIZE, SIZE, 3), 130, np.uint8)
    for drawn, expected in ((portrait, 1.0), (truth, 0.0), (half, 0.25)):
        found = errors_over_copying(drawn, portrait, truth, landmarks)
        assert found == pytest.approx(dict.fromkeys(REGIONS, expected))


def test_an_error_counts_in_its_own_region_only() -> None:
    landmarks = make_face(scale=70, centre=(128, 118)).landmarks
    portrait, truth = np.zeros((SIZE, SIZE, 3), np.uint8), np.full((SIZE, SIZE, 3), 50, np.uint8)
    regions = regions_of(landmarks, truth.shape)
    assert not np.any(regions["mouth"] & regions["eyes"])
    drawn = np.where(regions["mouth"][..., None], truth, portrait)
    found = errors_over_copying(drawn, portrait, truth, landmarks)
    assert found["mouth"] == 0 and found["eyes"] == 1 and 0 < found["face"] < 1


def test_the_table_counts_people_who_come_out_worse_than_a_copy() -> None:
    scores = [
        Score("a", "smiling", 0.5, 0.4, 0.3),
        Score("b", "smiling", 1.2, 0.4, 0.3),
        Score("c", "smiling", float("nan"), float("nan"), float("nan"), failure="no face"),
    ]
    lines = table(scores).splitlines()
    assert "| smiling | mouth | 0.850 | 0.40 | 1.20 (b) | 1 | 2 |" in lines
    assert lines[-1] == "c smiling: no face"
