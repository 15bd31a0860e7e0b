"""The avatars: a folder of the user's portraits, each with its name, face marks, source and licence note.

    avatars/
      order.toml            the names in the order they are shown
      Mona Lisa/
        avatar.toml         picture, sha256, source, licence, created, confirmed, turn, crop, marks; the name is that
                          of the folder
        picture.jpg         the added file, unchanged
        thumbnail.png
        face.safetensors    landmarks (478, 3) and blendshapes (52,) of the face that is animated; absent without a face
      .trash/               removed avatars, until `restore` or the user takes them out

The astronaut photograph that scikit-image includes is a built-in avatar and takes no space.
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

from avatar.errors import AvatarError, LibraryError
from avatar.frames import RgbImage
from avatar.images.load import load_image
from avatar.library import record as library_record
from avatar.library.builtin import ASTRONAUT, builtin_avatars
from avatar.library.importing import (
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
from avatar.library.names import as_name, check_name, same_name
from avatar.library.prepared import PreparedStore
from avatar.library.record import Avatar
from avatar.portrait.check import PortraitReport
from avatar.portrait.source import Likeness
from avatar.system.locks import file_lock
from avatar.system.message import Message, chained
from avatar.tracking.face import Face

TRASH, ORDER_FILE, LOCK = ".trash", "order.toml", ".lock"
INCOMING = ".incoming-"  # prefix of folders that are not complete yet


def library_folder() -> Path:
    """Return the folder of the user's avatars: MASQUE_AVATARS, or the user's data folder."""
    import platformdirs

    override = os.environ.get("MASQUE_AVATARS")
    return Path(override) if override else Path(platformdirs.user_data_dir("masque", appauthor=False)) / "avatars"


@dataclass(frozen=True, eq=False)
class Added:
    """Result of `Library.add`."""

    avatar: Avatar
    report: PortraitReport


class Library:
    """The avatars in one folder, which is created with the first one."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or library_folder()

    def avatars(self) -> list[Avatar]:
        """List all avatars in the user's order, including built-in ones; damaged ones have a `problem`."""
        found = [*builtin_avatars(), *(library_record.read(folder) for folder in self._folders())]
        names = library_record.read_order(self.folder / ORDER_FILE)
        order = {same_name(name): place for place, name in enumerate(names)}
        return sorted(found, key=lambda avatar: order.get(same_name(avatar.name), len(order)))

    def find(self, name: str) -> Avatar:
        """Find an avatar by name, ignoring case.

        Without scikit-image, which contains the astronaut's portrait, the first built-in avatar replaces it, because it
        is the default of the settings.

        Raises:
            LibraryError: there is none; the remedy lists similar names.
        """
        avatars = self.avatars()
        for avatar in avatars:
            if same_name(avatar.name) == same_name(name):
                return avatar
        if same_name(name) == same_name(ASTRONAUT) and (builtin := builtin_avatars()):
            return builtin[0]
        names = [avatar.name for avatar in avatars]
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = (
            Message(
                "Did you mean {names}?",
                names=chained("{first} or {second}", *close),
            )
            if close
            else Message("There are: {names}.", names=", ".join(names))
        )
        raise LibraryError(Message("There is no avatar named {name!r}.", name=name), remedy=hint)

    def likeness(self, name_or_path: str | Path) -> Likeness:
        """Resolve a portrait: an existing file, otherwise the avatar of that name with its face and crop.

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
                raise LibraryError(Message("{path} is a folder, not a picture.", path=path), remedy=remedy) from error
            if path.suffix or path.parent != Path():
                remedy = "Check the file's name, or give an avatar's name."
                raise LibraryError(Message("There is no picture {path}.", path=path), remedy=remedy) from error
            raise
        return Likeness(_usable(avatar).image_path, self.face(avatar), avatar.crop or "auto", _turn_of(avatar))

    def resolve(self, name_or_path: str | Path) -> Path:
        """Return the image file of a portrait, as `likeness`. Raises: LibraryError."""
        return self.likeness(name_or_path).path

    def add(
        self,
        path: Path,
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
        """Add an image to the library, atomically.

        Args:
            path: the image file.
            detect: detects faces, largest first, as `avatar.tracking.find_faces`.
            name: None takes the file's name, with a number if that is taken.
            source: the user's note on the origin of the image.
            licence: the user's note on its terms of use.
            without_face: keep an image that `check_portrait` refuses, for engines that need no face.
            choice: part and face to animate, or the marks of the face.
            confirmed: the user confirmed the right to use this likeness; see `confirm`.
            how_turned: determines the rotation of the image; None: it is upright.
        Raises:
            ImageError: it cannot be read.
            FaceError: it shows no face that can be animated.
            UsageError: the choice does not fit the image.
            LibraryError: the name is refused or taken, the image was added already, or the folder cannot be written.
        """
        wanted = check_name(name) if name is not None else as_name(path.stem)
        rgb = load_image(path)
        report = examine(rgb, detect, choice, how_turned)
        if not without_face:
            report.raise_if_refused()
        with self._changing():
            digest = sha256(path)
            self._refuse_twin(digest)
            self._free_name(wanted, exact=name is not None)  # raises for a taken name before anything is copied
            file, now = f"picture{path.suffix.lower()}", _now()
            avatar = Avatar(
                wanted, self._incoming(), file, digest, source, licence, now, now if confirmed else "",
                report.crop, choice.marks, report.turn_deg,
            )  # fmt: skip
            try:
                fill(avatar, path, rgb, report.face)
                final = self._publish(avatar, exact=name is not None)
            finally:
                shutil.rmtree(avatar.folder, ignore_errors=True)
        return Added(library_record.read(final), report)

    def confirm(self, name: str) -> Avatar:
        """Store that the user confirmed the right to use this likeness; asked once, at import or first use.

        Raises:
            LibraryError: there is none of that name, it is built in, or its record cannot be written.
        """
        avatar = _usable(self._own(name))
        with self._changing():
            library_record.write(replace(avatar, confirmed=_now()))
        return library_record.read(avatar.folder)

    def change(self, name: str, choice: Choice, *, detect: Detect, how_turned: HowTurned | None = None) -> Added:
        """Change the animated part and face of an avatar's image, or the marks of the face.

        Raises:
            ImageError: the image cannot be read.
            FaceError: no face can be animated that way; the avatar is unchanged.
            UsageError: the choice does not fit the image.
            LibraryError: there is none of that name, it is built in, or its folder cannot be written.
        """
        avatar = _usable(self._own(name))
        rgb = load_image(avatar.image_path)
        report = examine(rgb, detect, choice, how_turned)
        report.raise_if_refused()
        with self._changing():
            digest = sha256(avatar.image_path)  # the image may have been edited
            changed = replace(avatar, sha256=digest, crop=report.crop, marks=choice.marks, turn_deg=report.turn_deg)
            describe(changed, rgb, report.face)
        return Added(library_record.read(avatar.folder), report)

    def remove(self, name: str) -> Avatar:
        """Move an avatar to the trash folder, from which `restore` recovers it, and delete what was prepared of it.

        Raises:
            LibraryError: there is none of that name, or it is built in.
        """
        avatar = self._own(name)
        with self._changing():
            trash = self.folder / TRASH
            trash.mkdir(exist_ok=True)
            avatar.folder.rename(trash / f"{avatar.folder.name}.{time.time_ns():020d}")
        PreparedStore().forget(avatar.image_path)
        return avatar

    def restore(self, name: str) -> Avatar:
        """Restore the avatar of that name that was removed last.

        Raises:
            LibraryError: none was removed, or its name is taken.
        """
        removed = sorted((self.folder / TRASH).glob("*"), key=lambda folder: folder.suffix, reverse=True)
        for folder in removed:
            if same_name(name) == same_name(folder.stem):
                with self._changing():
                    final = self.folder / self._free_name(folder.stem, exact=True)
                    folder.rename(final)
                return library_record.read(final)
        raise LibraryError(
            Message("No avatar named {name!r} was removed.", name=name),
            remedy=Message("The trash is {folder}.", folder=self.folder / TRASH),
        )

    def rename(self, name: str, new_name: str) -> Avatar:
        """Rename an avatar; it keeps its position.

        Raises:
            LibraryError: the new name is refused or taken, or the avatar is built in.
        """
        avatar, wanted = self._own(name), check_name(new_name)
        if same_name(wanted) != same_name(avatar.name):
            self._free_name(wanted, exact=True)
        names = [wanted if same_name(other.name) == same_name(avatar.name) else other.name for other in self.avatars()]
        with self._changing():
            avatar.folder.rename(self.folder / wanted)
            PreparedStore().forget(avatar.image_path)  # its files would not be found under the new name
            library_record.write_order(self.folder / ORDER_FILE, names)
        return library_record.read(self.folder / wanted)

    def reorder(self, names: Sequence[str]) -> None:
        """Move these avatars to the front, in this order; the others keep their order.

        Raises:
            LibraryError: a name is unknown, or the folder cannot be written.
        """
        first = [self.find(name).name for name in names]
        rest = [avatar.name for avatar in self.avatars() if avatar.name not in first]
        with self._changing():
            library_record.write_order(self.folder / ORDER_FILE, [*first, *rest])

    def thumbnail(self, avatar: Avatar) -> RgbImage:
        """Return a square image of the avatar, THUMBNAIL_PX on a side; recreated if the stored one is missing.

        Raises:
            ImageError: the image cannot be read either.
        """
        with contextlib.suppress(AvatarError):
            return load_image(avatar.folder / library_record.THUMBNAIL)
        return thumbnail_of(avatar, load_image(avatar.image_path), self.face(avatar))

    def face(self, avatar: Avatar) -> Face | None:
        """Return the landmarks stored at import; None if there are none or the image has changed since."""
        if avatar.builtin:
            return library_record.read_face(avatar.folder)
        if not avatar.sha256 or avatar.problem:
            return None
        with contextlib.suppress(OSError, LibraryError):
            if sha256(avatar.image_path) == avatar.sha256:
                return library_record.read_face(avatar.folder)
        return None

    def _folders(self) -> list[Path]:
        try:
            entries = sorted(self.folder.iterdir(), key=lambda entry: same_name(entry.name))
        except OSError:
            return []  # missing or not readable: only built-in avatars
        return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]

    def _own(self, name: str) -> Avatar:
        avatar = self.find(name)
        if avatar.builtin:
            remedy = "Avatars that you added can be removed and renamed."
            raise LibraryError(Message("{name} is built in and stays as it is.", name=avatar.name), remedy=remedy)
        return avatar

    def _free_name(self, name: str, *, exact: bool) -> str:
        taken = {same_name(avatar.name) for avatar in self.avatars()}
        taken |= {same_name(folder.name) for folder in self._folders()}
        if same_name(name) not in taken:
            return name
        if exact:
            raise LibraryError(
                Message("There is an avatar named {name} already.", name=name), remedy="Choose another name."
            )
        return next(numbered for numbered in _numbered(name) if same_name(numbered) not in taken)

    def _refuse_twin(self, digest: str) -> None:
        for avatar in self.avatars():
            if avatar.sha256 == digest and not avatar.problem:
                remedy = "To have it twice, change one of the two pictures."
                raise LibraryError(
                    Message("This picture is there already, as {name}.", name=avatar.name), remedy=remedy
                )

    def _incoming(self) -> Path:
        """Create a temporary folder, so that a half-written avatar is never visible."""
        incoming = self.folder / f"{INCOMING}{secrets.token_hex(4)}"
        incoming.mkdir()
        return incoming

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Lock the library against other processes: two imports of one image would not see each other."""
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
                if not final.exists():  # otherwise another import has just taken the name
                    raise


def _usable(avatar: Avatar) -> Avatar:
    if avatar.problem:
        raise LibraryError(
            Message("The avatar {name} cannot be used: {problem}.", name=avatar.name, problem=avatar.problem),
            remedy=avatar.remedy,
        )
    return avatar


def _turn_of(avatar: Avatar) -> int | None:
    """Return the rotation of an avatar's image; None if unknown, as for a folder created by hand."""
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
            Message("The avatar folder {folder} cannot be written: {reason}.", folder=folder, reason=reason),
            remedy="Make room, or name another folder in the variable MASQUE_AVATARS.",
        ) from error
