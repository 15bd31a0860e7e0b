"""Two rules for docstrings that ruff does not check; its D401 checks that functions begin with an imperative."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from places import ROOT

CLAUSES = {"How", "That", "What", "Whatever", "When", "Where", "Whether", "Which", "Who", "Whoever", "Whose", "Why"}
ARRAYS = re.compile(
    r"\b(NDArray|ndarray|ArrayLike|Tensor|FloatArray|Float64Array|Float64|Floats|_Uint8|RgbImage|RgbaImage|AlphaImage"
    r"|Mask|Indices|Places|Numbers|Levels)\b"
)
# "(H, W, 3)", "(N + 1,)", "(..., 2)", "(...)", "any shape", "scalar"
SHAPE = re.compile(r"\((\S+?|\w+ [-+*/] \w+),( [^()]*)?\)|\(\.\.\.\)|\bany shape\b|\bscalars?\b")

Function = ast.FunctionDef | ast.AsyncFunctionDef
FILES = sorted(path for folder in ("avatar", "ui", "tools") for path in (ROOT / folder).rglob("*.py"))


def clauses(text: str) -> list[str]:
    """First lines of docstrings that are a clause ("Whether it runs.") instead of a noun phrase or an imperative."""
    documented = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Module | ast.ClassDef | Function))
    docstrings = [ast.get_docstring(node) or "" for node in documented]
    return [each.splitlines()[0] for each in docstrings if each and re.split(r"\W", each)[0] in CLAUSES]


def shapeless(text: str) -> list[str]:
    """Private and nested functions that take or return an array and state no shape."""
    return [
        function.name
        for function in internal_functions(ast.parse(text))
        if ARRAYS.search(signature(function)) and not SHAPE.search(statement(function, text.splitlines()))
    ]


def internal_functions(node: ast.AST, nested: bool = False) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function) and (nested or re.match("_[^_]", child.name)):
            yield child
        yield from internal_functions(child, nested or isinstance(child, Function))


def signature(function: Function) -> str:
    """The annotations."""
    return " ".join([ast.unparse(function.args), ast.unparse(function.returns) if function.returns else ""])


def statement(function: Function, lines: list[str]) -> str:
    """The docstring and the comments within the signature."""
    comments = [line.partition("#")[2] for line in lines[function.lineno - 1 : function.body[0].lineno - 1]]
    return " ".join([*comments, ast.get_docstring(function) or ""])


def test_docstrings_are_noun_phrases_or_imperatives() -> None:
    found = [(str(path.relative_to(ROOT)), line) for path in FILES for line in clauses(path.read_text("utf-8"))]
    assert not found


def test_internal_functions_state_the_shape_of_arrays() -> None:
    found = [(str(path.relative_to(ROOT)), name) for path in FILES for name in shapeless(path.read_text("utf-8"))]
    assert not found


@pytest.mark.parametrize(
    "text",
    ['"""What is drawn."""', 'def f():\n    """Whether it runs."""', 'class A:\n    """Who\'s who."""'],
)
def test_a_clause_is_found(text: str) -> None:
    assert clauses(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def _f(x: FloatArray) -> None: ...", True),
        ('def f():\n    def g(x) -> "RgbImage":\n        """Crop an image (carefully)."""', True),
        ("def f(x: FloatArray) -> None: ...", False),
        ('def _f(x: FloatArray) -> None:\n    """Scale (N, 2) points."""', False),
        ("def _f(\n    x: FloatArray,  # (N,)\n) -> None:\n    pass", False),
        ("def _f(x: int) -> None: ...", False),
    ],
)
def test_a_missing_shape_is_found(text: str, found: bool) -> None:
    assert bool(shapeless(text)) == found
