"""Reading YAML that a stranger may have written."""

from __future__ import annotations

from pathlib import Path

MAX_BYTES = 1_000_000  # of our files and of the published ones, the largest has 3 kB


def read_yaml(path: Path) -> object:
    """What a YAML file holds: mappings, lists, words and numbers, and nothing that runs.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, or no YAML.
        RecursionError: it nests without end.
    """
    import yaml

    with path.open("rb") as stream:
        text = stream.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise ValueError("it is too large")
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
