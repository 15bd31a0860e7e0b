"""`run.py train CONFIG`: trains a First Order Motion Model on images of your own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from avatar.errors import UsageError
from avatar.system.foreign_text import MOST_OF_SENTENCE, shown
from avatar.system.installation import INSTALLED
from avatar.system.message import Message

SEVERAL_GPUS = "torchrun --nproc-per-node N " + (
    "-m ui train CONFIG" if INSTALLED else "run.py train CONFIG --no-setup"
)
_HELP = f"""\
CONFIG   a recipe, such as recipes/face.yaml: folders of clips, pairs and stills, networks, losses, steps

Reads the folders once into OUT/pack.safetensors, then trains until the steps or the minutes are used up. OUT then holds
model.safetensors (for animate --engine fomm --model), a checkpoint to resume from, contact sheets of held-out examples,
and the losses (metrics.jsonl, and TensorBoard's where it is installed).
Several GPUs: {SEVERAL_GPUS}"""


def add_parser(subparsers: Any) -> None:
    """Add `train` and its options to the command line."""
    parser = subparsers.add_parser(
        "train",
        help="train a First Order Motion Model on pictures of your own",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("config", metavar="CONFIG", type=Path, help="the recipe")
    add("-o", "--output", metavar="OUT", type=Path, help="where everything goes (default: runs/NAME)")
    add("--data", metavar="FOLDER", type=Path, help="what the recipe's folders are in (default: the recipe's own)")
    add("--pack", metavar="FILE", type=Path, help="a pack made before, instead of reading folders")
    add("--prepare", action="store_true", help="only make the pack")
    add("--resume", action="store_true", help="resume from OUT's checkpoint")
    add("--minutes", metavar="N", type=_minutes, help="stop after this time, with a checkpoint")
    add("--fit", action="store_true", help="as many steps as fit into --minutes, instead of the recipe's")
    add("--steps", metavar="N", type=int, help="instead of the recipe's")
    add("--device", metavar="auto|cpu|cuda|mps", default="auto", help="where to train (default: auto)")
    add("--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="default: bfloat16 on CUDA")
    add("--teacher-first", action="store_true", help="wait for all of the teacher's pictures: exactly repeatable")
    add("--compile", action="store_true", help="compile the generator first; pays for runs of many minutes")


def run(args: argparse.Namespace) -> int:
    """Train and return the exit code."""
    import dataclasses

    from avatar.outputs.files.target import check_apart, files_named
    from avatar.training.config import read_recipe
    from avatar.training.pack import load_pack, save_pack
    from avatar.training.run import CHECKPOINT, METRICS, MODEL, SHEETS

    config = read_recipe(args.config)
    if args.steps is not None:
        if args.steps < 1:
            raise UsageError(
                Message("--steps {steps} leaves nothing to do.", steps=args.steps), remedy="Give 1 or more."
            )
        config = dataclasses.replace(config, steps=args.steps)
    output = args.output or Path("runs") / config.name
    path = args.pack or output / "pack.safetensors"
    written = [output / name for name in (MODEL, CHECKPOINT, METRICS, SHEETS)]
    check_apart(written, [args.config, path, *files_named(args.data)])
    if args.pack is None and not path.is_file():
        from avatar.training.prepare import prepare

        save_pack(prepare(config.data, args.data or args.config.parent, config.size, print), path)
    pack = load_pack(path)
    if pack.size != config.size:
        remedy = Message("Delete {path} to create it again, or set size: {size}.", path=path, size=pack.size)
        what = Message(
            "The pack holds images of {size} px, the recipe asks for {wanted}.",
            size=pack.size,
            wanted=config.size,
        )
        raise UsageError(what, remedy=remedy)
    if args.prepare:
        print(f"{shown(path, MOST_OF_SENTENCE)}: {len(pack.images)} pictures, {path.stat().st_size / 1e6:.0f} MB")
        return 0
    return _train(args, config, path, output)


def _train(args: argparse.Namespace, config: Any, pack: Path, output: Path) -> int:
    from avatar.training.run import MODEL, RunOptions, train

    device = _device(args.device)
    half = args.precision == "bfloat16" or (args.precision == "auto" and device.type == "cuda")
    options = RunOptions(
        output, device, half, args.minutes, args.fit, args.resume, args.teacher_first, compiled=args.compile
    )
    precision = "bfloat16" if half else "float32"
    print(f"Training {config.name} on {device} in {precision}, {config.steps} steps.", flush=True)
    try:
        result = train(config, pack, options, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        name = shown(output, MOST_OF_SENTENCE)
        print(f"\nStopped. {name} holds the last checkpoint, if there was one: go on with --resume.")
        return 1
    print(f"{result.steps} steps in {result.seconds:.0f} s: {shown(output / MODEL, MOST_OF_SENTENCE)}")
    return 0


def _device(text: str) -> Any:
    import torch

    from avatar.fomm.checkpoint import usable_device

    if text == "auto":
        text = "cuda" if torch.cuda.is_available() else "cpu"  # MPS does not support some of the derivatives
    return usable_device(text)


def _minutes(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a time")
    return value
