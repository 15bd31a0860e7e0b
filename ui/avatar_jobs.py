"""Operations on avatars in the window: choose, add, rename, mark and remove, with their dialogs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from PyQt5.QtCore import QMimeData, QObject, QTimer
from PyQt5.QtGui import QImage
from PyQt5.QtWidgets import QApplication, QDialog, QFileDialog, QInputDialog, QMessageBox, QWidget

from avatar.errors import AvatarError
from avatar.frames import RgbImage
from avatar.images.load import SUFFIXES, load_image
from avatar.library.importing import Choice
from avatar.library.names import same_name
from avatar.library.record import Avatar
from avatar.tracking import Face
from avatar.tracking.marks import marks_of
from avatar.tracking.upright import turned
from ui.actions import Actions
from ui.avatars import Avatars, Entry, numbered
from ui.background import Lane
from ui.dialogs.import_avatar import LIKENESS, ImportDialog
from ui.dialogs.marks_editor import MarksDialog
from ui.look.language import tr
from ui.session import Notice, Session
from ui.widgets.plain_text import unformatted


class AvatarJobs(QObject):
    """Connects the strip, the dialogs and the library."""

    def __init__(
        self, window: QWidget, avatars: Avatars, session: Session, files: Lane, focused: Callable[[], str],
        fetch_model: Callable[[str, QWidget], None],
    ) -> None:  # fmt: skip
        super().__init__(window)
        self._fetch_model = fetch_model  # opens the list of models over a dialog
        self._focused = focused  # name of the avatar that a menu or key applies to; empty: the shown one
        self._window, self._avatars, self._session, self._files = window, avatars, session, files
        self._folder = tempfile.TemporaryDirectory(prefix="masque-")  # for images without a file
        self.destroyed.connect(self._folder.cleanup)
        self._neighbour = ""  # of the avatar that is being removed
        avatars.removed.connect(self._removed)
        avatars.added.connect(self._came_back)

    def connect_actions(self, actions: Actions) -> None:
        """Connect the actions for avatars."""
        actions.on("import", self.ask_files)
        actions.on("paste", self.paste)
        actions.on("rename", self.rename)
        actions.on("marks", self.mark)
        actions.on("remove", self.remove)
        actions.on("undo_remove", self.undo_remove)
        actions.on("favourite", self.switch_favourite)
        actions.on("reload", self._avatars.reload)

    # choosing

    def choose(self, name: str) -> None:
        """Show an avatar, after asking to confirm its likeness if that was not done yet."""
        entry = self._avatars.find(name)
        if entry is None:
            return
        if entry.avatar.problem:
            text = tr("{name}: {problem}.", name=entry.avatar.name, problem=entry.avatar.problem)
            self._tell(Notice(text, entry.avatar.remedy, "error"))
            return
        if entry.avatar.needs_confirming:
            if not self._ask_likeness(entry.avatar):
                return
            self._avatars.confirm(entry.avatar.name)
        self._session.change("", avatar=entry.avatar.name)

    def choose_number(self, number: int) -> None:
        """Show the avatar of a number key."""
        entries = numbered(self._avatars.entries, self._session.settings.favourites)
        if number <= len(entries):
            self.choose(entries[number - 1].avatar.name)
        else:
            self._tell(Notice(tr("There is no avatar {number} yet.", number=number), action="import"))

    def step(self, by: int) -> None:
        """Show the next or the previous avatar, wrapping around."""
        entries = [entry for entry in self._avatars.entries if not entry.avatar.problem]
        if entries:
            names = [same_name(entry.avatar.name) for entry in entries]
            now = same_name(self._session.settings.avatar)
            row = (names.index(now) + by) % len(names) if now in names else 0
            self.choose(entries[row].avatar.name)

    def _ask_likeness(self, avatar: Avatar) -> bool:
        text = unformatted(tr("Do you have the right to use the likeness of {name}?", name=avatar.name))
        box = QMessageBox(QMessageBox.Question, tr("Before it is shown"), text, QMessageBox.NoButton, self._window)
        box.setInformativeText(tr(LIKENESS))
        yes = box.addButton(tr("Yes, I do"), QMessageBox.AcceptRole)
        box.addButton(tr("No"), QMessageBox.RejectRole)
        box.exec_()
        return box.clickedButton() is yes

    def switch_favourite(self, name: str = "") -> None:
        """Make an avatar a favourite, or not any more; without a name the one that a menu or key applies to."""
        entry = self._avatars.find(name or self._focused() or self._session.settings.avatar)
        if entry is not None:
            wanted, names = entry.avatar.name, self._session.settings.favourites
            others = [each for each in names if same_name(each) != same_name(wanted)]
            self._session.change("", favourites=others if len(others) < len(names) else [*names, wanted])

    # adding

    def ask_files(self) -> None:
        """Add images chosen in a file dialog."""
        patterns = " ".join(f"*{suffix}" for suffix in sorted(SUFFIXES))
        names, _ = QFileDialog.getOpenFileNames(
            self._window, tr("Pictures to animate"), "", f"{tr('Pictures')} ({patterns})"
        )
        self.add([Path(name) for name in names])

    def paste(self) -> None:
        """Add the images on the clipboard."""
        data = QApplication.clipboard().mimeData() or QMimeData()  # on some systems None for an empty clipboard
        if not self.take_in(data):
            remedy = tr("Copy one in a browser or file manager.")
            self._tell(Notice(tr("There is no picture on the clipboard."), remedy, "warning"))

    def what_a_drop_does(self, data: QMimeData) -> str:
        """Return a sentence on what will happen to data that is dragged over the window."""
        paths, images = _files_of(data)
        if len(images) > 1:
            return tr("Drop to add {n} pictures", n=len(images))
        if images or data.hasImage():
            return tr("Drop to add the picture")
        return (
            tr("{name} is not a picture.", name=paths[0].name) if paths else tr("Masque fetches nothing from the web.")
        )

    def take_in(self, data: QMimeData) -> bool:
        """Add dropped or pasted files, or an image itself; False if there is neither."""
        paths, images = _files_of(data)
        if images:
            QTimer.singleShot(0, lambda: self.add(images))  # a dialog must not keep the source of a drop waiting
            return True
        image = QImage(data.imageData()) if data.hasImage() else QImage()
        if not image.isNull():
            path = Path(self._folder.name) / f"{tr('Pasted picture')}.png"
            self._files.run(lambda: image.save(str(path)), lambda saved: self.add([path]) if saved else None)
            return True
        if paths:
            text = tr("{name} is not a picture.", name=paths[0].name)
            self._tell(Notice(text, tr("Drop a PNG or JPEG file."), "warning"))
            return True
        if data.hasUrls():
            remedy = tr("Save the picture first, then drop the file.")
            self._tell(Notice(tr("Masque fetches nothing from the web."), remedy, "warning"))
            return True
        return False

    def add(self, paths: list[Path]) -> None:
        """Open the import dialog for images, one after the other; show the last avatar added."""
        if not paths:
            return
        dialog = ImportDialog(paths, self._avatars, self._window)
        dialog.model_asked.connect(lambda name: self._fetch_model(name, dialog))
        dialog.exec_()
        added, left_out = dialog.all_added, dialog.left_out
        dialog.deleteLater()
        if left_out:
            remedy = tr("Left out: {names}. Add them one at a time to see why.", names=", ".join(left_out))
            text = tr("{n} of {count} pictures were added.", n=len(added), count=len(added) + len(left_out))
            self._tell(Notice(text, remedy, "warning", action="import"))
        elif len(added) > 1:
            self._tell(Notice(tr("{n} avatars were added.", n=len(added)), level="good"))
        elif added:
            self._tell(Notice(tr("{name} was added.", name=added[0].name), level="good"))
        if added:
            self._session.change("", avatar=added[-1].name)

    # changing

    def rename(self) -> None:
        """Rename the chosen avatar."""
        entry = self._own(tr("renamed"))
        if entry is None:
            return
        old = entry.avatar.name
        question = unformatted(tr("New name for {name}:", name=old))
        new, ok = QInputDialog.getText(self._window, tr("Rename"), question, text=old)
        if ok and new.strip() and new.strip() != old:
            self._avatars.rename(old, new.strip(), self._follow_name(old))

    def mark(self) -> None:
        """Edit the marks of the chosen avatar's face."""
        entry = self._own(tr("marked"))
        if entry is None:
            return
        avatar = entry.avatar

        def read() -> tuple[RgbImage, Face | None]:
            """Return the upright (H, W, 3) uint8 RGB image, and the face that was found in it."""
            face = None if avatar.marks else self._avatars.library.face(avatar)
            return turned(load_image(avatar.image_path), avatar.turn_deg), face

        def show(answer: tuple[RgbImage, Face | None]) -> None:
            """Open the editor with an (H, W, 3) uint8 RGB image and the face that was found in it."""
            rgb, face = answer
            dialog = MarksDialog(rgb, avatar.marks, self._window, marks_of(face.landmarks) if face else None)
            if dialog.exec_() == QDialog.Accepted and dialog.changed:
                choice = Choice(avatar.crop, dialog.marks(), turn_deg=avatar.turn_deg)
                self._avatars.change(avatar.name, choice, self._show_again, self._complain)
            dialog.deleteLater()

        self._files.run(read, show, self._complain)

    def remove(self) -> None:
        """Remove the chosen avatar; a notice offers to undo it."""
        entry = self._own(tr("removed"))
        if entry is not None:
            self._neighbour = self._beside(entry.avatar.name)
            self._avatars.remove(entry.avatar.name)

    def undo_remove(self) -> None:
        """Restore the avatar removed last."""
        if not self._avatars.undo_remove():
            self._tell(Notice(tr("Nothing was removed.")))

    def _removed(self, avatar: Avatar) -> None:
        text = tr("{name} was removed.", name=avatar.name)
        self._tell(Notice(text, key="removed", action="undo_remove"))
        if same_name(avatar.name) == same_name(self._session.settings.avatar):
            self.choose(self._neighbour)

    def _beside(self, name: str) -> str:
        """Return the avatar right of one, left of the last one; of those that can be shown without a question."""
        names = [entry.avatar.name for entry in self._avatars.entries]
        row = [same_name(each) for each in names].index(same_name(name))
        beside = [*self._avatars.entries[row + 1 :], *reversed(self._avatars.entries[:row])]
        usable = (each.avatar for each in beside if not (each.avatar.problem or each.avatar.needs_confirming))
        return next((avatar.name for avatar in usable), "")

    def _came_back(self, avatar: Avatar) -> None:
        self._session.cleared.emit("removed")

    def _own(self, what: str) -> Entry | None:
        """Return the selected avatar, if it is the user's own."""
        entry = self._avatars.find(self._focused() or self._session.settings.avatar)
        if entry is not None and entry.avatar.builtin:
            text = tr("{name} is built in and cannot be {what}.", name=entry.avatar.name, what=what)
            self._tell(Notice(text, tr("Avatars that you added can.")))
            return None
        return entry

    def _follow_name(self, old: str) -> Callable[[Avatar], None]:
        def follow(avatar: Avatar) -> None:
            self._session.rename_place(old, avatar.name)
            if same_name(old) in [same_name(each) for each in self._session.settings.favourites]:
                names = [each for each in self._session.settings.favourites if same_name(each) != same_name(old)]
                self._session.change("", favourites=[*names, avatar.name])
            if same_name(self._session.settings.avatar) == same_name(old):
                self._session.change("", avatar=avatar.name)

        return follow

    def _show_again(self, avatar: Avatar) -> None:
        if same_name(avatar.name) == same_name(self._session.settings.avatar):
            self._session.pipeline.show_again()

    def _complain(self, error: AvatarError) -> None:
        self._tell(Notice(error.what, error.remedy, "error"))

    def _tell(self, notice: Notice) -> None:
        self._session.notice(notice)


def _files_of(data: QMimeData) -> tuple[list[Path], list[Path]]:
    """Return all local files of dragged or pasted data, and the images among them."""
    paths = [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]
    return paths, [path for path in paths if path.suffix.lower() in SUFFIXES]
