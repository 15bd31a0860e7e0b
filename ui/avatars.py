"""The avatars' library as the window uses it: every touch of the disk and every look for a face is made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PyQt5.QtCore import QObject, pyqtSignal
from PyQt5.QtGui import QImage

from avatar.errors import AvatarError
from avatar.frames import RgbImage
from avatar.images import load_image
from avatar.library import Library
from avatar.library_import import Choice, Detect, examine
from avatar.library_names import same_name
from avatar.library_record import Avatar
from avatar.portrait import PortraitReport
from avatar.tracking import Face, FaceTracker
from avatar.tracking.upright import how_turned, turned
from ui.background import Lane
from ui.pixels import own_image


@dataclass(frozen=True, eq=False)
class Entry:
    """An avatar as it is shown in the strip."""

    avatar: Avatar
    thumbnail: QImage | None


@dataclass(frozen=True, eq=False)
class Checked:
    """A picture that was looked at."""

    rgb: RgbImage  # turned as the report says
    report: PortraitReport


@dataclass(frozen=True, eq=False)
class Import:
    """A picture as the user wants it in the library."""

    path: Path
    choice: Choice
    name: str
    source: str
    licence: str
    confirmed: bool


class Avatars(QObject):
    """Keeps the list of avatars and changes it; failures are told by `failed`."""

    listed = pyqtSignal(list)  # of Entry
    added = pyqtSignal(object)  # Avatar
    removed = pyqtSignal(object)  # Avatar
    failed = pyqtSignal(object)  # AvatarError

    def __init__(self, files: Lane, faces: Lane, library: Library, detect: Detect | None = None) -> None:
        super().__init__()
        self.library = library
        self.entries: list[Entry] = []
        self._files, self._faces = files, faces
        self._thumbnails: dict[tuple[str, str], QImage | None] = {}
        self._detect = detect or self._track
        self._how_turned = self._turn if detect is None else None
        self._tracker: FaceTracker | None = None  # opened and used on the faces' thread
        self._removed: list[str] = []

    def reload(self) -> None:
        """Read the folder again."""
        self._do(lambda: None)

    def find(self, name: str) -> Entry | None:
        """The avatar of a name in the list as it was read last."""
        return next((entry for entry in self.entries if same_name(entry.avatar.name) == same_name(name)), None)

    def reorder(self, names: Sequence[str]) -> None:
        """Put the avatars into this order, in the list at once."""
        self.entries.sort(key=lambda entry: names.index(entry.avatar.name))
        self._do(lambda: self.library.reorder(names))

    def rename(self, name: str, new_name: str, done: Callable[[Avatar], None]) -> None:
        """Give an avatar another name."""
        self._do(lambda: self.library.rename(name, new_name), done)

    def remove(self, name: str) -> None:
        """Take an avatar out; `undo_remove` brings it back."""

        def note(avatar: Avatar) -> None:
            self._removed.append(avatar.name)
            self.removed.emit(avatar)

        self._do(lambda: self.library.remove(name), note)

    def undo_remove(self) -> bool:
        """Bring back what was removed last. False: nothing was, since the program started."""
        if not self._removed:
            return False
        name = self._removed.pop()
        self._do(lambda: self.library.restore(name), self.added.emit)
        return True

    def confirm(self, name: str) -> None:
        """Note that the user may use a likeness."""
        self._do(lambda: self.library.confirm(name))

    def check(
        self, path: Path, choice: Choice, done: Callable[[Checked], None], failed: Callable[[AvatarError], None]
    ) -> None:
        """Look at a picture, or at a part of it, as an import would."""

        def look() -> Checked:
            rgb = load_image(path)
            report = examine(rgb, self._detect, choice, self._how_turned)
            return Checked(turned(rgb, report.turn_deg), report)

        self._faces.run(look, done, failed)

    def add(self, wanted: Import, done: Callable[[Avatar], None], failed: Callable[[AvatarError], None]) -> None:
        """Take a picture in."""

        def take_in() -> Avatar:
            return self.library.add(
                wanted.path, detect=self._detect, name=wanted.name or None, source=wanted.source,
                licence=wanted.licence, choice=wanted.choice, confirmed=wanted.confirmed,
                how_turned=self._how_turned,
            ).avatar  # fmt: skip

        def finish(avatar: Avatar) -> None:
            self.reload()
            self.added.emit(avatar)
            done(avatar)

        self._faces.run(take_in, finish, failed)

    def change(
        self, name: str, choice: Choice, done: Callable[[Avatar], None], failed: Callable[[AvatarError], None]
    ) -> None:
        """Choose the part, the face or the marks of an avatar anew."""

        def finish(avatar: Avatar) -> None:
            self._thumbnails.clear()
            self.reload()
            done(avatar)

        def alter() -> Avatar:
            return self.library.change(name, choice, detect=self._detect, how_turned=self._how_turned).avatar

        self._faces.run(alter, finish, failed)

    def close_tracker(self) -> None:
        """Let go of the networks, on the thread that used them."""

        def close() -> None:
            if self._tracker is not None:
                self._tracker.close()
                self._tracker = None

        self._faces.run(close)

    def _do(self, change: Callable[[], Any], done: Callable[[Any], None] = lambda _: None) -> None:
        """Change something and list the avatars afresh, whether that went well or not."""

        def work() -> tuple[Any, AvatarError | None, list[Entry]]:
            result, problem = None, None
            try:
                result = change()
            except AvatarError as error:
                problem = error
            return result, problem, self._read()

        def show(answer: tuple[Any, AvatarError | None, list[Entry]]) -> None:
            result, problem, self.entries = answer
            self.listed.emit(self.entries)
            if problem is not None:
                self.failed.emit(problem)
            else:
                done(result)

        self._files.run(work, show, self.failed.emit)

    def _read(self) -> list[Entry]:
        return [Entry(avatar, self._thumbnail(avatar)) for avatar in self.library.avatars()]

    def _thumbnail(self, avatar: Avatar) -> QImage | None:
        key = (str(avatar.picture), avatar.sha256)
        if key not in self._thumbnails:
            try:
                self._thumbnails[key] = own_image(self.library.thumbnail(avatar))
            except AvatarError:
                self._thumbnails[key] = None
        return self._thumbnails[key]

    def _track(self, rgb: RgbImage) -> list[Face]:
        from avatar.tracking import find_faces

        return find_faces(rgb, self._opened())

    def _turn(self, rgb: RgbImage) -> int | None:
        return how_turned(rgb, self._opened())

    def _opened(self) -> FaceTracker:
        from avatar.tracking import open_tracker

        if self._tracker is None:
            self._tracker = open_tracker()
        return self._tracker
