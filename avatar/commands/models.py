"""`run.py models`: the weight files: list, pull, import, verify, convert, export."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from avatar import stored, weights
from avatar.errors import WeightsError
from avatar.foreign_text import MOST_OF_SENTENCE, shown, typed
from avatar.manifest import measure
from avatar.progress import ProgressBar


def add_parser(subparsers: Any) -> None:
    """Add `models` and its actions to the command line."""
    parser = subparsers.add_parser("models", help="list, fetch, import and verify weight files")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="what is known, and what is here")
    pull = actions.add_parser("pull", help="fetch models (without a name: those that are needed)")
    pull.add_argument("names", metavar="NAME", nargs="*")
    take = actions.add_parser("import", help="take in a file that you have")
    take.add_argument("name", metavar="NAME")
    take.add_argument("file", metavar="FILE", type=Path)
    actions.add_parser("verify", help="read every file that is here and compare its hash")
    convert = actions.add_parser("convert", help="make a small, safe file of a First Order Motion Model checkpoint")
    convert.add_argument("checkpoint", metavar="CHECKPOINT", help="a model's name, or a .pth.tar or .safetensors file")
    convert.add_argument("-o", "--output", metavar="FILE.safetensors", type=Path, required=True)
    convert.add_argument("--config", metavar="NAME|YAML", help="default: read off the weights")
    export = actions.add_parser("export", help="write a First Order Motion Model as ONNX: encoder, detector, generator")
    export.add_argument("checkpoint", metavar="NAME|FILE", help="a model's name, or a .pth.tar or .safetensors file")
    export.add_argument("-o", "--output", metavar="FOLDER", type=Path, required=True)
    export.add_argument("--config", metavar="NAME|YAML", help="default: read off the weights")
    export.add_argument("--half", action="store_true", help="the generator in float16, for CUDA")


def run(args: argparse.Namespace) -> int:
    """Do one action and return the exit code."""
    if args.action == "list":
        return _list()
    if args.action == "pull":
        return pull(args.names or weights.needed_models())
    if args.action == "import":
        return _import(args.name, args.file)
    if args.action == "convert":
        return _convert(args.checkpoint, args.output, args.config)
    if args.action == "export":
        return _export(args.checkpoint, args.output, args.config, half=args.half)
    return _verify()


def _list() -> int:
    print(f"{'model':<16} {'size':>9}  {'licence':<13} {'state':<16} about")
    for model in weights.list_models():
        weight = model.weight
        size = f"{weight.bytes / 1e6:.1f} MB" if weight.bytes is not None else "?"
        how = model.state if model.state != stored.MISSING or weight.downloadable else "import only"
        print(f"{weight.name:<16} {size:>9}  {weight.licence:<13} {how:<16} {weight.about}")
    print(f"\nFolder: {shown(weights.models_folder(), MOST_OF_SENTENCE)}")
    return 0


def pull(names: list[str]) -> int:
    """Fetch models one after the other, with a progress bar each."""
    for name in names:
        weights.find(name)  # a wrong name is noticed before the first of several long downloads
    for name in names:
        with ProgressBar(name, None, "B") as bar:
            path = weights.pull(name, bar.update, on_wait=lambda: _note("Another Masque is fetching it: waiting ..."))
        _note(f"{name}: {shown(path, MOST_OF_SENTENCE)}")
    return 0


def _import(name: str, file: Path) -> int:
    path = weights.import_file(name, file)
    print(f"{name}: {shown(path, MOST_OF_SENTENCE)}")
    if not weights.find(name).recognisable:
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
    from avatar.engine.fomm.choice import choose_model
    from avatar.fomm import convert_checkpoint
    from avatar.outputs.target import check_apart, files_named

    path, output = choose_model(checkpoint).path, output.expanduser()
    check_apart([output], [path, *files_named(config)])
    size = convert_checkpoint(path, output, config)
    print(f"{shown(output, MOST_OF_SENTENCE)}: {size / 1e6:.1f} MB, from {path.stat().st_size / 1e6:.1f} MB")
    return 0


def _export(checkpoint: str, folder: Path, config: str | None, *, half: bool) -> int:
    from avatar.engine.fomm.choice import choose_model
    from avatar.fomm import load_checkpoint
    from avatar.fomm.onnx_export import FILES, check_can_export, export_onnx
    from avatar.outputs.target import check_apart, files_named

    check_can_export()
    source, folder = choose_model(checkpoint).path, folder.expanduser()
    check_apart([folder / name for name in FILES], [source, *files_named(config)])
    for path in export_onnx(load_checkpoint(source, config), folder, half=half):
        print(f"{shown(path, MOST_OF_SENTENCE)}: {path.stat().st_size / 1e6:.1f} MB")
    _note(f"Draw with it: python run.py animate SOURCE DRIVING -o OUT --engine fomm --model {typed(folder)}")
    return 0


def _note(text: str) -> None:
    print(text, file=sys.stderr)
