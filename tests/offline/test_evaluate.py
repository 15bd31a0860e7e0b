from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from motion_samples import make_face, make_track, swaying_track

from avatar.cv import cv2
from avatar.errors import FaceError, UsageError, VideoError
from avatar.frames import RgbImage
from avatar.images.load import load_image, save_png
from avatar.library.builtin import builtin_avatars
from avatar.motion.template import save_template
from avatar.motion.track import MotionTrack
from avatar.offline.evaluate import Evaluation, evaluate
from avatar.offline.evaluate_image import ImageMeter, face_detail
from avatar.offline.evaluate_motion import (
    CHANNELS,
    GAZE_CHANNELS,
    Channel,
    channel_series,
    compare_tracks,
    frames_lost,
    match_frames,
)
from avatar.reports.json_report import check_json_target
from tools.evaluate.sheet import COLUMNS, pick_moments
from tools.evaluate.table import Pair, markdown, summarise, write_tables


def every(track: MotionTrack, step: int, start: int = 0) -> MotionTrack:
    kept = slice(start, None, step)
    return replace(
        track, landmarks=track.landmarks[kept], blendshapes=track.blendshapes[kept], presence=track.presence[kept],
        times_s=track.times_s[kept],
    )  # fmt: skip


def test_a_clip_against_itself_is_perfect() -> None:
    track = swaying_track()
    channels = compare_tracks(track, track)
    assert tuple(channels) == CHANNELS
    for channel in channels.values():
        assert channel.correlation == pytest.approx(1) and channel.gain == pytest.approx(1)


def test_half_the_motion_has_half_the_gain() -> None:
    channels = compare_tracks(swaying_track(), swaying_track(gain=0.5))
    for name in ("yaw", "pitch", "roll", "jawOpen", "smile", "mouthPucker", "brows", "gaze_x"):
        assert channels[name].correlation == pytest.approx(1, abs=0.01), name
        assert channels[name].gain == pytest.approx(0.5, abs=0.03), name


def test_motion_just_above_the_noise_is_moved_but_not_clear() -> None:
    faint = make_track([make_face(yaw=value, jawOpen=0.3 + 0.05 * value) for value in np.sin(np.arange(40))])
    channels = compare_tracks(faint, faint)
    for name in ("yaw", "jawOpen"):
        assert channels[name].correlation == pytest.approx(1) and not channels[name].clear
    assert compare_tracks(swaying_track(), swaying_track())["yaw"].clear


def test_the_opposite_motion_correlates_negatively() -> None:
    channels = compare_tracks(swaying_track(), swaying_track(gain=-1))
    assert channels["yaw"].correlation == pytest.approx(-1) and channels["smile"].correlation == pytest.approx(-1)


def test_what_the_driver_does_not_move_has_no_correlation() -> None:
    noise = np.random.default_rng(1).normal(size=40)
    still = make_track([make_face(yaw=0.2 * value, jawOpen=0.2 + 0.01 * value) for value in noise])
    channels = compare_tracks(still, swaying_track(40))
    for channel in channels.values():
        assert channel.correlation is None and channel.gain is None
    assert channels["yaw"].result_spread > 5


def test_a_result_that_does_not_move() -> None:
    channels = compare_tracks(swaying_track(20), make_track([make_face()] * 20))
    assert channels["jawOpen"].correlation == 0 and channels["jawOpen"].gain == 0


def test_pose_signs_reach_the_channels() -> None:
    series = channel_series(make_track([make_face(yaw=12, pitch=-7, roll=5, eyeLookUp=0.4, eyeLookOutLeft=0.6)]))
    assert series["yaw"][0] == pytest.approx(12, abs=0.1) and series["pitch"][0] == pytest.approx(-7, abs=0.1)
    assert series["roll"][0] == pytest.approx(5, abs=0.1)
    assert series["gaze_y"][0] == pytest.approx(0.4) and series["gaze_x"][0] == pytest.approx(0.3)


def test_brows_lower_when_they_frown() -> None:
    faces = [make_face(browDown=0.8), make_face(browInnerUp=0.8), make_face(browOuterUp=0.8)]
    series = channel_series(make_track(faces))
    assert series["brows"] == pytest.approx([-0.8, 0.8, 0.8])


