"""Loading of a LivePortraitModel from the authors' five files, or from our single .safetensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from avatar.errors import WeightsError
from avatar.fomm.checkpoint import usable_device
from avatar.fomm.structure import clauses_of, summary
from avatar.fomm.weight_files import PARTS as FOMM_PARTS
from avatar.liveportrait.config import LivePortraitConfig
from avatar.liveportrait.layout import check_layout
from avatar.liveportrait.model import LivePortraitModel
from avatar.liveportrait.motion_extractor import MotionExtractor
from avatar.liveportrait.structure import Weights, fold_spectral_norms, motion_of, structure_of
from avatar.system.foreign_text import quoted
from avatar.system.message import Message, together
from avatar.weights.state_files import (
    BATCH_COUNT,
    fill,
    is_finite,
    is_safetensors,
    plain_tensors,
    read_pickle,
    read_safetensors,
)

# The authors' files, each with a tensor that only it holds, which detects a file under another's name.
MARKS = {
    "appearance_feature_extractor": "resblocks_3d.3dr0.conv1.weight",
    "motion_extractor": "detector.fc_kp.weight",
    "warping_module": "dense_motion_network.mask.weight",
    "spade_generator": "fc.weight",
}
EXTRACTOR = "motion_extractor"
HEADS_FILE = "stitching_retargeting_module"
HEADS = {"retarget_shoulder": "stitching", "retarget_eye": "eye_retargeting", "retarget_mouth": "lip_retargeting"}
FILES = (*MARKS, HEADS_FILE)
SUFFIXES = (".safetensors", ".pth")
_FOLDERS = (".", "base_models", "retargeting_models", "liveportrait/base_models", "liveportrait/retargeting_models")

GET_ONE = (
    "Fetch the five files: python run.py models pull liveportrait (522 MB, MIT). Or get them from "
    "huggingface.co/KwaiVGI/LivePortrait, folder liveportrait, and put them into one folder."
)


def load_liveportrait(
    folder_or_files: str | Path | Sequence[str | Path],
    config: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> LivePortraitModel:
    """Load a LivePortrait model, ready to use, in float32.

    Args:
        folder_or_files: the folder of the authors' five files (FILES, .pth or .safetensors), also in the layout of
            the authors' repository; the five files; or one .safetensors that holds all weights.
        config: a YAML file in the authors' layout, which has to fit the weights; None derives it from the weights.
        device: "cpu", "cuda", "cuda:1", "mps".
    Raises:
        WeightsError: a file is missing or damaged, holds code, another network or NaN, or they do not fit together.
        UsageError: the config does not fit.
        EngineError: there is no such device.
    """
    place = usable_device(device)
    found = _found(folder_or_files)
    weights = _whole(found) if isinstance(found, Path) else _parts(found)
    where = found if isinstance(found, Path) else found[FILES[0]].parent
    try:
        weights = fold_spectral_norms(_numbers(where, weights))
        structure = structure_of(weights)
    except ValueError as error:
        what = Message("The weights in {where} are not a LivePortrait model: {error}.", where=where, error=error)
        raise WeightsError(what, remedy=GET_ONE) from error
    if config is not None:
        check_layout(Path(config).expanduser(), structure)
    return _build(where, weights, structure).to(place)


def load_extractor(path: str | Path, device: str | torch.device = "cpu") -> MotionExtractor:
    """Load the motion extractor M alone, ready to use, in float32.

    Args:
        path: the authors' file of M, a folder that holds it, or one .safetensors that holds all weights.
        device: "cpu", "cuda", "cuda:1", "mps".
    Raises:
        WeightsError: it is missing or damaged, holds code, another network or NaN.
        EngineError: there is no such device.
    """
    place, path = usable_device(device), Path(path).expanduser()
    file = path if path.is_file() else _by_part(_named(path, (EXTRACTOR,)), _where(path), (EXTRACTOR,))[EXTRACTOR]
    if file.stem == EXTRACTOR:
        weights = _part_of(file, EXTRACTOR)
    else:
        weights = {name: x for name, x in _whole(file).items() if name.startswith(f"{EXTRACTOR}.")}
    weights = _numbers(file, weights)
    try:
        structure = motion_of(weights)
    except ValueError as error:
        what = Message("The weights in {where} are not a LivePortrait model: {error}.", where=file, error=error)
        raise WeightsError(what, remedy=GET_ONE) from error
    with torch.device("meta"):
        extractor = MotionExtractor(structure)
    _fill(file, extractor, {name.removeprefix(f"{EXTRACTOR}."): x for name, x in weights.items()})
    return extractor.to(place)


def _named(folder: Path, parts: Sequence[str]) -> list[Path]:
    """Return the paths at which the files of parts may lie in a folder."""
    return [folder / each / f"{part}{suffix}" for part in parts for each in _FOLDERS for suffix in SUFFIXES]


def _where(folder: Path) -> Message:
    return Message("in {path}", path=folder)


def _found(folder_or_files: str | Path | Sequence[str | Path]) -> Path | dict[str, Path]:
    """Return the single file that holds all weights, or the file of each part. Raises WeightsError."""
    if isinstance(folder_or_files, str | Path):
        path = Path(folder_or_files).expanduser()
        if path.is_file():
            return path
        named, where = _named(path, FILES), _where(path)
    else:
        named, where = [Path(file).expanduser() for file in folder_or_files], Message("among these files")
    return _by_part(named, where)


def _by_part(files: Iterable[Path], where: str, parts: Sequence[str] = FILES) -> dict[str, Path]:
    """Return the first existing file of each part. Raises WeightsError."""
    found: dict[str, Path] = {}
    for file in files:
        if file.is_file():
            found.setdefault(file.stem, file)
    if missing := [part for part in parts if part not in found]:
        raise WeightsError(
            Message("There is no {missing}.pth or .safetensors {where}.", missing=missing[0], where=where),
            remedy=GET_ONE,
        )
    return {part: found[part] for part in parts}


def _whole(path: Path) -> dict[str, Tensor]:
    """Read all weights, tensors of any shape by name, from one .safetensors. Raises WeightsError."""
    if not is_safetensors(path, GET_ONE):
        raise WeightsError(
            Message("{path} is one file, but not a .safetensors with all of LivePortrait.", path=path), remedy=GET_ONE
        )
    return read_safetensors(path, GET_ONE)[0]


def _parts(files: Mapping[str, Path]) -> dict[str, Tensor]:
    """Read the weights, tensors of any shape by name, from the authors' five files. Raises WeightsError."""
    weights: dict[str, Tensor] = {}
    for part in MARKS:
        weights |= _part_of(files[part], part)
    return weights | _heads(files[HEADS_FILE])


