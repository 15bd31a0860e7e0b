"""`run.py models`: list, pull, import, verify, convert and export weight files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from avatar import weights
from avatar.errors import UsageError, WeightsError
from avatar.reports.progress import ProgressBar
from avatar.system.foreign_text import MOST_OF_SENTENCE, shown, typed
from avatar.system.installation import COMMAND
from avatar.weights import stored
from avatar.weights.manifest import measure


def add_parser(subparsers: Any) -> None:
    """Add `models` and its actions to the command line."""
    parser = subparsers.add_parser("models", help="list, fetch, import and verify weight files")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="what is known, and what is here")
    pull = actions.add_parser("pull", help="fetch models (without a name: those that are needed)")
    pull.add_argument("names", metavar="NAME", nargs="*")
    take = actions.add_parser("import", help="import a file that you have, or a folder of several")
    take.add_argument("name", metavar="NAME")
    take.add_argument("file", metavar="FILE|FOLDER", type=Path)
    actions.add_parser("verify", help="read every file that is here and compare its hash")
    convert = actions.add_parser("convert", help="make a small, safe file of a model of fomm or liveportrait")
    convert.add_argument(
        "checkpoint", metavar="CHECKPOINT",
        help="a model's name, a .pth.tar or .safetensors file, or the folder of LivePortrait's files",
    )  # fmt: skip
    convert.add_argument("-o", "--output", metavar="FILE.safetensors", type=Path, required=True)
    convert.add_argument("--config", metavar="NAME|YAML", help="default: read off the weights")
    export = actions.add_parser("export", help="write a model of fomm or liveportrait as ONNX, in three files")
    export.add_argument(
        "checkpoint", metavar="NAME|FILE|FOLDER",
        help="a model's name, a .pth.tar or .safetensors file, or the folder of LivePortrait's files",
    )  # fmt: skip
    export.add_argument("-o", "--output", metavar="FOLDER", type=Path, required=True)
    export.add_argument("--config", metavar="NAME|YAML", help="default: read off the weights")
    export.add_argument("--half", action="store_true", help="for fomm: the generator in float16, for CUDA")
    export.add_argument(
        "--engine", choices=("fomm", "liveportrait"),
        help="whose a .safetensors file is (default: fomm; names and folders say it themselves)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run one action and return the exit code."""
    if args.action == "list":
        return _list()
    if args.action == "pull":
        return pull(args.names or weights.needed_models())
    if args.action == "import":
        return _import(args.name, args.file)
    if args.action == "convert":
        return _convert(args.checkpoint, args.output, args.config)
    if args.action == "export":
        is_liveportrait = _is_liveportrait(args.checkpoint) if args.engine is None else args.engine == "liveportrait"
        export = _export_liveportrait if is_liveportrait else _export
        return export(args.checkpoint, args.output, args.config, half=args.half)
    return _verify()


def _list() -> int:
    print(f"{'model':<32} {'size':>9}  {'licence':<13} {'state':<16} about")
    for model in weights.list_models():
        weight = model.weight
        size = f"{weight.bytes / 1e6:.1f} MB" if weight.bytes is not None else "?"
        how = model.state if model.state != stored.MISSING or weight.downloadable else "import only"
        print(f"{weight.name:<32} {size:>9}  {weight.licence:<13} {how:<16} {weight.about}")
    print(f"\nFolder: {shown(weights.models_folder(), MOST_OF_SENTENCE)}")
    return 0


def pull(names: list[str]) -> int:
    """Fetch models one after the other, with a progress bar each."""
    for name in names:
        weights.members(name)  # fails for a wrong name before the first download
    for name in names:
        _announce(name)
        with ProgressBar(name, None, "B") as bar:
            path = weights.pull(name, bar.update, on_wait=lambda: _note("Another Masque is fetching it: waiting ..."))
        _note(f"{name}: {shown(path, MOST_OF_SENTENCE)}")
    return 0


def _announce(name: str) -> None:
    """Say how much is fetched, and under which licence."""
    parts = [weights.find(each) for each in weights.members(name)]
    size = sum(part.bytes or 0 for part in parts)
    files = f"{len(parts)} files, " if len(parts) > 1 else ""
    known = f"{size / 1e6:.1f} MB, " if size else ""
    licences = ", ".join(dict.fromkeys(part.licence for part in parts))
    _note(f"{name}: {files}{known}licence {licences}")


