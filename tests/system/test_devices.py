"""Devices: the choice, its reason, and devices that are not available."""

from __future__ import annotations

import pytest
import torch

from avatar.errors import EngineError, UsageError
from avatar.system.devices import check_device_name, choose_device


def machine(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False, built: bool = True) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0" if built else None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Card {index}")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


def test_auto_takes_the_quickest_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=2, mps=True)
    assert str(choose_device()) == "cuda:0 (Card 0): auto uses a CUDA GPU if there is one"
    machine(monkeypatch, mps=True)
    assert choose_device().name == "mps" and "no CUDA device was found" in choose_device().why
    machine(monkeypatch, built=False)
    assert choose_device().name == "cpu"
    assert choose_device().why == "auto; this torch was built without CUDA, and there is no Apple GPU"


def test_what_was_asked_for_is_taken_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=2)
    assert choose_device("cuda").name == "cuda:0" and choose_device("cuda:1").about == "Card 1"
    assert choose_device("cpu").why == "asked for"
    with pytest.raises(EngineError, match="no device cuda:2; there are 2"):
        choose_device("cuda:2")
    machine(monkeypatch)
    for name, lacking in (("cuda", "no CUDA device was found"), ("mps", "no Apple GPU")):
        with pytest.raises(EngineError, match=lacking) as raised:
            choose_device(name)
        assert "--device auto or cpu" in raised.value.remedy


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "", "cuda:-1"])
def test_other_words_are_wrong_use(name: str) -> None:
    with pytest.raises(UsageError, match="no device called"):
        check_device_name(name)
