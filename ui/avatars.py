"""The library as the window uses it: disk access and face detection run on other threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PyQt5.QtCore import QObject, pyqtSignal
from PyQt5.QtGui import QImage

from avatar.errors import AvatarError
from avatar.frames import RgbImage
from avatar.images.load import load_image
from avatar.library.importing import Choice, Detect, examine
from avatar.library.library import Library
from avatar.library.names import same_name
from avatar.library.record import Avatar
from avatar.portrait.check import PortraitReport
from avatar.tracking import Face, FaceTracker
from avatar.tracking.upright import how_turned, turned
from ui.background import Lane
from ui.widgets.pixels import own_image


@dataclass(frozen=True, eq=False)
class Entry:
    """An avatar as shown in the strip."""

    avatar: Avatar
    thumbnail: QImage | None


@dataclass(frozen=True, eq=False)
class Checked:
    """A checked image."""

    rgb: RgbImage  # (H, W, 3), rotated according to the report
    report: PortraitReport


@dataclass(frozen=True, eq=False)
class Import:
    """An image to be added to the library, with the user's choices."""

    path: Path
    choice: Choice
    name: str
    source: str
    licence: str
    confirmed: bool


def numbered(entries: Sequence[Entry], favourites: Sequence[str]) -> list[Entry]:
    """Return the avatars of the keys 1 to 9, at most nine: favourites first, both in the order of the strip."""
    starred = {same_name(name) for name in favourites}
    return sorted(entries, key=lambda entry: same_name(entry.avatar.name) not in starred)[:9]


class Avatars(QObject):
    """Manages the list of avatars; errors are emitted by `failed`."""

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
        self._tracker: FaceTracker | None = None  # opened and used on the thread of `faces`
        self._removed: list[str] = []

    def reload(self) -> None:
        """Read the folder again."""
        self._do(lambda: None)

    def find(self, name: str) -> Entry | None:
        """Find an avatar by name in the list as last read."""
        return next((entry for entry in self.entries if same_name(entry.avatar.name) == same_name(name)), None)

    def reorder(self, names: Sequence[str]) -> None:
        """Reorder the avatars; the list changes at once."""
        self.entries.sort(key=lambda entry: names.index(entry.avatar.name))
        self._do(lambda: self.library.reorder(names))

    def rename(self, name: str, new_name: str, done: Callable[[Avatar], None]) -> None:
        """Rename an avatar."""
        self._do(lambda: self.library.rename(name, new_name), done)

    def remove(self, name: str) -> None:
        """Remove an avatar; `undo_remove` restores it."""

        def note(avatar: Avatar) -> None:
            self._removed.append(avatar.name)
            self.removed.emit(avatar)

        self._do(lambda: self.library.remove(name), note)

    def undo_remove(self) -> bool:
        """Restore the avatar removed last; False if none was removed since the start."""
        if not self._removed:
            return False
        name = self._removed.pop()
        self._do(lambda: self.library.restore(name), self.added.emit)
        return True

    def confirm(self, name: str) -> None:
        """Store the confirmation that the user may use a likeness."""
        self._do(lambda: self.library.confirm(name))

    def check(
        self, path: Path, choice: Choice, done: Callable[[Checked], None], failed: Callable[[AvatarError], None]
    ) -> None:
        """Check an image, or a part of it, as an import would."""

        def look() -> Checked:
            rgb = load_image(path)
            report = examine(rgb, self._detect, choice, self._how_turned)
            return Checked(turned(rgb, report.turn_deg), report)

        self._faces.run(look, done, failed)

    def add(self, wanted: Import, done: Callable[[Avatar], None], failed: Callable[[AvatarError], None]) -> None:
        """Add an image to the library."""

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
        """Change the part, the face or the marks of an avatar."""

        def finish(avatar: Avatar) -> None:
            self._thumbnails.clear()
            self.reload()
            done(avatar)

        def alter() -> Avatar:
            return self.library.change(name, choice, detect=self._detect, how_turned=self._how_turned).avatar

        self._faces.run(alter, finish, failed)

    def close_tracker(self) -> None:
        """Close the tracker, on the thread that used it."""

        def close() -> None:
            if self._tracker is not None:
                self._tracker.close()
                self._tracker = None

        self._faces.run(close)

    def _do(self, change: Callable[[], Any], done: Callable[[Any], None] = lambda _: None) -> None:
        """Run a change and list the avatars again, even if it failed."""

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
        key = (str(avatar.image_path), avatar.sha256)
        if key not in self._thumbnails:
            try:
                self._thumbnails[key] = own_image(self.library.thumbnail(avatar))
            except AvatarError:
                self._thumbnails[key] = None
        return self._thumbnails[key]

    def _track(self, rgb: RgbImage) -> list[Face]:
        """Find the faces in (H, W, 3) uint8 RGB."""
        from avatar.tracking import find_faces

        return find_faces(rgb, self._opened())

    def _turn(self, rgb: RgbImage) -> int | None:
        """Return the rotation, in degrees, that puts (H, W, 3) uint8 RGB upright."""
        return how_turned(rgb, self._opened())

    def _opened(self) -> FaceTracker:
        from avatar.tracking import open_tracker

        if self._tracker is None:
            self._tracker = open_tracker()
        return self._tracker
