"""Job files: three formats, any option of `animate`, patterns, and what is said of rows that make no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest

from avatar.commands.batch import row_parser
from avatar.errors import UsageError
from avatar.images.box import Box
from avatar.offline.batch.jobs import Checker, Job, JobFile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("ada.png", "bob.png", "nod.mp4", "tilt.mp4"):
        (tmp_path / name).touch()
    return tmp_path


def read(folder: Path, name: str, text: str) -> list[Job]:
    (folder / name).write_text(text, encoding="utf-8")
    return list(JobFile(folder / name, row_parser()))


TOML = """
[defaults]
size = 512
audio = false
[[job]]
source = "ada.png"
driving = "nod.mp4"
output = "out/one.mp4"
strength-head = 1.5
relative = false
crop = [1, 2, 300, 400]
[[job]]
source = "bob.png"
driving = "idle"
output = "out/two.webm"
audio = true
"""
CSV = """\
source,driving,output,size,audio,strength-head,relative,crop
ada.png,nod.mp4,out/one.mp4,512,no,1.5,false,"1,2,300,400"

bob.png,idle,out/two.webm,512,yes,,,
"""
LINES = (
    """\
{"source": "ada.png", "driving": "nod.mp4", "output": "out/one.mp4", "size": 512, "audio": false,
""".replace(",\n", ", ")
    + """\
"strength_head": 1.5, "relative": false, "crop": [1, 2, 300, 400]}

