"""People with two photographs each: drive one by the change between them and compare with the other, the truth.

    python -m tools.evaluate.pairs FOLDER -o FOLDER [--people tune|report|all] [--engine warp|fomm] [--model NAME|FILE]

FOLDER holds NAME_neutral.jpg and NAME_smiling.jpg in one crop. The driving clip is the portrait three times, then the
other photograph three times, with `--reference first`; its last frame should turn the portrait into the other
photograph. Errors are mean absolute differences of RGB over a region, divided by those of the portrait itself: 0 is
the other photograph, 1 is no better than not moving at all. Writes pairs.json, pairs.md and, of every person, the last
frame of each direction between portrait and truth (sheets/NAME.png).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np

from avatar.cv import cv2
from avatar.errors import AvatarError, UsageError
from avatar.frames import FloatArray, RgbImage
from avatar.images.load import load_image, save_png
from avatar.offline.animate import animate
from avatar.offline.job import AnimateOptions, Tools
from avatar.reports.json_report import write_json
from avatar.system.foreign_text import shown
from avatar.tracking import FaceTracker, find_faces, open_tracker
from avatar.tracking.regions import EYES, FACE_OVAL, LOWER_LIP, MOUTH_CORNERS, UPPER_LIP

STATES = ("neutral", "smiling")
HELD = 3  # frames that each photograph lasts in the driving clip
REPORT_EVERY = 3  # every third person, by name, is kept for the report; the others are there to tune on
MOUTH_MARGIN = 1.3  # times the lips' own outline about its middle
REGIONS = ("mouth", "eyes", "face")
TARGETS = {
    "smiling": {"mouth": 0.40, "eyes": 0.28, "face": 0.35},
    "neutral": {"mouth": 0.30, "eyes": 0.20, "face": 0.28},
}

_LIPS = np.concatenate([UPPER_LIP[0], LOWER_LIP[0], MOUTH_CORNERS])


@dataclass(frozen=True)
class Score:
    """One person in one direction."""

    person: str
    towards: str  # the state of the photograph that is to come out
    mouth: float  # L1 over that of the portrait, as all three
    eyes: float
    face: float
    failure: str = ""  # why nothing came out


def people_in(folder: Path, share: str = "all") -> list[str]:
    """Return the names of people with both photographs, sorted; `share`: all, tune or report.

    Raises:
        UsageError: there are none.
    """
    files = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    stems = {name.rsplit("_", 1)[0] for name in files}
    names = sorted(stem for stem in stems if all(f"{stem}_{state}.jpg" in files for state in STATES))
    if not names:
        raise UsageError(
            f"{folder} holds no pairs of photographs.", remedy="Name a folder of NAME_neutral.jpg and NAME_smiling.jpg."
        )
    kept = [name for number, name in enumerate(names) if number % REPORT_EVERY == REPORT_EVERY - 1]
    return {"all": names, "report": kept, "tune": [name for name in names if name not in kept]}[share]


def regions_of(landmarks: FloatArray, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return masks (H, W) of mouth, eyes with brows, and face, by (478, 3) landmarks of the truth."""
    lips = landmarks[_LIPS, :2]
    middle = 0.5 * (lips.min(axis=0) + lips.max(axis=0))
    eyes = [_hull(landmarks[np.concatenate([eye.contour, eye.brow]), :2], shape) for eye in EYES]
    return {
        "mouth": _hull((lips - middle) * MOUTH_MARGIN + middle, shape),
        "eyes": eyes[0] | eyes[1],
        "face": _hull(landmarks[FACE_OVAL, :2], shape),
    }


def errors_over_copying(
    drawn: RgbImage, portrait: RgbImage, truth: RgbImage, landmarks: FloatArray
) -> dict[str, float]:
    """Return for each region the L1 error of `drawn` over that of the portrait left as it is."""
    found = {}
    for name, region in regions_of(landmarks, truth.shape).items():
        ours, copied = (np.abs(rgb.astype(np.int16) - truth)[region].mean() for rgb in (drawn, portrait))
        found[name] = float(ours / max(float(copied), 1e-6))
    return found


