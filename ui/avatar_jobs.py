"""What the window does with avatars: choose, add, rename, mark, remove; with the dialogs that this takes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from PyQt5.QtCore import QMimeData, QObject
from PyQt5.QtGui import QImage
from PyQt5.QtWidgets import QApplication, QDialog, QFileDialog, QInputDialog, QMessageBox, QWidget

from avatar.errors import AvatarError
from avatar.frames import RgbImage
from avatar.images import SUFFIXES, load_image
from avatar.library_import import Choice
from avatar.library_names import same_name
from avatar.library_record import Avatar
from avatar.tracking.upright import turned
from ui.actions import Actions
from ui.avatars import Avatars, Entry
from ui.background import Lane
from ui.import_dialog import LIKENESS, ImportDialog
from ui.language import tr
from ui.marks_editor import MarksDialog
from ui.plain_text import unformatted
from ui.session import Notice, Session


class AvatarJobs(QObject):
    """Between the strip, the dialogs and the library."""

    def __init__(
        self, window: QWidget, avatars: Avatars, session: Session, files: Lane, focused: Callable[[], str]
    ) -> None:
        super().__init__(window)
        self._focused = focused  # the avatar that a menu or a key is about; empty: the one that is shown
        self._window, self._avatars, self._session, self._files = window, avatars, session, files
        self._folder = tempfile.TemporaryDirectory(prefix="masque-")  # for pictures that come without a file
        self.destroyed.connect(self._folder.cleanup)
        avatars.removed.connect(self._removed)
        avatars.added.connect(self._came_back)

    def connect_actions(self, actions: Actions) -> None:
        """Give the avatars' actions what they do."""
        actions.on("import", self.ask_files)
        actions.on("paste", self.paste)
        actions.on("rename", self.rename)
        actions.on("marks", self.mark)
        actions.on("remove", self.remove)
        actions.on("undo_remove", self.undo_remove)
        actions.on("reload", self._avatars.reload)

    # choosing

    def choose(self, name: str) -> None:
        """Show an avatar; one whose likeness nobody confirmed yet is asked about first."""
        entry = self._avatars.find(name)
        if entry is None:
            return
        if entry.avatar.problem:
            self._tell(Notice(f"{entry.avatar.name}: {entry.avatar.problem}.", entry.avatar.remedy, "error"))
            return
        if entry.avatar.needs_confirming:
            if not self._ask_likeness(entry.avatar):
                return
            self._avatars.confirm(entry.avatar.name)
        self._session.change("", avatar=entry.avatar.name)

    def choose_number(self, number: int) -> None:
        """Show the avatar at this place of the strip, from 1."""
        entries = self._avatars.entries
        if number <= len(entries):
            self.choose(entries[number - 1].avatar.name)
        else:
            self._tell(Notice(tr("There is no avatar {number} yet.", number=number), action="import"))

    def step(self, by: int) -> None:
        """Show the next avatar or the one before; the last is followed by the first."""
        entries = [entry for entry in self._avatars.entries if not entry.avatar.problem]
        if entries:
            names = [same_name(entry.avatar.name) for entry in entries]
            now = same_name(self._session.settings.avatar)
            row = (names.index(now) + by) % len(names) if now in names else 0
            self.choose(entries[row].avatar.name)

    def _ask_likeness(self, avatar: Avatar) -> bool:
        text = unformatted(tr("May you use the likeness of {name}?", name=avatar.name))
        box = QMessageBox(QMessageBox.Question, tr("Before it is shown"), text, QMessageBox.NoButton, self._window)
        box.setInformativeText(tr(LIKENESS))
        yes = box.addButton(tr("Yes, I may"), QMessageBox.AcceptRole)
        box.addButton(tr("No"), QMessageBox.RejectRole)
        box.exec_()
        return box.clickedButton() is yes

    # adding

    def ask_files(self) -> None:
        """Add pictures that the user picks."""
        patterns = " ".join(f"*{suffix}" for suffix in sorted(SUFFIXES))
        names, _ = QFileDialog.getOpenFileNames(
            self._window, tr("Pictures to animate"), "", f"{tr('Pictures')} ({patterns})"
        )
        self.add([Path(name) for name in names])

    def paste(self) -> None:
        """Add what is on the clipboard."""
        data = QApplication.clipboard().mimeData() or QMimeData()  # an empty clipboard of some systems has none
        if not self.take_in(data):
            remedy = tr("Copy one in a browser or file manager.")
            self._tell(Notice(tr("There is no picture on the clipboard."), remedy, "warning"))

    def take_in(self, data: QMimeData) -> bool:
        """Add what was dropped or pasted: files, or a picture itself. False: there was neither."""
        paths = [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]
        pictures = [path for path in paths if path.suffix.lower() in SUFFIXES]
        if pictures:
            self.add(pictures)
            return True
        image = QImage(data.imageData()) if data.hasImage() else QImage()
        if not image.isNull():
            path = Path(self._folder.name) / f"{tr('Pasted picture')}.png"
            self._files.run(lambda: image.save(str(path)), lambda saved: self.add([path]) if saved else None)
            return True
        if paths:
            text = tr("{name} is no picture.", name=paths[0].name)
            self._tell(Notice(text, tr("Drop a PNG or JPEG file."), "warning"))
            return True
        if data.hasUrls():
            remedy = tr("Save the picture first, then drop the file.")
            self._tell(Notice(tr("Masque fetches nothing from the web."), remedy, "warning"))
            return True
        return False

    def add(self, paths: list[Path]) -> None:
        """One dialog after the other; a picture that was added last is shown."""
        shown: Avatar | None = None
        for path in paths:
            dialog = ImportDialog(path, self._avatars, self._window)
            if dialog.exec_() == QDialog.Accepted and dialog.added is not None:
                shown = dialog.added
            dialog.deleteLater()
        if shown is not None:
            self._session.change("", avatar=shown.name)
            self._tell(Notice(tr("{name} is here.", name=shown.name), level="good"))

    # changing

    def rename(self) -> None:
        """Give the chosen avatar another name."""
        entry = self._own(tr("renamed"))
        if entry is None:
            return
        old = entry.avatar.name
        question = unformatted(tr("New name for {name}:", name=old))
        new, ok = QInputDialog.getText(self._window, tr("Rename"), question, text=old)
        if ok and new.strip() and new.strip() != old:
            self._avatars.rename(old, new.strip(), self._follow_name(old))

    def mark(self) -> None:
        """Set the marks of the chosen avatar's face."""
        entry = self._own(tr("marked"))
        if entry is None:
            return
        avatar = entry.avatar

        def show(rgb: RgbImage) -> None:
            dialog = MarksDialog(rgb, avatar.marks, self._window)
            if dialog.exec_() == QDialog.Accepted:
                choice = Choice(avatar.crop, dialog.marks(), turn_deg=avatar.turn_deg)
                self._avatars.change(avatar.name, choice, self._show_again, self._complain)
            dialog.deleteLater()

        self._files.run(lambda: turned(load_image(avatar.picture), avatar.turn_deg), show, self._complain)

    def remove(self) -> None:
        """Take the chosen avatar out; the notice offers to undo."""
        entry = self._own(tr("removed"))
        if entry is not None:
            self._avatars.remove(entry.avatar.name)

    def undo_remove(self) -> None:
        """Bring back what was removed last."""
        if not self._avatars.undo_remove():
            self._tell(Notice(tr("Nothing was removed.")))

    def _removed(self, avatar: Avatar) -> None:
        text = tr("{name} was removed.", name=avatar.name)
        self._tell(Notice(text, key="removed", action="undo_remove"))
        if same_name(avatar.name) == same_name(self._session.settings.avatar):
            self.step(1)

    def _came_back(self, avatar: Avatar) -> None:
        self._session.cleared.emit("removed")

    def _own(self, what: str) -> Entry | None:
        """The avatar that is shown, if it is the user's own."""
        entry = self._avatars.find(self._focused() or self._session.settings.avatar)
        if entry is not None and entry.avatar.builtin:
            text = tr("{name} is built in and cannot be {what}.", name=entry.avatar.name, what=what)
            self._tell(Notice(text, tr("Avatars that you added can.")))
            return None
        return entry

    def _follow_name(self, old: str) -> Callable[[Avatar], None]:
        def follow(avatar: Avatar) -> None:
            if same_name(self._session.settings.avatar) == same_name(old):
                self._session.change("", avatar=avatar.name)

        return follow

    def _show_again(self, avatar: Avatar) -> None:
        if same_name(avatar.name) == same_name(self._session.settings.avatar):
            self._session.pipeline.set_avatar(avatar.name)

    def _complain(self, error: AvatarError) -> None:
        self._tell(Notice(error.what, error.remedy, "error"))

    def _tell(self, notice: Notice) -> None:
        self._session.notice(notice)
