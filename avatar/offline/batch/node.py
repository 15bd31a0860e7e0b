"""Data that the processes of one machine share: fetched inputs, portraits, prepared portraits; each made once.

They lie in a folder that nobody else can enter, in files that run no code.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from avatar.cv import cv2
from avatar.engines.base import Engine, EngineConfig, Portrait
from avatar.engines.registry import create_engine, find_engine
from avatar.errors import OutputError, SetupError
from avatar.motion.rows import scratch_folder
from avatar.offline.batch.places import digest, fetch, fingerprint, is_address, name_of, remove
from avatar.offline.driving_motion import DrivingMotion
from avatar.offline.job import Tools
from avatar.portrait.crop import Crop
from avatar.portrait.source import Likeness, PortraitSource, read_portrait
from avatar.settings import MotionSettings
from avatar.system.atomic import remove_stale, replacing
from avatar.system.locks import file_lock
from avatar.system.message import Message
from avatar.system.tree_file import UnfitError, pack, read
from avatar.tracking import FaceTracker, open_tracker

MOST_BYTES = 8 * 2**30  # of the folder; the oldest files go first
_KEPT = 3  # portraits that stay in memory too
_FOLDER = "masque-batch-"
_RECORDS = ("avatar.engines", "avatar.images.box", "avatar.motion", "avatar.portrait.source", "avatar.tracking")
T = TypeVar("T")


class Node:
    """One process of a batch on its machine; used on one thread."""

    def __init__(self, run: str, threads: int) -> None:
        """Open the machine's folder.

        Args:
            run: name of the batch; all its processes on this machine share one folder.
            threads: how many this process may keep busy.
        """
        cv2.setNumThreads(threads)
        self._use_second_core = threads > 1
        self.folder = _private_folder(run)
        self.made: Counter[str] = Counter()  # by kind: what this process made for all
        self._memory: OrderedDict[str, Any] = OrderedDict()
        self._tracker: FaceTracker | None = None
        self._engine: tuple[EngineConfig, Engine] | None = None  # the one opened last

    def local(self, place: str) -> Path:
        """Return an input as a path of this machine; what lies at an address is fetched once.

        Raises:
            OSError: the store does not answer.
            SetupError: this machine does not reach that path.
        """
        if not is_address(place):
            if not Path(place).exists():
                raise SetupError(
                    Message("This machine does not reach {path}.", path=place),
                    remedy="All machines must see the files under the same path; addresses such as s3:// do too.",
                )
            return Path(place)
        folder = self.folder / digest(fingerprint(place))
        target = folder / name_of(place).name
        with file_lock(folder.with_suffix(".lock")):
            if not target.exists():
                folder.mkdir(exist_ok=True)
                fetch(place, target)
                self.made["fetched"] += 1
                self._prune()
        return target

    def tools(self, likeness: Likeness, motion: DrivingMotion | None) -> Tools:
        """Return what a job works with.

        Args:
            likeness: of its portrait.
            motion: of its clip; None: the job reads it itself.
        """
        shared = Tools(
            open_tracker=self.tracker,
            open_engine=self._open_engine,
            find_likeness=lambda _: likeness,
            read_portrait=self._read_portrait,
            prepare=self._prepare,
            release=self._release,
        )
        return shared if motion is None else replace(shared, read_motion=lambda *_: motion)

    def close(self) -> None:
        """Close the engine."""
        if self._engine is not None:
            self._engine[1].close()
            self._engine = None

    def tracker(self) -> FaceTracker:
        """Return the face tracker of this process; a job that closes it does no harm. Raises: WeightsError."""
        self._tracker = self._tracker or open_tracker()
        return self._tracker

    def _open_engine(self, config: EngineConfig) -> Engine:
        if self._engine is not None and self._engine[0] == config:
            return self._engine[1]
        self.close()  # one at a time: a card may have no room for two
        self._engine = config, create_engine(config)
        return self._engine[1]

    def _release(self, engine: Engine) -> None:
        """Keep what took long to load for the next job."""
        if self._engine is not None and not find_engine(self._engine[0].name).takes_models:
            self.close()

    def _read_portrait(
        self, likeness: Likeness, tracker: FaceTracker, crop: Crop, turn_deg: int | None
    ) -> PortraitSource:
        known = None if likeness.face is None else likeness.face.landmarks.tobytes()
        name = digest(fingerprint(str(likeness.path)), known, likeness.crop, likeness.turn_deg, crop, turn_deg)
        return self._once("portrait", name, lambda: read_portrait(likeness, tracker, crop, turn_deg))

    def _prepare(self, engine: Engine, portrait: Portrait, size_px: int | None) -> Any:
        def make() -> Any:
            return engine.prepare(portrait, size_px, use_second_core=self._use_second_core)

        face = None if portrait.face is None else portrait.face.landmarks
        content = hashlib.blake2b(digest_size=16)
        for array in (portrait.rgb, portrait.alpha, face):
            content.update(b"" if array is None else _bytes(array))
        config = None if self._engine is None else replace(self._engine[0], device="", motion=MotionSettings())
        name = digest(content.hexdigest(), portrait.rgb.shape, portrait.part, portrait.separate, size_px, config)
        return self._once("prepared", name, make)

    def _once(self, kind: str, name: str, make: Callable[[], T]) -> T:
        """Return what `make` makes: from memory, from another process of this machine, or made now for all."""
        if name in self._memory:
            self._memory.move_to_end(name)
            found: T = self._memory[name]
            return found
        path = self.folder / f"{kind}-{name}"
        with file_lock(path.with_suffix(".lock")):
            try:
                found = read(path, _RECORDS)
                os.utime(path)
            except (OSError, UnfitError, ImportError):
                found = make()
                self.made[kind] += 1
                with contextlib.suppress(OSError, UnfitError), replacing(path) as part:
                    part.write_bytes(pack(found))
                    self._prune()
        self._memory[name] = found
        while len(self._memory) > 2 * _KEPT:
            self._memory.popitem(last=False)
        return found

    def _prune(self) -> None:
        """Remove the oldest files beyond MOST_BYTES."""
        files = [(path, path.stat()) for path in self.folder.rglob("*") if path.is_file()]
        files.sort(key=lambda each: each[1].st_mtime)
        excess = sum(seen.st_size for _, seen in files) - MOST_BYTES
        for path, seen in files:
            if excess <= 0:
                break
            remove(str(path))
            excess -= seen.st_size


def clear(run: str) -> None:
    """Remove this machine's folder of a batch; never fails."""
    with contextlib.suppress(OutputError):
        shutil.rmtree(_private_folder(run), ignore_errors=True)


def _private_folder(run: str) -> Path:
    """Return the folder of a batch, made when absent. Raises: OutputError: it is another user's."""
    scratch = scratch_folder()
    for old in scratch.glob(f"{_FOLDER}*"):
        remove_stale(old)
    user = getattr(os, "getuid", lambda: 0)()
    folder = scratch / f"{_FOLDER}{user}-{run}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        seen = folder.lstat()
        if os.name == "posix" and (seen.st_uid != user or seen.st_mode & 0o077 or folder.is_symlink()):
            folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{user}-", dir=scratch))
    except OSError as error:
        raise OutputError(
            Message("The folder {folder} cannot be made: {why}.", folder=folder, why=error.strerror or error),
            remedy="Make room there, or set TMPDIR to a folder that has it.",
        ) from error
    return folder


def _bytes(array: Any) -> bytes:
    data: bytes = array.tobytes()
    return data