def _import(name: str, file: Path) -> int:
    parts = [weights.find(each) for each in weights.members(name)]
    taken = weights.import_set(name, file) if parts[0].name != name else [weights.import_file(name, file)]
    for path in taken:
        print(f"{name}: {shown(path, MOST_OF_SENTENCE)}")
        if not next(part for part in parts if part.file == path.name).recognisable:
            print(f"Its hash was not known; remembered: {measure(path).sha256}")
    return 0


def _verify() -> int:
    failed = 0
    for model in weights.list_models():
        if model.state == stored.MISSING:
            continue
        try:
            path = shown(weights.verify(model.weight.name), MOST_OF_SENTENCE)
            print(f"{model.weight.name}: sound ({path})", flush=True)
        except WeightsError as error:
            failed += 1
            print(f"{error.what}\n{error.remedy}", file=sys.stderr)
    return 1 if failed else 0


def _convert(checkpoint: str, output: Path, config: str | None) -> int:
    from avatar.engines.fomm.choice import choose_model
    from avatar.fomm import convert_checkpoint
    from avatar.outputs.files.target import check_apart, files_named

    output = output.expanduser()
    if _is_liveportrait(checkpoint):
        return _convert_liveportrait(checkpoint, output, config)
    path = choose_model(checkpoint).path
    check_apart([output], [path, *files_named(config)])
    size = convert_checkpoint(path, output, config)
    print(f"{shown(output, MOST_OF_SENTENCE)}: {size / 1e6:.1f} MB, from {path.stat().st_size / 1e6:.1f} MB")
    return 0


def _is_liveportrait(checkpoint: str) -> bool:
    """Return whether a word names one of LivePortrait's models, or a folder, as only they are."""
    from avatar.engines.liveportrait.choice import sets

    return checkpoint in sets() or Path(checkpoint).expanduser().is_dir()


def _convert_liveportrait(named: str, output: Path, config: str | None) -> int:
    from avatar.engines.liveportrait.choice import choose_weights
    from avatar.liveportrait.convert import convert_liveportrait
    from avatar.outputs.files.target import check_apart

    if config is not None:
        raise UsageError("LivePortrait's structure is derived from its weights.", remedy="Leave --config out.")
    folder = choose_weights(named)
    check_apart([output], [each for each in folder.rglob("*") if each.is_file()])
    size = convert_liveportrait(folder, output)
    print(f"{shown(output, MOST_OF_SENTENCE)}: {size / 1e6:.1f} MB")
    return 0


def _export(checkpoint: str, folder: Path, config: str | None, *, half: bool) -> int:
    from avatar.engines.fomm.choice import choose_model
    from avatar.fomm import load_checkpoint
    from avatar.fomm.onnx_export import FILES, check_can_export, export_onnx
    from avatar.outputs.files.target import check_apart, files_named

    check_can_export()
    source, folder = choose_model(checkpoint).path, folder.expanduser()
    check_apart([folder / name for name in FILES], [source, *files_named(config)])
    for path in export_onnx(load_checkpoint(source, config), folder, half=half):
        print(f"{shown(path, MOST_OF_SENTENCE)}: {path.stat().st_size / 1e6:.1f} MB")
    _note(f"Draw with it: {COMMAND} animate SOURCE DRIVING -o OUT --engine fomm --model {typed(folder)}")
    return 0


def _export_liveportrait(named: str, folder: Path, config: str | None, *, half: bool) -> int:
    from avatar.engines.liveportrait.choice import choose_weights
    from avatar.fomm.onnx_export import check_can_export
    from avatar.liveportrait import load_liveportrait
    from avatar.liveportrait.onnx_check import largest_difference
    from avatar.liveportrait.onnx_export import FILES, export_onnx
    from avatar.outputs.files.target import check_apart, files_named

    if half:
        raise UsageError("LivePortrait is exported in float32.", remedy="Leave --half out.")
    check_can_export()
    source, folder = choose_weights(named), folder.expanduser()
    given = [each for each in source.rglob("*") if each.is_file()] if source.is_dir() else [source]
    check_apart([folder / name for name in FILES], [*given, *files_named(config)])
    model = load_liveportrait(source, config)
    for path in export_onnx(model, folder):
        print(f"{shown(path, MOST_OF_SENTENCE)}: {path.stat().st_size / 1e6:.1f} MB")
    if (difference := largest_difference(model, folder)) is not None:
        print(f"Largest difference from torch, of images in [0, 1], in ONNX Runtime on the processor: {difference:.1e}")
    return 0


def _note(text: str) -> None:
    print(text, file=sys.stderr)
