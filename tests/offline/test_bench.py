from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from avatar.frames import RgbImage
from avatar.offline.bench import LIVE, STAGES, WARM_UP, BenchReport, Spread, bench_portrait, driving_images, run_bench
from avatar.portrait.check import ear_to_ear_px
from avatar.tracking import open_tracker


@pytest.fixture(scope="module")
def portrait(face_model: Path) -> RgbImage:
    return bench_portrait(320, 240)


@pytest.fixture(scope="module")
def report(portrait: RgbImage) -> BenchReport:
    heard: list[tuple[int, int]] = []
    done = run_bench(frames=4, sizes=(("small", 256, 256), ("wide", 320, 180)), progress=lambda *now: heard.append(now))
    assert heard == [(count, 2 * (4 + WARM_UP)) for count in range(1, 2 * (4 + WARM_UP) + 1)]
    return done


def test_every_stage_of_every_size_is_timed(report: BenchReport) -> None:
    assert [size.name for size in report.sizes] == ["small", "wide"]
    for size in report.sizes:
        assert tuple(size.stages) == STAGES and size.prepare_ms > 0
        for spread in (*size.stages.values(), size.live):
            assert 0 < spread.median_ms <= spread.p95_ms
        assert size.live.mean_ms == pytest.approx(sum(size.stages[stage].mean_ms for stage in LIVE))
        assert size.stages["motion"].median_ms < size.stages["drawing"].median_ms


def test_the_report_names_the_machine(report: BenchReport) -> None:
    facts = json.loads(json.dumps(report.as_json()))
    assert facts["machine"]["versions"]["numpy"] == np.__version__ and facts["machine"]["cores"] >= 1
    assert facts["machine"]["cpu"] and facts["frames"] == 4
    lines = report.table().splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["size", "small", "wide"]
    assert facts["machine"]["cpu"] in "".join(lines[3:])
    assert len({len(line) for line in lines[:3]}) == 1  # columns line up


def test_the_portrait_fills_the_picture_at_any_size(portrait: RgbImage) -> None:
    tracker = open_tracker()
    for width, height in ((320, 240), (640, 360)):
        face = tracker.detect(bench_portrait(width, height))[0]
        assert 0.25 * height < ear_to_ear_px(face) < 0.5 * height
    tracker.close()


def test_the_driver_moves_and_stays_in_view(portrait: RgbImage) -> None:
    tracker = open_tracker()
    pictures = list(itertools.islice(driving_images(portrait), 0, 60, 6))
    faces = [tracker.track(picture) for picture in pictures]
    assert None not in faces
    assert max(face.pose.roll_deg for face in faces if face) - min(face.pose.roll_deg for face in faces if face) > 6
    tracker.close()


def test_a_spread_is_what_it_says() -> None:
    spread = Spread.of([float(number) for number in range(101)])
    assert (spread.median_ms, spread.p95_ms, spread.mean_ms) == (50, 95, 50)