def _known(correlation: float | None) -> float:
    assert correlation is not None
    return correlation


def test_gaze_pools_its_axes_and_leaves_blinks_out() -> None:
    driver = [make_face(eyeLookUp=0.3 * (n % 2), eyeLookOutLeft=0.6 * (n % 3 == 0)) for n in range(30)]
    result = list(driver)
    for n in (7, 8, 9):  # in a blink the result's eyes do whatever they like
        driver[n] = make_face(eyeBlink=0.9)
        result[n] = make_face(eyeBlink=0.9, eyeLookUp=1.0, eyeLookOutLeft=1.0)
    channels = compare_tracks(make_track(driver), make_track(result))
    for name in (*GAZE_CHANNELS, "gaze"):
        assert channels[name].correlation == pytest.approx(1)
    result[20] = make_face(eyeLookUp=1.0)
    channels = compare_tracks(make_track(driver), make_track(result))
    gaze, *axes = (_known(channels[name].correlation) for name in ("gaze", *GAZE_CHANNELS))
    assert min(axes) < gaze < max(axes)


def test_frames_pair_by_time_whatever_the_rates_and_starts() -> None:
    driver = swaying_track(60, rate=30)
    half = every(driver, 2)
    shifted = replace(half, times_s=half.times_s + 100)
    for result in (half, shifted):
        driving_at, result_at = match_frames(driver, result)
        assert list(driving_at) == list(range(0, 60, 2)) and list(result_at) == list(range(30))
        assert compare_tracks(driver, result)["yaw"].correlation == pytest.approx(1)
    driving_at, result_at = match_frames(half, driver)  # the result has frames between the driver's
    assert set(driving_at) == set(range(30)) and len(result_at) == 60
    longer = swaying_track(80, rate=30)
    assert len(match_frames(driver, longer)[0]) == 60
    assert [list(found) for found in match_frames(every(driver, 60), driver)] == [[0], [0]]


def test_lost_frames_count_and_are_not_compared() -> None:
    driver = swaying_track(40)
    presence = np.ones(40, np.float32)
    presence[10:15] = 0
    wild = driver.blendshapes.copy()
    wild[10:15] = 1.0
    result = replace(driver, presence=presence, blendshapes=wild)
    assert frames_lost(driver, result) == 5 and frames_lost(result, driver) == 0
    assert compare_tracks(driver, result)["jawOpen"].correlation == pytest.approx(1)


