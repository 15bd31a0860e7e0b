"""The commands of `run.py`, one module each: `add_parser(subparsers)` and `run(args) -> exit code`.

Heavy packages are imported inside `run`, because a command's `--help` does not need them.
"""
