"""A live face is tracked on two threads, where there are two cores, with the same result to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data

from avatar import tracking
from avatar.tracking import FaceTracker, open_tracker


def test_the_number_of_threads_changes_no_bit(face_model: Path) -> None:
    rgb = skimage.data.astronaut()
    faces = [FaceTracker(face_model, threads=count).track(rgb) for count in (1, 2)]
    assert faces[0] is not None and faces[1] is not None
    np.testing.assert_array_equal(faces[0].landmarks, faces[1].landmarks)
    np.testing.assert_array_equal(faces[0].blendshapes, faces[1].blendshapes)


@pytest.mark.parametrize(("cores", "live", "threads"), [(8, True, 2), (1, True, 1), (8, False, 1)])
def test_offline_the_other_cores_are_left_to_other_stages(
    cores: int, live: bool, threads: int, face_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(tracking, "usable_cores", lambda: cores)
    monkeypatch.setattr(tracking, "FaceTracker", lambda model, **options: opened.append(options))
    open_tracker(live=live)
    assert opened[0]["threads"] == threads
