"""Training: its mathematics, resumption of runs, and animation with the result."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from places import ROOT
from training_samples import MODEL, RECIPE, SIZE, figure_pack, with_landmarks

from avatar.cli import main
from avatar.errors import TrainingError
from avatar.fomm import load_checkpoint
from avatar.frames import FloatArray, RgbImage
from avatar.motion.keypoints import Keypoints
from avatar.training import judge, judge_figures, losses
from avatar.training.checkpoint import MANIFEST, PART_BYTES, load_state, save_state
from avatar.training.config import LossConfig, TrainConfig, from_mapping, read_recipe
from avatar.training.dataset import FrameDataset, augment
from avatar.training.figures import RATE, draw, joints, random_figure, write_clips
from avatar.training.pack import Pack, load_pack, save_pack
from avatar.training.parallel import Team
from avatar.training.run import CHECKPOINT, METRICS, SHEETS, RunOptions, known_points, train
from avatar.training.run import MODEL as MODEL_FILE
from avatar.training.thin_plate import ThinPlate
from avatar.training.trainer import Trainer, schedule

CPU = torch.device("cpu")
NO_POINTS = np.zeros(0, np.intp)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small pictures: a second thread only waits, and sums come out the same every time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def dataset_of(pack: Pack | None = None) -> FrameDataset:
    dataset = FrameDataset(SIZE, NO_POINTS, NO_POINTS, CPU)
    dataset.add_pack(pack or figure_pack())
    return dataset


def trainer_of(config: TrainConfig = RECIPE, points: int = 0) -> Trainer:
    return Trainer(config, CPU, points, Team(), bf16=False)


def quiet(_: str) -> None:
    pass


def test_thin_plate_derivatives_are_those_of_its_values() -> None:
    plate = ThinPlate.random(2, torch.Generator().manual_seed(1), CPU)
    plate = ThinPlate(plate.affine.double(), 10 * plate.weights.double(), plate.centres.double())
    points = torch.rand(2, 5, 2, dtype=torch.float64) * 1.6 - 0.8
    points.requires_grad_(True)
    rows = [torch.autograd.grad(plate(points)[..., i].sum(), points, retain_graph=True)[0] for i in (0, 1)]
    torch.testing.assert_close(plate.jacobian(points), torch.stack(rows, dim=2), atol=1e-4, rtol=1e-4)


def test_equivariance_is_zero_for_keypoints_that_move_with_the_picture() -> None:
    plate = ThinPlate.random(3, torch.Generator().manual_seed(2), CPU)
    warped = torch.rand(3, 4, 2) - 0.5
    frames = torch.eye(2).expand(3, 4, 2, 2) + 0.1 * torch.randn(3, 4, 2, 2)
    kp = Keypoints(plate(warped), plate.jacobian(warped) @ frames)
    value, jacobian = losses.equivariance(kp, Keypoints(warped, frames), plate)
    assert float(value) < 1e-5 and float(jacobian) < 1e-4
    off, turned = losses.equivariance(Keypoints(kp.value + 0.1, 2 * frames), Keypoints(warped, frames), plate)
    assert float(off) == pytest.approx(0.1, abs=1e-4) and float(turned) > 0.1


def test_warping_by_a_plate_moves_the_picture_as_the_plate_moves_points() -> None:
    size = 65
    ramp = torch.linspace(-1, 1, size)
    picture = torch.stack([ramp.expand(size, size), ramp[:, None].expand(size, size)])[None]
    plate = ThinPlate.random(1, torch.Generator().manual_seed(3), CPU)
    points = torch.tensor([[[0.0, 0.0], [0.25, -0.5]]])
    seen = plate.warp(picture)[0][:, [32, 16], [32, 40]].T
    torch.testing.assert_close(seen, plate(points)[0], atol=0.02, rtol=0)


def test_losses_are_zero_for_what_is_equal_and_grow_with_what_is_not() -> None:
    picture = torch.rand(2, 3, 32, 32)
    even = torch.ones(2, 1, 32, 32)
    for loss in (losses.pixels, losses.edges):
        assert float(loss(picture, picture, even)) == 0
        assert float(loss(picture + 0.2 * torch.rand_like(picture), picture, even)) > 0.01
    assert float(losses.ssim(picture, picture)) == pytest.approx(0, abs=1e-5)
    assert float(losses.ssim(picture.flip(3), picture)) > 0.1


def test_separation_is_large_for_keypoints_on_one_another_and_small_for_others() -> None:
    together, apart = torch.zeros(2, 3, 2), torch.tensor([[[-0.8, 0.0], [0.0, 0.8], [0.8, -0.8]]])
    assert float(losses.separation(Keypoints(together))) == pytest.approx(1)
    assert float(losses.separation(Keypoints(apart))) < 1e-3


def test_attention_rises_around_points_that_are_known() -> None:
    anchors = torch.tensor([[[0.5, -0.5]], [[0.5, -0.5]]])
    weights = losses.attention_map(anchors, torch.tensor([1.0, 0.0]), 64, 3.0)
    assert weights.shape == (2, 1, 64, 64)
    assert float(weights[0, 0, 16, 48]) > 3.2 and float(weights[0, 0, 60, 4]) == pytest.approx(1, abs=1e-3)
    assert float(weights[1].max()) == 1


def test_pairs_are_of_one_identity_and_never_of_those_held_out() -> None:
    pack = figure_pack(clips=4, held_out=1)
    dataset = dataset_of(pack)
    assert dataset.count == 18
    batch = dataset.sample(64, (1, 0, 0), np.random.default_rng(0))
    corner = [image[:, :, 0, 0] for image in (batch.source, batch.driving)]  # the wall tells the identities apart
    assert float((corner[0] - corner[1]).abs().max()) < 0.12  # JPEG
    out = torch.from_numpy(pack.image(pack.groups[3].start)[0, 0].astype(np.float32)) / 255
    assert float((corner[0] - out).abs().amax(dim=1).min()) > 0.01
    assert len(torch.unique((corner[0] * 20).round(), dim=0)) >= 3


def test_a_bank_without_pairs_says_what_it_needs() -> None:
    with pytest.raises(TrainingError, match="no two pictures"):
        FrameDataset(SIZE, NO_POINTS, NO_POINTS, CPU).sample(2, (1, 0, 0), np.random.default_rng(0))


def test_augmentation_moves_landmarks_with_the_picture() -> None:
    size = 64
    dataset = FrameDataset(size, np.arange(2), np.array([1, 0]), CPU)
    pictures = np.zeros((2, size, size, 3), np.uint8)
    pictures[:, 20, 12], pictures[:, 40, 44] = (255, 0, 0), (0, 255, 0)
    places = np.zeros((2, 478, 2), np.float32)
    places[:, 0], places[:, 1] = (12, 20), (44, 40)
    dataset.add(pictures, places, [("clip", 0, 2)])
    batch = dataset.gather([(0, 0, 1)] * 16)
    changed = augment(batch, dataset, 0.5, 0.0, 0.2, torch.Generator().manual_seed(0))
    mirrored = 0
    for image, points in ((changed.source, changed.source_points), (changed.driving, changed.driving_points)):
        for picture, (first, second) in zip(image, (points + 1) / 2 * (size - 1), strict=True):
            seen = [divmod(int(picture[channel].argmax()), size) for channel in (0, 1)]
            red_is_first = math.dist(seen[0][::-1], first.tolist()) < 2.1
            mirrored += not red_is_first
            order = (first, second) if red_is_first else (second, first)
            for found, wanted in zip(seen, order, strict=True):
                assert math.dist(found[::-1], wanted.tolist()) < 2.1
    assert 4 <= mirrored <= 28
    assert bool((changed.source != changed.driving).any())


def test_the_learning_rate_rises_stays_and_falls() -> None:
    config = replace(RECIPE, steps=100, warm_up=10, cool_down=0.4)
    rates = [schedule(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[59] == 1
    assert rates[80] == pytest.approx(0.51, abs=0.01) and rates[99] < 0.03
    assert sorted(rates[60:], reverse=True) == rates[60:]


def test_it_learns_two_clips_by_heart() -> None:
    trainer, dataset = trainer_of(replace(RECIPE, steps=150)), dataset_of()
    seen = [trainer.check(trainer.train(dataset)) for _ in range(150)]
    total = [sum(values.values()) for values in seen]
    assert np.mean(total[-10:]) < 0.4 * np.mean(total[:3])


def test_a_resumed_run_gives_the_same_numbers_as_an_unbroken_one(tmp_path: Path) -> None:
    loss = replace(RECIPE.loss, adversarial=0.2, matching=0.5)
    config = replace(RECIPE, steps=8, jitter=0.1, zoom=0.1, flip=0.5, loss=loss, adversarial_from=0.0)
    dataset = dataset_of()
    unbroken = trainer_of(config)
    first = [unbroken.check(unbroken.train(dataset)) for _ in range(4)]
    save_state(unbroken, tmp_path / "state")
    rest = [unbroken.check(unbroken.train(dataset)) for _ in range(4)]
    resumed = trainer_of(config)
    load_state(resumed, tmp_path / "state")
    assert resumed.step == 4
    assert [resumed.check(resumed.train(dataset)) for _ in range(4)] == rest
    assert first != rest
    for kept, again in zip(unbroken.ema.parameters(), resumed.ema.parameters(), strict=True):
        assert torch.equal(kept, again)


def test_checkpoints_come_in_parts_and_a_damaged_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatar.training.checkpoint.PART_BYTES", 100_000)
    trainer, folder = trainer_of(), tmp_path / "state"
    save_state(trainer, folder)
    parts = sorted(folder.glob("part-*.bin"))
    assert len(parts) > 2 and max(part.stat().st_size for part in parts) <= 100_000 <= PART_BYTES
    save_state(trainer, folder)  # in place of the one before
    assert not list(tmp_path.glob("state.*"))
    parts[1].write_bytes(b"x" + parts[1].read_bytes()[1:])
    with pytest.raises(TrainingError, match="damaged"):
        load_state(trainer, folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(TrainingError, match="no checkpoint"):
        load_state(trainer, folder)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    save_state(trainer_of(), tmp_path / "state")
    other = trainer_of(replace(RECIPE, model=replace(MODEL, num_kp=5)))
    with pytest.raises(TrainingError, match="another recipe"):
        load_state(other, tmp_path / "state")


def test_a_run_leaves_a_model_that_animates_a_sheet_and_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "pack.safetensors"
    save_pack(figure_pack(clips=3, held_out=1), path)
    result = train(replace(RECIPE, steps=6), path, RunOptions(tmp_path / "run", CPU), quiet)
    assert result.steps == 6 and 0 < result.held_out["held_out_ratio"] < 100
    model = load_checkpoint(tmp_path / "run" / MODEL_FILE)
    pictures = torch.rand(2, 3, SIZE, SIZE)
    prediction = model.generate(pictures[:1], model.detect(pictures[:1]), model.detect(pictures[1:]))
    assert prediction.shape == (1, 3, SIZE, SIZE) and bool(torch.isfinite(prediction).all())
    assert model.config == MODEL
    assert [path.suffix for path in (tmp_path / "run" / SHEETS).iterdir()] == [".png"]
    lines = [json.loads(line) for line in (tmp_path / "run" / METRICS).read_text().splitlines()]
    assert lines[0]["step"] == 1 and "pixels" in lines[0] and "held_out_l1" in lines[-1]
    again = train(replace(RECIPE, steps=8), path, RunOptions(tmp_path / "run", CPU, resume=True), quiet)
    assert again.steps == 8


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "pack.safetensors"
    save_pack(figure_pack(), path)
    options = RunOptions(tmp_path / "run", CPU)
    train(replace(RECIPE, steps=2), path, options, quiet)
    kept = (tmp_path / "run" / CHECKPOINT / MANIFEST).read_text()
    wild = replace(RECIPE, steps=60, learning_rate=1.0, warm_up=1, loss=LossConfig(pixels=math.inf))
    with pytest.raises(TrainingError, match="smaller learning_rate"):
        train(wild, path, replace(options, resume=True), quiet)
    assert (tmp_path / "run" / CHECKPOINT / MANIFEST).read_text() == kept


def test_landmarks_give_anchors_a_reader_and_attention(tmp_path: Path) -> None:
    pack = with_landmarks(figure_pack(clips=3, held_out=1))
    loss = replace(RECIPE.loss, anchors=5, features=1, landmarks=1, attention=2)
    config = replace(RECIPE, steps=3, anchors=(468, 473, 13), loss=loss)
    points, mirror = known_points(config, pack)
    assert points[:3].tolist() == [468, 473, 13] and len(points) == len(set(points.tolist()))
    assert mirror[:3].tolist() == [1, 0, 2]
    path = tmp_path / "pack.safetensors"
    save_pack(pack, path)
    result = train(config, path, RunOptions(tmp_path / "run", CPU), quiet)
    assert {"anchors", "features", "landmarks", "reader"} <= set(result.losses)


def test_anchors_without_landmarks_are_refused() -> None:
    with pytest.raises(TrainingError, match="needs landmarks"):
        known_points(replace(RECIPE, anchors=(1,)), figure_pack())


def test_packs_keep_what_is_put_in_and_refuse_what_is_none(tmp_path: Path) -> None:
    pack = with_landmarks(figure_pack(clips=2, held_out=1))
    save_pack(pack, tmp_path / "pack")
    again = load_pack(tmp_path / "pack")
    assert again.groups == pack.groups and again.size == pack.size
    np.testing.assert_allclose(again.landmarks, pack.landmarks, atol=1 / 64)
    assert all(np.array_equal(again.image(i), pack.image(i)) for i in range(len(pack.images)))
    for content in (b"", b"noise" * 100):
        (tmp_path / "none").write_bytes(content)
        with pytest.raises(TrainingError, match="not a pack"):
            load_pack(tmp_path / "none")
    with pytest.raises(TrainingError, match="no pack"):
        load_pack(tmp_path / "missing")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"size": "large"}, 'size is "large", not a number'),
        ({"flavour": 1}, 'the recipe has no "flavour"'),
        ({"loss": {"pixel": 1}}, 'loss has no "pixel"'),
        ({"anchors": [1] * 50}, "more than the"),
        ({"model_params": None}, "model_params"),
    ],
)
def test_recipes_that_make_no_sense(change: dict[str, object], words: str, tmp_path: Path) -> None:
    import yaml

    recipe = yaml.safe_load((ROOT / "recipes" / "face.yaml").read_text())
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**recipe, **change}))
    with pytest.raises(TrainingError, match=words):
        read_recipe(path)


@pytest.mark.parametrize("name", ["face", "figure"])
def test_the_recipes_that_ship_can_be_read(name: str) -> None:
    config = read_recipe(ROOT / "recipes" / f"{name}.yaml")
    assert config.size % 2 == 0 and config.model.num_kp >= len(config.anchors)


def test_recipes_are_mappings() -> None:
    with pytest.raises(ValueError, match="not a set"):
        from_mapping([1])


def test_a_figure_has_its_joints_inside_the_picture_and_moves() -> None:
    figure = random_figure(np.random.default_rng(0))
    early, late = joints(figure, 0.0), joints(figure, 0.4)
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in early.values())
    assert math.dist(early["left hand"], late["left hand"]) > 0.03


def test_joints_are_read_off_keypoints_that_sit_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_figures, "FITTED", 8)
    monkeypatch.setattr(judge_figures, "ASKED", 4)
    known = {}
    for number in range(12):
        figure = random_figure(np.random.default_rng([judge_figures.SEED, number]))
        for frame in range(judge_figures.FRAMES):
            time_s = frame / float(RATE)
            known[draw(figure, time_s, 64).tobytes()] = joints(figure, time_s)

    def on_a_hand(rgb: RgbImage) -> FloatArray:
        place = known[rgb.tobytes()]["left hand"]
        return np.array([place, (0.0, 0.0)], np.float32) * 2 - 1

    verdict = {each.name: each for each in judge_figures.judge(on_a_hand, 64)}
    hand, foot = verdict["left hand"], verdict["right foot"]
    assert hand.error_px < 0.1 < hand.mean_place_px and hand.follows > 0.999
    assert foot.error_px > 0.5 * foot.mean_place_px and foot.follows < 0.9
    lost = judge_figures.judge(lambda rgb: np.zeros((2, 2), np.float32), 64)
    assert all(each.follows == 0.0 for each in lost)


def test_judges_say_in_a_sentence_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no model")
    for name in ("text.safetensors", "absent"):
        place = str(tmp_path / name)
        for tool, arguments in ((judge_figures, [place]), (judge, [place, "pack"])):
            with pytest.raises(SystemExit, match=name):
                tool.main(arguments)
    with pytest.raises(SystemExit):
        judge_figures.main([str(tmp_path), "--size", "0"])


def test_what_moves_counts_more_and_what_stands_still_less() -> None:
    source = torch.zeros(1, 3, 32, 32)
    driving = source.clone()
    driving[..., 10:14, 10:14] = 1
    weights = losses.motion_map(source, driving)
    assert weights[0, 0, 12, 12] == losses.MOST and weights[0, 0, 25, 25] == 0
    assert losses.motion_map(source, source).max() == 0


def test_the_command_trains_on_a_folder_of_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clips(tmp_path / "clips", clips=2, frames=3, size=64)
    recipe = tmp_path / "recipe.yaml"
    text = (ROOT / "recipes" / "figure.yaml").read_text()
    recipe.write_text(text.replace("figure-000, ", "").replace("batch: 12", "batch: 2"))
    assert main(["train", str(recipe), "-o", str(tmp_path / "out"), "--steps", "2", "--device", "cpu"]) == 0
    assert "2 steps" in capsys.readouterr().out
    assert (tmp_path / "out" / MODEL_FILE).is_file()
    assert main(["train", str(recipe), "-o", str(tmp_path / "out2"), "--data", str(tmp_path / "none")]) == 1
    assert "is missing" in capsys.readouterr().err
    (tmp_path / "file").touch()
    pack = str(tmp_path / "out" / "pack.safetensors")
    assert main(["train", str(recipe), "-o", str(tmp_path / "file" / "out"), "--pack", pack]) == 1
    assert "name another --output" in capsys.readouterr().err


def run_as_two(script: Path, *arguments: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}", "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, str(script), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    path = tmp_path / "pack.safetensors"
    save_pack(figure_pack(), path)
    script = tmp_path / "run.py"
    script.write_text(
        "import sys, torch; from dataclasses import replace; from pathlib import Path\n"
        "from training_samples import RECIPE; from avatar.training.dataset import FrameDataset\n"
        "from avatar.training.parallel import Team; from avatar.training.trainer import Trainer\n"
        "from avatar.training.pack import load_pack; import numpy as np\n"
        "team = Team.join(torch.device('cpu')); none = np.zeros(0, np.intp)\n"
        "dataset = FrameDataset(32, none, none, torch.device('cpu')); dataset.add_pack(load_pack(Path(sys.argv[1])))\n"
        "trainer = Trainer(RECIPE, torch.device('cpu'), 0, team, bf16=False)\n"
        "for _ in range(2): losses = trainer.check(trainer.train(dataset))\n"
        "weights = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])\n"
        "Path(sys.argv[1] + f'.{team.rank}').write_text(f'{float(weights.double().sum())!r} {losses[\"pixels\"]!r}')\n"
        "team.leave()\n"
    )
    run_as_two(script, path)
    results = [Path(f"{path}.{rank}").read_text().split() for rank in (0, 1)]
    assert results[0][0] == results[1][0]  # the same weights
    assert results[0][1] != results[1][1]  # of different halves of the batch


def test_two_processes_with_clocks_of_their_own_save_fit_and_stop_together(tmp_path: Path) -> None:
    path = tmp_path / "pack.safetensors"
    save_pack(figure_pack(), path)
    script = tmp_path / "run.py"
    script.write_text(
        "import os, sys, time, types, torch; from pathlib import Path\n"
        "from training_samples import RECIPE; from avatar.training import run\n"
        "pace = 1 + 0.5 * int(os.environ['RANK'])\n"
        "run.time = types.SimpleNamespace(monotonic=lambda: pace * time.monotonic())\n"
        "path = Path(sys.argv[1])\n"
        "options = run.RunOptions(path.parent / 'out', torch.device('cpu'), minutes=0.2, fit=True, save_every_s=0.3)\n"
        "done = run.train(RECIPE, path, options)\n"
        "Path(f'{path}.{os.environ[\"RANK\"]}').write_text(str(done.steps))\n"
    )
    run_as_two(script, path)
    steps = [int(Path(f"{path}.{rank}").read_text()) for rank in (0, 1)]
    assert steps[0] == steps[1] > 0
    assert (tmp_path / "out" / MODEL_FILE).is_file()
