"""The commands of `run.py`, one module each: `add_parser(subparsers)` and `run(args) -> exit code`.

Modules import what is heavy inside `run`: a command's `--help` needs none of it.
"""
