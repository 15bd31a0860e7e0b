"""The avatars: a folder of the user's portraits, each with its name, face marks, source and licence note.

    avatars/
      order.toml            the names in the order they are shown
      Mona Lisa/
        avatar.toml         picture, sha256, source, licence, created, confirmed, turn, crop, marks; the name is that
                          of the folder
        picture.jpg         the file that was added, byte for byte
        thumbnail.png
        face.safetensors    landmarks (478, 3) and blendshapes (52,) of the face that is animated; absent without a face
      .trash/               what was removed, until `restore` or the user takes it out

The astronaut photograph that scikit-image ships is there from the start and takes no room.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from avatar import library_record
from avatar.errors import AvatarError, LibraryError
from avatar.frames import RgbImage
from avatar.images import load_image
from avatar.library_builtin import builtin_avatars
from avatar.library_import import (
    NOTHING_CHOSEN,
    Choice,
    Detect,
    HowTurned,
    describe,
    examine,
    fill,
    sha256,
    thumbnail_of,
)
from avatar.library_names import as_name, check_name, same_name
from avatar.library_record import Avatar
from avatar.locks import file_lock
from avatar.portrait import PortraitReport
from avatar.portrait_source import Likeness
from avatar.tracking.face import Face

TRASH, ORDER_FILE, LOCK = ".trash", "order.toml", ".lock"
INCOMING = ".incoming-"  # prefix of folders that are not complete yet


def library_folder() -> Path:
    """Where the user's avatars live: MASQUE_AVATARS, or the user's data folder."""
    import platformdirs

    override = os.environ.get("MASQUE_AVATARS")
    return Path(override) if override else Path(platformdirs.user_data_dir("masque", appauthor=False)) / "avatars"


@dataclass(frozen=True, eq=False)
class Added:
    """What `Library.add` did."""

    avatar: Avatar
    report: PortraitReport


class Library:
    """The avatars in one folder, which is made when the first one is added."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or library_folder()

    def avatars(self) -> list[Avatar]:
        """All avatars in the user's order, built-in ones included; damaged ones are there and carry a `problem`."""
        found = [*builtin_avatars(), *(library_record.read(folder) for folder in self._folders())]
        names = library_record.read_order(self.folder / ORDER_FILE)
        order = {same_name(name): place for place, name in enumerate(names)}
        return sorted(found, key=lambda avatar: order.get(same_name(avatar.name), len(order)))

    def find(self, name: str) -> Avatar:
        """The avatar of that name, upper and lower case alike.

        Raises:
            LibraryError: there is none; the remedy names those that come close.
        """
        avatars = self.avatars()
        for avatar in avatars:
            if same_name(avatar.name) == same_name(name):
                return avatar
        names = [avatar.name for avatar in avatars]
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"There are: {', '.join(names)}."
        raise LibraryError(f"There is no avatar named {name!r}.", remedy=hint)

    def likeness(self, name_or_path: str | Path) -> Likeness:
        """What to animate: an existing file as it is, else the avatar of that name with its face and its part.

        Raises:
            LibraryError: neither exists, it is a folder, or the avatar is damaged.
        """
        path = Path(name_or_path)
        if path.is_file():
            return Likeness(path)
        try:
            avatar = self.find(str(name_or_path))
        except LibraryError as error:
            if path.is_dir():
                remedy = "Name one picture in it, or an avatar."
                raise LibraryError(f"{path} is a folder, not a picture.", remedy=remedy) from error
            if path.suffix or path.parent != Path():
                remedy = "Check the file's name, or give an avatar's name."
                raise LibraryError(f"There is no picture {path}.", remedy=remedy) from error
            raise
        return Likeness(_usable(avatar).picture, self.face(avatar), avatar.crop or "auto", _turn_of(avatar))

    def resolve(self, name_or_path: str | Path) -> Path:
        """The picture alone of what `likeness` names. Raises: LibraryError."""
        return self.likeness(name_or_path).picture

    def add(
        self,
        picture: Path,
        *,
        detect: Detect,
        name: str | None = None,
        source: str = "",
        licence: str = "",
        without_face: bool = False,
        choice: Choice = NOTHING_CHOSEN,
        confirmed: bool = False,
        how_turned: HowTurned | None = None,
    ) -> Added:
        """Copy a picture in, whole or not at all.

        Args:
            detect: finds faces, largest first, as `avatar.tracking.find_faces` does.
            name: None takes the file's, with a number if that is taken.
            source: where the picture is from, as the user wants to remember it.
            licence: under which terms, likewise.
            without_face: keep a picture that `check_portrait` refuses, for engines that need no face.
            choice: which part and which face of it to animate, or where the face is.
            confirmed: the user said that they may use this likeness; see `confirm`.
            how_turned: finds out by how much the picture is turned; None: it is upright.
        Raises:
            ImageError: it cannot be read.
            FaceError: it shows no face that can be animated.
            UsageError: the choice does not fit the picture.
            LibraryError: the name is refused or taken, the picture is there already, or the folder cannot be written.
        """
        wanted = check_name(name) if name is not None else as_name(picture.stem)
        rgb = load_image(picture)
        report = examine(rgb, detect, choice, how_turned)
        if not without_face:
            report.raise_if_refused()
        with self._changing():
            digest = sha256(picture)
            self._refuse_twin(digest)
            self._free_name(wanted, exact=name is not None)  # refuses a taken name before anything is copied
            file, now = f"picture{picture.suffix.lower()}", _now()
            avatar = Avatar(
                wanted, self._incoming(), file, digest, source, licence, now, now if confirmed else "",
                report.crop, choice.marks, report.turn_deg,
            )  # fmt: skip
            try:
                fill(avatar, picture, rgb, report.face)
                final = self._publish(avatar, exact=name is not None)
            finally:
                shutil.rmtree(avatar.folder, ignore_errors=True)
        return Added(library_record.read(final), report)

    def confirm(self, name: str) -> Avatar:
        """Note that the user said now that they may use this likeness; asked once, at the import or at the first use.

        Raises:
            LibraryError: there is none of that name, it is built in, or its record cannot be written.
        """
        avatar = _usable(self._own(name))
        with self._changing():
            library_record.write(replace(avatar, confirmed=_now()))
        return library_record.read(avatar.folder)

    def change(
        self, name: str, choice: Choice, *, detect: Detect, how_turned: HowTurned | None = None
    ) -> Added:
        """Choose anew which part and which face of an avatar's picture is animated, or where the face is.

        Raises:
            ImageError: the picture cannot be read.
            FaceError: no face can be animated that way; the avatar is as it was.
            UsageError: the choice does not fit the picture.
            LibraryError: there is none of that name, it is built in, or its folder cannot be written.
        """
        avatar = _usable(self._own(name))
        rgb = load_image(avatar.picture)
        report = examine(rgb, detect, choice, how_turned)
        report.raise_if_refused()
        with self._changing():
            digest = sha256(avatar.picture)  # an edited picture is looked at afresh as well
            changed = replace(
                avatar, sha256=digest, crop=report.crop, marks=choice.marks, turn_deg=report.turn_deg
            )
            describe(changed, rgb, report.face)
        return Added(library_record.read(avatar.folder), report)

    def remove(self, name: str) -> Avatar:
        """Move an avatar to the trash folder, from which `restore` takes it back.

        Raises:
            LibraryError: there is none of that name, or it is built in.
        """
        avatar = self._own(name)
        with self._changing():
            trash = self.folder / TRASH
            trash.mkdir(exist_ok=True)
            avatar.folder.rename(trash / f"{avatar.folder.name}.{time.time_ns():020d}")
        return avatar

    def restore(self, name: str) -> Avatar:
        """Take back the avatar of that name that was removed last.

        Raises:
            LibraryError: none was removed, or its name is taken by now.
        """
        removed = sorted((self.folder / TRASH).glob("*"), key=lambda folder: folder.suffix, reverse=True)
        for folder in removed:
            if same_name(name) == same_name(folder.stem):
                with self._changing():
                    final = self.folder / self._free_name(folder.stem, exact=True)
                    folder.rename(final)
                return library_record.read(final)
        raise LibraryError(f"No avatar named {name!r} was removed.", remedy=f"The trash is {self.folder / TRASH}.")

    def rename(self, name: str, new_name: str) -> Avatar:
        """Give an avatar another name; it keeps its place.

        Raises:
            LibraryError: the new name is refused or taken, or the avatar is built in.
        """
        avatar, wanted = self._own(name), check_name(new_name)
        if same_name(wanted) != same_name(avatar.name):
            self._free_name(wanted, exact=True)
        names = [wanted if same_name(other.name) == same_name(avatar.name) else other.name for other in self.avatars()]
        with self._changing():
            avatar.folder.rename(self.folder / wanted)
            library_record.write_order(self.folder / ORDER_FILE, names)
        return library_record.read(self.folder / wanted)

    def reorder(self, names: Sequence[str]) -> None:
        """Put these avatars first, in this order; the others follow as they were.

        Raises:
            LibraryError: a name that is not there, or the folder cannot be written.
        """
        first = [self.find(name).name for name in names]
        rest = [avatar.name for avatar in self.avatars() if avatar.name not in first]
        with self._changing():
            library_record.write_order(self.folder / ORDER_FILE, [*first, *rest])

    def thumbnail(self, avatar: Avatar) -> RgbImage:
        """A square picture of the avatar, THUMBNAIL_PX on a side; made afresh where the stored one is missing.

        Raises:
            ImageError: the picture cannot be read either.
        """
        with contextlib.suppress(AvatarError):
            return load_image(avatar.folder / library_record.THUMBNAIL)
        return thumbnail_of(avatar, load_image(avatar.picture), self.face(avatar))

    def face(self, avatar: Avatar) -> Face | None:
        """The face marks kept at the import; None if there are none, or the picture was changed since."""
        if avatar.builtin:
            return library_record.read_face(avatar.folder)
        if not avatar.sha256 or avatar.problem:
            return None
        with contextlib.suppress(OSError, LibraryError):
            if sha256(avatar.picture) == avatar.sha256:
                return library_record.read_face(avatar.folder)
        return None

    def _folders(self) -> list[Path]:
        try:
            entries = sorted(self.folder.iterdir(), key=lambda entry: same_name(entry.name))
        except OSError:
            return []  # not made yet, or not readable: the built-in avatars remain
        return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]

    def _own(self, name: str) -> Avatar:
        avatar = self.find(name)
        if avatar.builtin:
            remedy = "Avatars that you added can be removed and renamed."
            raise LibraryError(f"{avatar.name} is built in and stays as it is.", remedy=remedy)
        return avatar

    def _free_name(self, name: str, *, exact: bool) -> str:
        taken = {same_name(avatar.name) for avatar in self.avatars()}
        taken |= {same_name(folder.name) for folder in self._folders()}
        if same_name(name) not in taken:
            return name
        if exact:
            raise LibraryError(f"There is an avatar named {name} already.", remedy="Choose another name.")
        return next(numbered for numbered in _numbered(name) if same_name(numbered) not in taken)

    def _refuse_twin(self, digest: str) -> None:
        for avatar in self.avatars():
            if avatar.sha256 == digest and not avatar.problem:
                remedy = "To have it twice, change one of the two pictures."
                raise LibraryError(f"This picture is there already, as {avatar.name}.", remedy=remedy)

    def _incoming(self) -> Path:
        """An empty folder under a passing name: nobody sees half an avatar."""
        incoming = self.folder / f"{INCOMING}{secrets.token_hex(4)}"
        incoming.mkdir()
        return incoming

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Let one program change the library at a time: two imports of one picture would not see each other."""
        with _explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with file_lock(self.folder / LOCK):
                yield

    def _publish(self, avatar: Avatar, *, exact: bool) -> Path:
        while True:
            final = self.folder / self._free_name(avatar.name, exact=exact)
            try:
                return avatar.folder.rename(final)
            except OSError:
                if not final.exists():  # else another import took the name at this moment
                    raise


def _usable(avatar: Avatar) -> Avatar:
    if avatar.problem:
        raise LibraryError(f"The avatar {avatar.name} cannot be used: {avatar.problem}.", remedy=avatar.remedy)
    return avatar


def _turn_of(avatar: Avatar) -> int | None:
    """By how much an avatar's picture is turned; None: nobody has looked, at a folder made by hand."""
    return avatar.turn_deg if avatar.builtin or avatar.sha256 else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _numbered(name: str) -> Iterator[str]:
    number = 2
    while True:
        yield f"{name} {number}"
        number += 1


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise LibraryError(
            f"The avatar folder {folder} cannot be written: {reason}.",
            remedy="Make room, or name another folder in the variable MASQUE_AVATARS.",
        ) from error