def picture(size: int = 400) -> RgbImage:
    noise = np.random.default_rng(3).integers(0, 256, (size // 2, size // 2, 3), np.uint8)
    return cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)


FACE = make_face(scale=90, centre=(200, 200))


def test_the_same_picture_is_as_sharp_and_as_still() -> None:
    meter = ImageMeter(picture(), FACE)
    meter.add(picture(), FACE)
    meter.add(np.zeros((400, 400, 3), np.uint8), None)  # no face: says nothing
    assert meter.sharpness == pytest.approx(1) and meter.background_change == 0


def test_blur_lowers_the_sharpness() -> None:
    meter = ImageMeter(picture(), FACE)
    meter.add(cv2.GaussianBlur(picture(), (0, 0), 2), FACE)
    assert meter.sharpness is not None and meter.sharpness < 0.5


def test_sharpness_is_of_the_face_alone_and_does_not_depend_on_where_it_is() -> None:
    outside = picture().copy()
    outside[:40], outside[-40:], outside[:, :40], outside[:, -40:] = 0, 0, 0, 0
    assert face_detail(outside, FACE) == face_detail(picture(), FACE)
    moved = face_detail(np.roll(picture(), 30, axis=1), make_face(scale=90, centre=(230, 200)))
    assert moved == pytest.approx(face_detail(picture(), FACE), rel=0.02)
    half_outside = face_detail(picture(), make_face(scale=90, centre=(5, 5)))
    assert np.isfinite(half_outside)


def test_background_is_what_lies_outside_the_head() -> None:
    head = picture().copy()
    cv2.circle(head, (200, 215), 60, (255, 0, 0), -1)
    corner = picture().copy()
    corner[:40] = 255 - corner[:40]
    changes = []
    for rgb in (head, corner):
        meter = ImageMeter(picture(), FACE)
        meter.add(rgb, FACE)
        changes.append(meter.background_change)
    assert changes[0] == 0 and changes[1] is not None and changes[1] > 5


def test_a_result_of_another_shape_has_no_background_to_compare() -> None:
    meter = ImageMeter(picture(), FACE)
    meter.add(np.zeros((400, 800, 3), np.uint8), FACE)
    assert meter.background_change is None


def test_a_smaller_result_is_compared_at_its_size() -> None:
    meter = ImageMeter(picture(), FACE)
    small = cv2.resize(picture(), (200, 200), interpolation=cv2.INTER_AREA)
    meter.add(small, make_face(scale=45, centre=(99.75, 99.75)))
    assert meter.background_change is not None and meter.background_change < 1
    assert meter.sharpness == pytest.approx(1, abs=0.02)


def evaluation(yaw: float, *, lost: int = 0) -> Evaluation:
    channels = {name: Channel(name, None, None, 0.0, 0.0) for name in CHANNELS}
    return Evaluation(channels | {"yaw": Channel("yaw", yaw, 1.5, 5.0, 7.5)}, 50, 50, lost, 0.95, None)


def test_the_table_says_what_was_not_moved() -> None:
    table = evaluation(0.9, lost=3).table()
    assert "0.900" in table and "not moved" in table and "in the result 3" in table and "not known" in table
    assert json.loads(json.dumps(evaluation(0.9).as_json()))["channels"]["yaw"]["gain"] == 1.5


def test_a_grid_is_summed_up_by_medians(tmp_path: Path) -> None:
    pairs = [Pair("clip", f"p{n}", 0, evaluation(yaw)) for n, yaw in enumerate((0.5, 0.98, 0.99))]
    pairs.append(Pair("clip", "nobody", failure="no face in the portrait"))
    (summary,) = summarise(pairs)
    assert (summary.correlation, summary.lowest, summary.lowest_pair, summary.met) == (0.98, 0.5, "clip on p0", 2)
    assert (summary.clear_correlation, summary.clear_pairs) == (0.98, 3)
    text = markdown(pairs, [summary])
    assert "0.97 met" in text and "1.50 **out**" in text and "no face in the portrait" in text
    write_tables(tmp_path, pairs)
    assert len(json.loads((tmp_path / "grid.json").read_text())["pairs"]) == 4
    missed = summarise(pairs[:1])
    assert "missed by 0.470" in markdown(pairs[:1], missed)


def test_moments_are_the_extremes() -> None:
    track = swaying_track(90)
    moments = pick_moments(track)
    series = channel_series(track)
    labels = {moment.label: moment.index for moment in moments}
    assert len(moments) == COLUMNS and labels["left"] == series["yaw"].argmin()
    assert [moment.index for moment in moments] == sorted({moment.index for moment in moments})
    assert len(pick_moments(swaying_track(3))) == 3


def test_a_report_does_not_overwrite_an_input(tmp_path: Path) -> None:
    check_json_target(None)
    check_json_target(tmp_path / "report.json", [tmp_path / "a.mp4"])
    for target in (tmp_path, tmp_path / "missing" / "a.json", tmp_path / "a.mp4"):
        with pytest.raises(UsageError):
            check_json_target(target, [tmp_path / "a.mp4"])


@pytest.fixture(scope="module")
def astronaut(face_model: Path) -> RgbImage:
    return np.ascontiguousarray(load_image(builtin_avatars()[0].image_path)[:300, 75:375])


def write_clip(folder: Path, rgb: RgbImage, rolls_deg: np.ndarray) -> Path:
    """A folder of pictures in which the whole picture rolls."""
    folder.mkdir()
    for number, roll in enumerate(rolls_deg):
        turn = cv2.getRotationMatrix2D((150, 150), -float(roll), 1)
        save_png(folder / f"{number:04}.png", cv2.warpAffine(rgb, turn, (300, 300), borderMode=cv2.BORDER_REPLICATE))
    return folder


def test_files_are_compared(tmp_path: Path, astronaut: RgbImage) -> None:
    rolls = 12 * np.sin(np.arange(12) / 2)
    save_png(tmp_path / "portrait.png", astronaut)
    driving = write_clip(tmp_path / "driving", astronaut, rolls)
    result = write_clip(tmp_path / "result", astronaut, rolls / 2)
    seen: list[int] = []
    found = evaluate(tmp_path / "portrait.png", driving, result, progress=seen.append)
    roll = found.channels["roll"]
    assert roll.correlation == pytest.approx(1, abs=0.01) and roll.gain == pytest.approx(0.5, abs=0.05)
    assert found.frames == 12 and found.frames_lost == 0 and len(seen) == 24
    assert found.sharpness is not None and 0.5 < found.sharpness < 1.1


def test_a_template_can_be_the_driver(tmp_path: Path, astronaut: RgbImage) -> None:
    save_png(tmp_path / "portrait.png", astronaut)
    rolls = 10 * np.sin(np.arange(10) / 2)
    save_template(make_track([make_face(roll=roll) for roll in rolls], rate=25), tmp_path / "roll.masque")
    result = write_clip(tmp_path / "result", astronaut, rolls)
    found = evaluate(tmp_path / "portrait.png", tmp_path / "roll.masque", result)
    assert found.channels["roll"].correlation is not None and found.channels["roll"].correlation > 0.95


def test_a_result_with_the_driver_at_its_side_is_refused(tmp_path: Path, astronaut: RgbImage) -> None:
    save_png(tmp_path / "portrait.png", astronaut)
    driving = write_clip(tmp_path / "driving", astronaut, np.arange(3.0))
    result = tmp_path / "result"
    result.mkdir()
    for number in range(3):
        save_png(result / f"{number}.png", np.hstack([astronaut, astronaut]))
    with pytest.raises(UsageError, match="--side-by-side"):
        evaluate(tmp_path / "portrait.png", driving, result)


def test_a_result_of_another_clip_is_noticed(tmp_path: Path, astronaut: RgbImage) -> None:
    save_png(tmp_path / "portrait.png", astronaut)
    driving = write_clip(tmp_path / "driving", astronaut, np.arange(4.0))
    result = write_clip(tmp_path / "result", astronaut, np.arange(8.0))
    found = evaluate(tmp_path / "portrait.png", driving, result)
    assert (found.frames, found.result_frames) == (4, 8) and "made from that clip?" in found.table()
    assert "made from" not in evaluate(tmp_path / "portrait.png", driving, driving).table()


def test_a_missing_result_is_noticed_before_the_long_work(tmp_path: Path, astronaut: RgbImage) -> None:
    save_png(tmp_path / "portrait.png", astronaut)
    driving = write_clip(tmp_path / "driving", astronaut, np.arange(3.0))
    seen: list[int] = []
    with pytest.raises(VideoError):
        evaluate(tmp_path / "portrait.png", driving, tmp_path / "missing.mp4", progress=seen.append)
    assert not seen


def test_what_shows_no_face_is_named(tmp_path: Path, astronaut: RgbImage) -> None:
    blank = np.zeros_like(astronaut)
    save_png(tmp_path / "blank.png", blank)
    save_png(tmp_path / "portrait.png", astronaut)
    clip = write_clip(tmp_path / "clip", astronaut, np.zeros(3))
    empty = write_clip(tmp_path / "empty", blank, np.zeros(3))
    with pytest.raises(FaceError, match=r"blank\.png"):
        evaluate(tmp_path / "blank.png", clip, clip)
    for driving, result in ((clip, empty), (empty, clip)):
        with pytest.raises(FaceError, match="empty"):
            evaluate(tmp_path / "portrait.png", driving, result)


def test_a_joined_result_is_compared_as_one_clip_and_that_is_said(tmp_path: Path, astronaut: RgbImage) -> None:
    from fakes import make_clip

    save_png(tmp_path / "portrait.png", astronaut)
    driving = write_clip(tmp_path / "driving", astronaut, np.arange(12.0))
    pictures = [load_image(path) for path in sorted(driving.iterdir())]
    joined = tmp_path / "joined.ts"
    first, second = (make_clip(tmp_path / f"{n}.ts", pictures[6 * n : 6 * n + 6]) for n in range(2))
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    found = evaluate(tmp_path / "portrait.png", driving, joined)
    assert len(found.notes) == 1 and "joined recordings" in found.notes[0]
    roll = found.channels["roll"]
    assert found.frames == 12 and roll.correlation is not None and roll.correlation > 0.95
