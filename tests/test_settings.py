"""Settings: saved values are restored, and invalid ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.errors import SetupError
from avatar.settings import (
    BACKGROUNDS,
    FITS,
    ZOOMS,
    CalibrationSettings,
    CameraSettings,
    CanvasSettings,
    CropSettings,
    MotionSettings,
    Settings,
    load_settings,
    save_settings,
    settings_path,
)

STRENGTH = st.floats(0.0, 2.0)
NAMES = st.text(st.characters(exclude_categories=["Cs"]))  # half a surrogate pair is no text
SIDE, PAN, ON = st.integers(16, 8192), st.floats(-1.0, 1.0), st.booleans()
CAMERA = st.builds(CameraSettings, NAMES, SIDE, SIDE, st.integers(1, 240), ON)
CROP = st.builds(CropSettings, ON, ON, st.floats(1.0, 4.0), PAN, PAN)
MOTION = st.builds(MotionSettings, ON, ON, STRENGTH, STRENGTH, ON)
CALIBRATION = st.builds(CalibrationSettings, ON, ON)
CANVAS_SIDE = st.integers(16, 2900)
PLACE = st.tuples(st.floats(*ZOOMS), st.floats(-4, 4), st.floats(-4, 4)).map(list)
CANVAS = st.builds(
    CanvasSettings,
    CANVAS_SIDE,
    CANVAS_SIDE,
    st.sampled_from(FITS),
    ON,
    ON,
    st.sampled_from(BACKGROUNDS),
    st.from_regex("#[0-9a-f]{6}", fullmatch=True),
    NAMES,
    st.dictionaries(NAMES, PLACE, max_size=3),
)


@given(st.builds(Settings, NAMES, st.integers(1, 64), CAMERA, CROP, MOTION, CALIBRATION, CANVAS))
def test_what_is_saved_comes_back(settings: Settings) -> None:
    save_settings(settings)
    assert load_settings() == settings


def test_without_a_file_everything_has_its_default(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "absent.toml") == Settings()


def test_what_the_file_does_not_name_keeps_its_default(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("from_a_newer_version = 1\n[motion]\nstrength_head = 2\n[colours]\nred = 1\n")
    assert load_settings(file) == Settings(motion=MotionSettings(strength_head=2.0))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("threads = ", "Invalid value"),
        ("threads = 0", "threads must be from 1 to 64"),
        ("threads = true", "threads must be of type int, got True"),
        ("motion = 3", "expected a table, got 3"),
        ("[motion]\nstrength_head = 2.5", "strength_head must be from 0 to 2"),
        ("[motion]\nstrength_head = nan", "strength_head must be from 0 to 2"),
        ("[camera]\nrate = 0", "rate must be from 1 to 240"),
        ("[crop]\nzoom = 5", "zoom must be from 1 to 4"),
        ("[canvas]\nfit = 'stretch'", "fit must be one of blur, fit, fill"),
        ("[canvas]\nbackground = 'sea'", "background must be one of own, blur"),
        ("[canvas]\nbackground_colour = 'blue'", "background_colour must be like #2f5d8a"),
        ("[canvas]\nplaces = {Ann = [1.0, 2.0]}", "places: Ann must be three numbers"),
        ("[canvas]\nplaces = {Ann = [99.0, 0.0, 0.0]}", "zoom must be from 0.25 to 8"),
        ("[motion]\nrelative = 'yes'", "relative must be of type bool"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(SetupError) as failure:
        load_settings(file)
    assert reason in failure.value.what and str(file) in failure.value.what and "delete" in failure.value.remedy


def test_a_failed_save_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").mkdir()  # cannot be replaced by a file, whoever runs the tests
    with pytest.raises(SetupError, match="cannot be saved"):
        save_settings(Settings(), tmp_path / "settings.toml")
    assert [path.name for path in tmp_path.iterdir()] == ["settings.toml"]


def test_the_users_folder_is_the_place_without_an_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASQUE_SETTINGS")
    assert settings_path().name == "settings.toml" and "masque" in str(settings_path())


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('avatar = "rusty"\n', encoding="utf-8-sig")
    assert load_settings(path).avatar == "rusty"


def test_a_link_to_the_settings_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.toml", tmp_path / "settings.toml"
    link.symlink_to(real)
    for avatar in ("rusty", "bolt"):  # the first one makes the file
        save_settings(Settings(avatar=avatar), link)
        assert link.is_symlink() and load_settings(real).avatar == avatar


@pytest.mark.parametrize("text", ["threads" + ".a" * 900 + " = 1", "a = " + "[" * 5000, "threads = " + "9" * 5000])
def test_settings_that_no_parser_likes_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(SetupError, match="cannot be used"):
        load_settings(path)


@pytest.mark.parametrize(("width_px", "height_px"), [(4096, 2160), (8192, 1080), (2160, 4096)])
def test_a_canvas_up_to_the_budget(width_px: int, height_px: int) -> None:
    assert CanvasSettings(width_px, height_px).width_px == width_px


@pytest.mark.parametrize(("width_px", "height_px"), [(8192, 8192), (4096, 2161), (8192, 1081)])
def test_a_canvas_over_the_budget(width_px: int, height_px: int, tmp_path: Path) -> None:
    """Every side alone is allowed; an encoder would hold several frames of 200 MB."""
    path = tmp_path / "settings.toml"
    path.write_text(f"[canvas]\nwidth_px = {width_px}\nheight_px = {height_px}\n")
    with pytest.raises(SetupError, match=r"the limit is 8\.8 megapixels"):
        load_settings(path)
