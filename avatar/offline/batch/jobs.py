"""The jobs of a batch, read one by one from a TOML, CSV or JSON-lines file, with patterns spread out."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from avatar.errors import AvatarError, LibraryError, UsageError
from avatar.library.library import Library
from avatar.library.names import same_name
from avatar.offline.batch.places import digest, is_address, matches, name_of, read_lines
from avatar.offline.drive_portrait_clip import is_portrait_clip
from avatar.offline.driving_motion import named_driving
from avatar.offline.job import AnimateOptions
from avatar.outputs.files.target import kind_of
from avatar.portrait.source import Likeness
from avatar.system.limits import MAX_TEXT_BYTES
from avatar.system.message import Message, together
from avatar.system.small_files import read_toml

PLACES = ("source", "driving", "output")
_SWITCHES = {"true": True, "yes": True, "false": False, "no": False}  # in CSV, which knows text only
_REMEDY = "`python run.py batch --help` shows what a job file holds."
Parse = Callable[[Mapping[str, str | bool], str, str, str], AnimateOptions]  # options, source, driving, output
Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One result that is to be made."""

    source: str  # of the portrait: an absolute path or an address
    driving: str  # of the clip or template, likewise
    output: str  # likewise
    options: AnimateOptions  # everything else; its own three paths do not count
    likeness: Likeness | None  # of an avatar of the library, which other machines do not have
    where: str  # in the job file, for messages

    @property
    def key(self) -> str:
        """A name for what is asked for: another one where a row was changed."""
        options = self.options
        plain = {name: str(value) for name, value in vars(options).items() if name not in PLACES}
        return digest(self.source, self.driving, self.output, sorted(plain.items()))