def _part_of(path: Path, part: str) -> dict[str, Tensor]:
    """Read the weights, tensors of any shape by our names, of one of the authors' files. Raises WeightsError."""
    values, mark = _part(path, part), MARKS[part]
    if mark not in values:
        held = next((other for other, its in MARKS.items() if its in values), None)
        what = (
            _other_part(path, part, held)
            if held
            else Message("{path} is not the {part}: it lacks {missing}.", path=path, part=part, missing=mark)
        )
        raise WeightsError(what, remedy=GET_ONE)
    return {f"{part}.{name}": x for name, x in values.items()}


def _other_part(path: Path, part: str, held: str) -> Message:
    return Message("{path} is not the {part}: it holds the weights of {held}.", path=path, part=part, held=held)


def _part(path: Path, part: str) -> dict[str, Tensor]:
    """Read the weights, tensors of any shape by name, of one of the authors' files. Raises WeightsError."""
    if is_safetensors(path, GET_ONE):
        return read_safetensors(path, GET_ONE)[0]
    content = read_pickle(path, GET_ONE)
    if not isinstance(content, Mapping):
        raise WeightsError(Message("{path} holds no weights.", path=path), remedy=GET_ONE)
    if isinstance(content.get(FOMM_PARTS[0]), Mapping):
        what = Message("{path} is not the {part}: it is a checkpoint for the engine fomm.", path=path, part=part)
        raise WeightsError(what, remedy=GET_ONE)
    if any(isinstance(content.get(head), Mapping) for head in HEADS):
        raise WeightsError(_other_part(path, part, HEADS_FILE), remedy=GET_ONE)
    return plain_tensors(path, content, GET_ONE)


def _heads(path: Path) -> dict[str, Tensor]:
    """Read the weights, tensors of any shape by name, of the three small networks.

    They are nested in the authors' file and flat in a .safetensors.

    Raises:
        WeightsError: a network is missing.
    """
    if is_safetensors(path, GET_ONE):
        flat: dict[str, object] = dict(read_safetensors(path, GET_ONE)[0])
    else:
        content = read_pickle(path, GET_ONE)
        nested = content if isinstance(content, Mapping) else {}
        states = {head: nested.get(head) for head in HEADS}
        known = {head: state for head, state in states.items() if isinstance(state, Mapping)}
        flat = {f"{head}.{name}": x for head, state in known.items() for name, x in state.items()}
    weights: dict[str, Tensor] = {}
    for name, x in plain_tensors(path, flat, GET_ONE).items():
        head, _, rest = name.partition(".")
        if head in HEADS:
            weights[f"{HEADS[head]}.{rest.removeprefix('module.')}"] = x
    if missing := [head for head, ours in HEADS.items() if not any(name.startswith(f"{ours}.") for name in weights)]:
        raise WeightsError(
            Message(
                "{path} is not the {part}: it lacks {missing}.",
                path=path,
                part=HEADS_FILE,
                missing=missing[0],
            ),
            remedy=GET_ONE,
        )
    return weights


def _numbers(where: Path, weights: Weights) -> dict[str, Tensor]:
    """Convert tensors of any shape to float32, and drop counters. Raises WeightsError for NaN or infinity."""
    numbers = {name: x.to(torch.float32) for name, x in weights.items() if not name.endswith(BATCH_COUNT)}
    for name, x in numbers.items():
        if not is_finite(x):
            what = Message(
                "The weights in {where} hold NaN or infinite numbers in {name}.", where=where, name=quoted(name)
            )
            raise WeightsError(what, remedy=together("A file is damaged.", GET_ONE))
    return numbers


def _build(where: Path, weights: Weights, config: LivePortraitConfig) -> LivePortraitModel:
    with torch.device("meta"):  # saves initialising 130 million weights that the files then replace
        model = LivePortraitModel(config)
    _fill(where, model, weights)
    return model


def _fill(where: Path, model: nn.Module, weights: Weights) -> None:
    """Load the weights into a model created on the meta device. Raises WeightsError: they do not fit it."""
    wanted = {name: tuple(x.shape) for name, x in model.state_dict().items() if not name.endswith(BATCH_COUNT)}
    if clauses := clauses_of({name: tuple(x.shape) for name, x in weights.items()}, wanted):
        what = Message(
            "The weights in {where} do not fit each other: {summary}.", where=where, summary=summary(clauses)
        )
        raise WeightsError(what, remedy=together("A file is incomplete, or they are of different models.", GET_ONE))
    fill(model, weights)
