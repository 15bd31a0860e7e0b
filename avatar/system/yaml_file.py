"""Reading of untrusted YAML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from avatar.system.limits import MAX_NESTING, MAX_YAML_BYTES, MAX_YAML_VALUES
from avatar.system.small_files import read_bytes

if TYPE_CHECKING:
    from yaml import Node


def read_yaml(path: Path) -> object:
    """Read a YAML file of mappings, lists, words and numbers, without running code.

    Aliases are allowed within limits: otherwise twenty lines could expand to a million values.

    Raises:
        OSError: it cannot be read, or is not a regular file.
        ValueError: it is too large, nested too deeply, or not YAML.
    """
    import yaml

    text = read_bytes(path, MAX_YAML_BYTES)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_extent(node)
        content: object = loader.construct_document(node)
        return content
    except RecursionError as error:
        raise ValueError("it nests too deeply") from error
    except (yaml.YAMLError, OverflowError, LookupError, AttributeError, TypeError) as error:  # such as "!!int ''"
        raise ValueError(str(error)) from error


def _check_extent(root: Node) -> None:
    """Count values with all aliases expanded. Raises ValueError if they are too many, too deep or recursive."""
    import yaml

    extents: dict[int, tuple[int, int]] = {}  # by node: values in it, levels in it
    open_nodes: set[int] = set()

    def extent(node: Node) -> tuple[int, int]:
        key = id(node)
        if key in extents:
            return extents[key]
        if key in open_nodes:
            raise ValueError("a part of it holds itself")
        open_nodes.add(key)
        if isinstance(node, yaml.MappingNode):
            parts = [extent(part) for pair in node.value for part in pair]
        else:
            parts = [extent(part) for part in node.value] if isinstance(node, yaml.SequenceNode) else []
        values = 1 + sum(count for count, _ in parts)
        levels = 1 + max((depth for _, depth in parts), default=0)
        if values > MAX_YAML_VALUES or levels > MAX_NESTING:
            raise ValueError("it stands for too many values" if values > MAX_YAML_VALUES else "it nests too deeply")
        open_nodes.discard(key)
        extents[key] = values, levels
        return extents[key]

    extent(root)