def _hull(points: FloatArray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the mask (H, W) bool of the convex hull of points (N, 2) in pixels."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(points).astype(np.int32)), 1)
    return mask > 0


def drive(folder: Path, person: str, towards: str, args: argparse.Namespace, tracker: FaceTracker) -> RgbImage:
    """Return the portrait in the other state as it was driven there. Raises as `animate`."""
    away = STATES[1 - STATES.index(towards)]
    portrait, other = ((folder / f"{person}_{state}.jpg").resolve() for state in (away, towards))
    with tempfile.TemporaryDirectory(prefix="masque-pairs-") as place:
        clip, result = Path(place) / "clip", Path(place) / "result"
        clip.mkdir()
        for number, path in enumerate([portrait] * HELD + [other] * HELD):
            (clip / f"{number}.jpg").symlink_to(path)
        options = AnimateOptions(portrait, clip, result, engine=args.engine, model=args.model, reference="first")
        animate(options, tools=Tools(open_tracker=lambda: tracker))  # which closes it; a closed one may be used again
        return load_image(max(result.glob("*.png")))


def measure(folder: Path, person: str, towards: str, args: argparse.Namespace, tracker: FaceTracker) -> Score:
    """Drive one person in one direction, compare, and write the images side by side."""
    away = STATES[1 - STATES.index(towards)]
    portrait, truth = (load_image(folder / f"{person}_{state}.jpg") for state in (away, towards))
    try:
        landmarks = find_faces(truth, tracker)[0].landmarks
        drawn = drive(folder, person, towards, args, tracker)
    except (AvatarError, IndexError) as error:
        nan = float("nan")
        return Score(person, towards, nan, nan, nan, failure=getattr(error, "what", "no face in the truth"))
    if not args.no_sheets:
        save_png(args.output / "sheets" / f"{person}_{towards}.png", np.hstack([portrait, drawn, truth]))
    errors = errors_over_copying(drawn, portrait, truth, landmarks)
    return Score(person, towards, errors["mouth"], errors["eyes"], errors["face"])


def table(scores: Sequence[Score]) -> str:
    """Return medians against targets, and how many people come out worse than a copy, as Markdown."""
    rows = ["| towards | region | L1 over copying, median | target | worst | worse than copying | people |"]
    rows.append("|---" * 7 + "|")
    for state in reversed(STATES):
        of_state = [score for score in scores if score.towards == state and not score.failure]
        for region in REGIONS if of_state else ():
            values = [getattr(score, region) for score in of_state]
            worst = max(zip(values, (score.person for score in of_state), strict=True))
            rows.append(
                f"| {state} | {region} | {median(values):.3f} | {TARGETS[state][region]:.2f} | {worst[0]:.2f} "
                f"({shown(worst[1], 60)}) | {sum(value > 1 for value in values)} | {len(values)} |"
            )
    failed = [f"{shown(score.person, 60)} {score.towards}: {score.failure}" for score in scores if score.failure]
    return "\n".join([*rows, *(["", *failed] if failed else [])])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the people of the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.evaluate.pairs", description="Measure against the truth.")
    parser.add_argument("folder", type=Path, help="of NAME_neutral.jpg and NAME_smiling.jpg")
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, required=True)
    parser.add_argument("--people", choices=("all", "tune", "report"), default="all", help="which of them, by name")
    parser.add_argument("--engine", choices=("warp", "fomm"), default="warp", help="what draws")
    parser.add_argument("--model", metavar="NAME|FILE", help="checkpoint, for fomm")
    parser.add_argument("--no-sheets", action="store_true", help="numbers only")
    args = parser.parse_args(argv)
    try:
        return _measure_all(args)
    except AvatarError as error:
        print(f"{error.what}\n{error.remedy}", file=sys.stderr)
        return 1


def _measure_all(args: argparse.Namespace) -> int:
    people = people_in(args.folder, args.people)
    (args.output / "sheets").mkdir(parents=True, exist_ok=True)
    tracker, scores = open_tracker(), []
    for person in people:
        for towards in STATES:
            scores.append(measure(args.folder, person, towards, args, tracker))
            print(scores[-1], file=sys.stderr, flush=True)
    report = {"engine": args.engine, "people": args.people, "scores": [asdict(score) for score in scores]}
    write_json(args.output / "pairs.json", report)
    (args.output / "pairs.md").write_text(table(scores) + "\n", encoding="utf-8")
    print(table(scores))
    return 0


if __name__ == "__main__":
    sys.exit(main())