class JobFile:
    """A file of jobs; it is read anew each time, so that ten thousand rows take no more memory than ten."""

    def __init__(self, path: Path, parse: Parse) -> None:
        """Take a file.

        Args:
            path: .toml, .csv, .jsonl or .ndjson. Relative paths in it begin at its folder.
            parse: turns the options of a row into those of `animate`.
        """
        self.path, self._parse = path, parse
        self._folder = path.resolve().parent

    def __iter__(self) -> Iterator[Job]:
        """Yield all jobs.

        Raises:
            UsageError: the file, or a row of it, makes no sense.
        """
        for where, row in self._rows():
            try:
                yield from self._jobs(where, row)
            except AvatarError as error:
                raise UsageError(together(Message("{where}:", where=where), error.what), remedy=error.remedy) from error

    def _jobs(self, where: str, row: Row) -> Iterator[Job]:
        words = {key: row.pop(key, None) for key in PLACES}
        for key, word in words.items():
            if not isinstance(word, str) or not word.strip():
                raise UsageError(Message("A job needs {key}.", key=key), remedy=_REMEDY)
        sources, drivings = (matches(str(words[key]).strip(), self._folder) for key in ("source", "driving"))
        options = {key.replace("-", "_"): value for key, value in row.items()}
        for source, driving in itertools.product(sources, drivings):
            output = self._output(str(words["output"]).strip(), source, driving)
            clip = self._clip(driving)
            parsed = self._parse(options, source, clip, output)
            likeness = None if is_address(source) or Path(source).is_file() else _avatar(source)
            place = source if likeness is None else str(likeness.path)
            if is_portrait_clip(Path(name_of(place))):
                raise UsageError(
                    Message("{name} is a video, and a batch animates pictures.", name=name_of(place)),
                    remedy="Name a picture as its source, or take the video out of the batch and use animate.",
                )
            yield Job(place, clip, output, parsed, likeness, where)

    def _clip(self, word: str) -> str:
        """Return the place of a clip that may not exist, or of the built-in motion."""
        if is_address(word):
            return word
        named = named_driving(Path(word)) if word == "idle" else Path(word)
        return str((self._folder / named).absolute())

    def _output(self, pattern: str, source: str, driving: str) -> str:
        """Fill in the names, but not by `str.format`, which follows what a row asks for. Raises: UsageError."""
        for name, place in (("{source}", source), ("{driving}", driving)):
            pattern = pattern.replace(name, name_of(place).stem)
        kind_of(Path(name_of(pattern)))
        return pattern if is_address(pattern) else str((self._folder / Path(pattern).expanduser()).absolute())

    def _rows(self) -> Iterator[tuple[str, Row]]:
        """Yield each row with its place in the file. Raises: UsageError."""
        kind = self.path.suffix.lower()
        readers = {".toml": self._toml, ".csv": self._csv, ".jsonl": self._json, ".ndjson": self._json}
        if kind not in readers:
            raise UsageError(
                Message("{name} is no job file.", name=self.path.name), remedy="End it in .toml, .csv or .jsonl."
            )
        try:
            yield from readers[kind]()
        except (OSError, ValueError, csv.Error) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise UsageError(
                Message("{path} cannot be read as a job file: {why}.", path=self.path, why=why), remedy=_REMEDY
            ) from error

    def _toml(self) -> Iterator[tuple[str, Row]]:
        table = read_toml(self.path)
        defaults, rows = table.pop("defaults", {}), table.pop("job", [])
        if table or not isinstance(defaults, dict) or not isinstance(rows, list):
            raise ValueError(Message("it holds something else than [defaults] and [[job]]"))
        for number, row in enumerate(rows, 1):
            if not isinstance(row, dict):
                raise ValueError(Message("it holds something else than [defaults] and [[job]]"))
            yield Message("Job {number}", number=number), _checked({**defaults, **row})

    def _csv(self) -> Iterator[tuple[str, Row]]:
        lines = read_lines(self.path, MAX_TEXT_BYTES)
        for row in (reader := csv.DictReader(lines, strict=True)):
            if None in row:
                raise ValueError(Message("line {number} has more values than names", number=reader.line_num))
            given = {str(key).strip(): value.strip() for key, value in row.items() if value and value.strip()}
            if given:
                yield (
                    Message("Line {number}", number=reader.line_num),
                    {key: _SWITCHES.get(value.lower(), value) for key, value in given.items()},
                )

    def _json(self) -> Iterator[tuple[str, Row]]:
        for number, line in enumerate(read_lines(self.path, MAX_TEXT_BYTES), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except RecursionError as error:
                raise ValueError(Message("it is nested too deep")) from error
            if not isinstance(row, dict):
                raise ValueError(Message("line {number} is no object", number=number))
            yield Message("Line {number}", number=number), _checked(row)


class Checker:
    """Check of the jobs of a batch against each other; keeps digests, some hundred bytes for each."""

    def __init__(self) -> None:
        self._outputs: set[bytes] = set()
        self._inputs: set[bytes] = set()

    def add(self, job: Job) -> None:
        """Look at one more job. Raises: UsageError: two results would be one."""
        output = _packed(job.output)
        if output in self._outputs:
            raise UsageError(
                Message("{where}: {output} is the result of two jobs.", where=job.where, output=job.output),
                remedy="Put {source} and {driving} into the name of the output.",
            )
        self._outputs.add(output)
        self._inputs |= {_packed(job.source), _packed(job.driving)}

    def finish(self) -> None:
        """Raise UsageError where a result would replace what another job reads."""
        if self._outputs & self._inputs:
            raise UsageError("A result of one job is an input of another.", remedy="Give the results another folder.")


def _packed(place: str) -> bytes:
    return bytes.fromhex(digest(same_name(place)))


def _checked(row: Row) -> Row:
    """Return a row with lists as one word, as in X,Y,W,H. Raises: ValueError: it holds something nested."""
    for key, value in row.items():
        if isinstance(value, Sequence) and not isinstance(value, str):
            row[key] = ",".join(map(str, value))
        elif not isinstance(value, str | bool | int | float):
            raise ValueError(Message("the value of {key} is neither text nor a number", key=key))
    return {key: value if isinstance(value, bool) else str(value) for key, value in row.items()}


@lru_cache(maxsize=256)
def _avatar(name: str) -> Likeness | None:
    """Return what is known of an avatar. None: there is none; its own jobs will say so when their turn comes."""
    try:
        return Library().likeness(name)
    except LibraryError:
        return None
