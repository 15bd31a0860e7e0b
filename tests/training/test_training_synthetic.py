"""Synthetic data, packs prepared from folders, and the evaluation of models."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from training_samples import MODEL

from avatar.fomm.random_model import random_model
from avatar.frames import RgbImage
from avatar.images.load import save_png
from avatar.motion.idle import load_idle
from avatar.offline.bench import bench_portrait
from avatar.tracking import open_tracker
from avatar.tracking.face import Face
from avatar.training.config import DataConfig, SyntheticConfig
from avatar.training.judge import judge
from avatar.training.pack import Group, Pack, encode_jpeg, save_pack
from avatar.training.prepare import prepare
from avatar.training.synthetic import SyntheticGenerator, motions_of, render_clip

SIZE = 128


@pytest.fixture(scope="module")
def portrait(face_model: Path) -> tuple[RgbImage, Face]:
    rgb = bench_portrait(SIZE, SIZE)
    with contextlib.closing(open_tracker()) as tracker:
        return rgb, tracker.detect(rgb)[0]


@pytest.fixture(scope="module")
def pack(portrait: tuple[RgbImage, Face]) -> Pack:
    """The built-in portrait as a still, and the idle motion as a clip of grey pictures."""
    rgb, face = portrait
    idle = load_idle()
    taken = range(30, 60, 3)
    grey = encode_jpeg(np.full((SIZE, SIZE, 3), 128, np.uint8))
    clip = Group("clip", "idle", "clip", 0, len(taken), False)
    groups = (clip, Group("still", "astronaut", "still", len(taken), 1, False))
    landmarks = np.stack([*(idle.landmarks[i] * SIZE / idle.width_px for i in taken), face.landmarks])
    shapes = np.stack([*(idle.blendshapes[i] for i in taken), face.blendshapes])
    none = np.zeros(0, np.uint8)
    images = (*[grey] * len(taken), encode_jpeg(rgb))
    return Pack(SIZE, groups, images, landmarks.astype(np.float32), shapes, (none,) * len(images))


def test_a_lesson_moves_the_still_and_knows_where_its_landmarks_went(pack: Pack) -> None:
    config = SyntheticConfig(frames=4)
    clip = render_clip(pack, pack.groups[1], motions_of(pack), config, np.random.default_rng(0))
    assert clip.images.shape == (5, SIZE, SIZE, 3) and clip.landmarks.shape == (5, 478, 2)
    np.testing.assert_array_equal(clip.images[0], pack.image(pack.groups[1].start))
    moved = np.linalg.norm(clip.landmarks[1:] - clip.landmarks[0], axis=2).mean(axis=1)
    assert (moved > 0.3).all() and (moved < 0.3 * SIZE).all()
    with contextlib.closing(open_tracker()) as tracker:
        for picture, places in zip(clip.images[1:], clip.landmarks[1:], strict=True):
            seen = tracker.detect(picture)[0].landmarks[:, :2]
            assert np.linalg.norm(seen - places, axis=1).mean() < 0.03 * SIZE
    again = render_clip(pack, pack.groups[1], motions_of(pack), config, np.random.default_rng(0))
    np.testing.assert_array_equal(again.images, clip.images)


def test_a_teacher_draws_in_processes_of_its_own(pack: Pack, tmp_path: Path) -> None:
    save_pack(pack, tmp_path / "pack")
    config = SyntheticConfig(frames=1, workers=1)
    with contextlib.closing(SyntheticGenerator(tmp_path / "pack", pack, config, 0)) as generator:
        clips = list(generator.clips())
        with pytest.raises(StopIteration):
            generator.ready()
    assert [clip.identity for clip in clips] == ["astronaut"] and generator.count == 1


def test_folders_become_a_pack_of_faces_and_say_what_was_left_out(
    portrait: tuple[RgbImage, Face], tmp_path: Path
) -> None:
    for folder in ("stills", "pairs"):
        (tmp_path / folder).mkdir()
    large = bench_portrait(320, 320)
    save_png(tmp_path / "stills" / "somebody.png", large)
    save_png(tmp_path / "stills" / "nobody.png", np.full((200, 200, 3), 90, np.uint8))
    for mood in ("neutral", "smiling"):
        save_png(tmp_path / "pairs" / f"anna_{mood}.png", large)
    lines: list[str] = []
    data = DataConfig(stills=("stills",), pairs=("pairs",), hold_out=("anna",))
    made = prepare(data, tmp_path, SIZE, lines.append)
    assert [(g.identity, g.kind, g.count, g.held_out) for g in made.groups] == [
        ("anna", "pair", 2, True), ("somebody", "still", 1, False),
    ]  # fmt: skip
    assert any("nobody.png: left out, no face" in line for line in lines)
    assert made.image(0).shape == (SIZE, SIZE, 3) and made.matte(0) is not None
    spread = np.ptp(made.landmarks[2, :, :2], axis=0).max()
    assert 0.4 * SIZE < spread < 0.8 * SIZE  # cut to the face


def test_the_judge_measures_a_model_beside_copying(portrait: tuple[RgbImage, Face]) -> None:
    rgb, face = portrait
    coded = encode_jpeg(rgb)
    group = Group("pair", "astronaut", "pair", 0, 2, True)
    none = np.zeros(0, np.uint8)
    landmarks, shapes = np.stack([face.landmarks] * 2), np.stack([face.blendshapes] * 2)
    held = Pack(SIZE, (group,), (coded, coded), landmarks, shapes, (none, none))
    verdict = judge(random_model(MODEL), held)
    assert verdict.pairs + verdict.lost == 1
    if verdict.pairs:
        assert verdict.copy_l1 == 0 and verdict.l1 > 5