{"source": "bob.png", "driving": "idle", "output": "out/two.webm", "size": "512"}
"""
)


@pytest.mark.parametrize(("name", "text"), [("a.toml", TOML), ("a.csv", CSV), ("a.jsonl", LINES)])
def test_the_three_formats_say_the_same(folder: Path, name: str, text: str) -> None:
    one, two = read(folder, name, text)
    assert (one.source, one.driving) == (str(folder / "ada.png"), str(folder / "nod.mp4"))
    assert one.output == str(folder / "out" / "one.mp4") and two.output.endswith("two.webm")
    options = one.options
    assert (options.size, options.audio, options.crop) == (512, False, Box(1, 2, 300, 400))
    assert options.motion.strength_head == 1.5 and not options.motion.relative
    assert two.options.audio and two.options.motion.relative and Path(two.driving).name == "idle.masque"


def test_every_option_of_animate_is_one_of_a_row(folder: Path) -> None:
    row = (
        '{"source": "ada.png", "driving": "nod.mp4", "output": "x.mp4", "engine": "fomm", "model": "m",'
        '"config": "vox", "reference": 3, "turn": 90, "adapt-scale": false, "strength": 0.5, "device": "cpu",'
        '"sound-track": "all",'
        '"side-by-side": true, "show": "motion", "absolute": true, "size": "full"}'
    )
    (job,) = read(folder, "a.jsonl", row)
    given = job.options
    assert (given.engine, given.model, given.config, given.device) == ("fomm", "m", "vox", "cpu")
    assert (given.reference, given.turn_deg, given.sound_track, given.size) == (3, 90, "all", "full")
    assert given.side_by_side and given.show == "motion" and not given.motion.adapt_scale and not given.motion.relative


def test_patterns_are_all_portraits_with_all_clips(folder: Path) -> None:
    row = '{"source": "*.png", "driving": "*.mp4", "output": "out/{source}-{driving}.gif"}'
    names = [Path(job.output).name for job in read(folder, "a.jsonl", row)]
    assert names == ["ada-nod.gif", "ada-tilt.gif", "bob-nod.gif", "bob-tilt.gif"]


def test_addresses_are_left_to_fsspec(folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    for name in ("one.png", "two.png"):
        memory.pipe(f"/jobs/{name}", b"x")
    row = '{"source": "memory://jobs/*.png", "driving": "s3://bucket/clip.mp4", "output": "memory://out/{source}.mp4"}'
    jobs = read(folder, "a.jsonl", row)
    assert [job.source for job in jobs] == ["memory:///jobs/one.png", "memory:///jobs/two.png"]
    assert jobs[0].driving == "s3://bucket/clip.mp4" and jobs[1].output == "memory://out/two.mp4"


def test_an_avatar_of_the_library_comes_with_what_is_known_of_it(folder: Path) -> None:
    (job,) = read(folder, "a.jsonl", '{"source": "rusty", "driving": "idle", "output": "x.mp4"}')
    assert job.likeness is not None and Path(job.source).is_file()


def test_a_file_that_is_missing_is_a_matter_of_its_own_job(folder: Path) -> None:
    jobs = read(folder, "a.csv", "source,driving,output\nnobody.png,gone.mp4,x.mp4\n")
    assert [job.source for job in jobs] == ["nobody.png"]


def test_another_option_makes_another_job(folder: Path) -> None:
    row = '{{"source": "ada.png", "driving": "nod.mp4", "output": "x.mp4", "strength": {}}}'
    keys = {read(folder, "a.jsonl", row.format(strength))[0].key for strength in (0.5, 0.75, 0.5)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "x", "is no job file"),
        ("a.toml", "[[job", "cannot be read"),
        ("a.toml", "size = 3", r"something else than \[defaults\]"),
        ("a.toml", "job = [1]", r"something else than \[defaults\]"),
        ("a.jsonl", "[1]", "line 1 is no object"),
        ("a.jsonl", '{"source": {"a": 1}}', "neither text nor a number"),
        ("a.jsonl", "[" * 100_000, "nested too deep|cannot be read"),
        ("a.csv", "source,driving,output\na,b,c,d\n", "more values than names"),
        ("a.csv", "source,driving\nada.png,nod.mp4\n", "Line 2: A job needs output"),
        ("a.csv", "source,driving,output,siz\nada.png,nod.mp4,x.mp4,512\n", "Line 2: An option is not understood"),
        ("a.csv", "source,driving,output,size\nada.png,nod.mp4,x.mp4,-1\n", "Line 2: "),
        ("a.csv", "source,driving,output,help\nada.png,nod.mp4,x.mp4,yes\n", "Line 2: There is no option help"),
        ("a.csv", "source,driving,output,o\nada.png,nod.mp4,x.mp4,y.mp4\n", "Line 2: An option is not understood"),
        ("a.csv", "source,driving,output\n*.tiff,nod.mp4,x.mp4\n", "Line 2: No file matches"),
        ("a.csv", "source,driving,output\nada.png,nod.mp4,x.avi\n", "Line 2: "),
        ("a.csv", "source,driving,output\nada.png,nod.mp4,nosuch://x/{source}.avi\n", "Line 2: "),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(folder: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        read(folder, name, text)
    assert caught.value.remedy


def test_a_binary_or_a_line_without_end_is_refused(folder: Path) -> None:
    for data in (b"\xff\xfe\x00" * 100, b"x" * 2_000_000):
        (folder / "a.jsonl").write_bytes(data)
        with pytest.raises(UsageError, match="cannot be read"):
            list(JobFile(folder / "a.jsonl", row_parser()))


def checked(folder: Path, *rows: tuple[str, str, str]) -> None:
    checker = Checker()
    lines = "".join(",".join(row) + "\n" for row in rows)
    for job in read(folder, "a.csv", "source,driving,output\n" + lines):
        checker.add(job)
    checker.finish()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("ada.png", "nod.mp4", "x.mp4"), ("bob.png", "nod.mp4", "x.mp4")], "the result of two jobs"),
        ([("*.png", "nod.mp4", "{driving}-.mp4")], "the result of two jobs"),
        ([("ada.png", "nod.mp4", "X.mp4"), ("bob.png", "nod.mp4", "x.mp4")], "the result of two jobs"),
        ([("ada.png", "nod.mp4", "tilt.mp4"), ("bob.png", "tilt.mp4", "x.mp4")], "an input of another"),
    ],
)
def test_no_result_replaces_another_or_an_input(folder: Path, rows: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        checked(folder, *rows)


def test_a_name_never_reaches_into_objects(folder: Path) -> None:
    """`str.format` would."""
    (job,) = read(folder, "a.jsonl", '{"source": "ada.png", "driving": "nod.mp4", "output": "{source.__class__}.mp4"}')
    assert Path(job.output).name == "{source.__class__}.mp4"
