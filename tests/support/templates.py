"""Finds the sentences that `avatar` and `ui` say to people, and f-strings where none may be.

A sentence stands where an error, a remark or a note is made, in a `Message`, or in a variable or function of the same
file that ends there.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import avatar.errors
from avatar.system.installation import FRESH_COPY, FRESH_WHEEL
from avatar.tracking.marks import MARKS
from avatar.weights.manifest import read_manifest, read_sets

ROOT = Path(__file__).resolve().parents[2]
SILENT = ("bootstrap",)  # speaks before there is a window
ERRORS = {name for name, kind in vars(avatar.errors).items() if isinstance(kind, type)}
SAID = ERRORS | {
    "ChangeRefusedError", "CancelledError", "NoChipError", "Remark", "SourceNote", "SourceLost", "CalibrationRefused",
    "SystemKeysError",
    "Check",
}  # fmt: skip
MARK = {"Message", "chained", "together", "later", "tr"}  # these are found by themselves, wherever they stand
SKIPPED = {"Remark": 2, "Check": 2}  # level and code, area and state come first


@dataclasses.dataclass(frozen=True)
class Template:
    """One sentence and where it is said."""

    text: str
    fields: frozenset[str] | None  # the values it is given; None: it is a plain string
    place: str


@dataclasses.dataclass
class Found:
    """What was found in the files that were read."""

    templates: list[Template] = dataclasses.field(default_factory=list)
    f_strings: list[str] = dataclasses.field(default_factory=list)


def files() -> Iterator[Path]:
    """Return the files whose sentences the window may show."""
    for path in sorted((*(ROOT / "avatar").rglob("*.py"), *(ROOT / "ui").rglob("*.py"))):
        if path.relative_to(ROOT).parts[1] not in SILENT:
            yield path


def find(paths: Iterable[Path]) -> Found:
    """Read files and return their sentences."""
    found = Found()
    for path in paths:
        _File(path, found).read()
    return found


def data_templates() -> set[str]:
    """Return what is said of models in the manifest, of marks by name, and of a copy that lacks a file."""
    said = (
        {weight.about for weight in read_manifest().values()}
        | set(read_sets().values())
        | {name.replace("_", " ") for name in MARKS}
    )
    return said | {FRESH_COPY, FRESH_WHEEL}


class _File:
    def __init__(self, path: Path, found: Found) -> None:
        self._path, self._found = path, found
        self._tree = ast.parse(path.read_text(encoding="utf-8"))
        self._seen: set[ast.AST | str] = set()

    def read(self) -> None:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call) and _name(node.func) in SAID:
                values = [*node.args[SKIPPED.get(_name(node.func), 0) :], *(word.value for word in node.keywords)]
                for value in values:
                    self._sentence(value)
            elif isinstance(node, ast.Call) and _name(node.func) == "Message":
                self._message(node)
            elif isinstance(node, ast.Call) and _name(node.func) == "chained":
                self._found.templates += [
                    Template(text, None, self._place(node)) for text in self._literals(node.args[0])
                ]
            elif isinstance(node, ast.Call) and _name(node.func) == "together":
                for value in node.args:
                    self._sentence(value)

    def _sentence(self, node: ast.expr) -> None:
        """Follow an expression to the literals that it may be."""
        if node in self._seen:
            return
        self._seen.add(node)
        place = self._place(node)
        match node:
            case ast.Constant(value=str(text)):
                if text:
                    self._found.templates.append(Template(text, None, place))
            case ast.JoinedStr():
                self._found.f_strings.append(place)
            case ast.IfExp(body=one, orelse=other):
                self._sentence(one)
                self._sentence(other)
            case ast.BoolOp(values=values):
                for value in values:
                    self._sentence(value)
            case ast.BinOp():
                self._found.f_strings.append(f"{place}: sentences are joined by together")
            case ast.Name(id=name) | ast.Attribute(attr=name):
                for value in self._values_of(name):
                    self._sentence(value)
            case ast.Subscript(value=table):
                self._sentence(table)
            case ast.Dict(values=values) | ast.Tuple(elts=values):
                for value in values:
                    self._sentence(value)
            case ast.Call() if _name(node.func) in MARK:
                pass
            case ast.Call():
                for value in self._returned_by(_name(node.func)):
                    self._sentence(value)

    def _place(self, node: ast.expr) -> str:
        return f"{self._path.relative_to(ROOT)}:{node.lineno}"

    def _message(self, node: ast.Call) -> None:
        place = self._place(node)
        fields = frozenset(word.arg for word in node.keywords if word.arg)
        spread = any(word.arg is None for word in node.keywords)
        for text in self._literals(node.args[0]):
            self._found.templates.append(Template(text, None if spread else fields, place))

    def _literals(self, node: ast.expr) -> Iterator[str]:
        match node:
            case ast.Constant(value=str(text)):
                yield text
            case ast.IfExp(body=one, orelse=other):
                yield from (*self._literals(one), *self._literals(other))
            case ast.Name(id=name):
                for value in self._values_of(name):
                    yield from self._literals(value)

    def _values_of(self, name: str) -> Iterator[ast.expr]:
        """What a name of the file may hold."""
        for node in ast.walk(self._tree):
            match node:
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        yield from _part_of(target, value, name)
                case (
                    ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value)
                ):
                    yield from _part_of(target, value, name)

    def _returned_by(self, name: str) -> Iterator[ast.expr]:
        for function in ast.walk(self._tree):
            if isinstance(function, ast.FunctionDef) and function.name == name:
                for node in ast.walk(function):
                    if isinstance(node, ast.Return) and node.value is not None:
                        yield node.value


def _part_of(target: ast.expr, value: ast.expr, name: str) -> Iterator[ast.expr]:
    if isinstance(target, ast.Name) and target.id == name:
        yield value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, its in zip(target.elts, value.elts, strict=False):
            yield from _part_of(one, its, name)
    elif isinstance(target, ast.Tuple) and any(isinstance(one, ast.Name) and one.id == name for one in target.elts):
        yield value


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
