"""Opening an engine, and what every engine promises."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeTracker

from avatar.engine import ENGINES, AvatarEngine, open_engine
from avatar.engine.fomm.engine import FommEngine
from avatar.engine.warp.engine import WarpEngine, WarpOptions
from avatar.errors import EngineError, WeightsError
from avatar.frames import Frame


@pytest.fixture
def models(face_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(face_model.parent))


def test_an_unknown_engine_is_refused_with_the_choice() -> None:
    with pytest.raises(EngineError, match="no engine called 'deepfake'") as raised:
        open_engine("deepfake")
    assert all(name in raised.value.remedy for name in ENGINES)


def test_without_its_models_an_engine_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MASQUE_MODELS", str(tmp_path))
    with pytest.raises(WeightsError) as raised:
        open_engine()
    assert "models pull" in raised.value.remedy


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small First Order Motion Model with random weights."""
    from tests.fomm_samples import authors_state, sample_model, save_checkpoint

    path = tmp_path_factory.mktemp("fomm") / "small-cpk.pth.tar"
    return save_checkpoint(path, authors_state(sample_model("at 128 px"), pruned=True))


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_opens_does_its_work_and_closes_twice(name: str, models: None, checkpoint: Path) -> None:
    portrait = Frame(_astronaut(), 0, 0)
    engine: AvatarEngine = open_engine(name, **{"model": checkpoint} if name == "fomm" else {})
    engine.set_source(portrait)
    engine.calibrate(Frame(_astronaut(), 4, 40))
    drawn = engine.animate(Frame(_astronaut(), 5, 50))
    assert drawn.rgb.shape == portrait.rgb.shape and (drawn.sequence, drawn.captured_ns) == (5, 50)
    if name == "warp":  # random weights draw nobody
        assert np.abs(drawn.rgb.astype(int) - portrait.rgb).mean() < 3
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="no portrait"):
        engine.animate(Frame(_astronaut(), 6, 60))


@pytest.mark.parametrize("kind", [WarpEngine, FommEngine])
@pytest.mark.parametrize("method", [name for name in vars(AvatarEngine) if not name.startswith("_")])
def test_every_engine_can_be_called_as_any_engine_is(method: str, kind: type) -> None:
    promised = list(inspect.signature(getattr(AvatarEngine, method)).parameters.values())
    given = list(inspect.signature(getattr(kind, method)).parameters.values())
    assert [each.name for each in given[: len(promised)]] == [each.name for each in promised]
    assert all(each.default is not inspect.Parameter.empty for each in given[len(promised) :])


def test_options_reach_the_engine(models: None) -> None:
    engine = open_engine("warp", size=100, relative=False, strength_head=0.5)
    assert isinstance(engine, WarpEngine)
    assert engine.options == WarpOptions(size=100, relative=False, strength_head=0.5)
    engine.close()


def test_an_unknown_option_is_not_swallowed(models: None) -> None:
    with pytest.raises(TypeError, match="strengh"):
        open_engine("warp", strengh=1.0)


def test_closing_an_engine_closes_its_tracker() -> None:
    tracker = FakeTracker()
    engine = WarpEngine(tracker)  # type: ignore[arg-type]
    engine.close()
    assert tracker.closed


def _astronaut() -> np.ndarray:
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut()[:256, 96:352])
