"""Operations of the File and Help menus: keys, models, doctor, import and export of settings."""

from __future__ import annotations

from pathlib import Path

from PyQt5.QtCore import QObject, QUrl
from PyQt5.QtGui import QDesktopServices
from PyQt5.QtWidgets import QFileDialog, QMessageBox, QWidget

from avatar import __version__
from avatar.errors import AvatarError
from avatar.settings import Settings, load_settings, save_settings
from ui.actions import Actions
from ui.background import Lane
from ui.captures import Captures
from ui.dialogs.doctor import DoctorDialog
from ui.dialogs.key_sheet import KeySheet
from ui.dialogs.models import ModelsDialog
from ui.look import icons
from ui.look.language import tr
from ui.services import Services
from ui.session import Notice, Session


def _open_folder(path: str) -> bool:
    return QDesktopServices.openUrl(QUrl.fromLocalFile(path))


class ProgramJobs(QObject):
    """Opens the dialogs of the File and Help menus."""

    def __init__(
        self, window: QWidget, session: Session, captures: Captures, services: Services, slow: Lane, files: Lane
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._captures = window, session, captures
        self._services, self._slow, self._files = services, slow, files

    def connect_actions(self, actions: Actions) -> None:
        """Connect the program's actions."""
        actions.on("keys", lambda: KeySheet(self._session, actions, self._window).exec_())
        actions.on("models", self.show_models)
        actions.on("doctor", lambda: self.show_doctor(actions))
        actions.on("export_settings", self.export_settings)
        actions.on("import_settings", self.import_settings)
        actions.on("open_captures", self.open_captures)
        actions.on("about", self.about)

    def show_models(self) -> None:
        """Download, import and choose models."""
        ModelsDialog(self._session, self._services, self._window).exec_()

    def fetch_model(self, name: str, parent: QWidget | None = None) -> None:
        """Open the list of models and download one at once; an empty name: let the user choose."""
        ModelsDialog(self._session, self._services, parent or self._window, fetch=name).exec_()

    def show_doctor(self, actions: Actions) -> None:
        """Examine the machine; a button of the result may end the dialog and show a part of the window."""
        dialog = DoctorDialog(self._services, self._slow, self._window)
        dialog.model_asked.connect(lambda name: self.fetch_model(name, dialog))
        dialog.exec_()
        dialog.give_up()
        if dialog.wanted_action:
            actions[dialog.wanted_action].trigger()

    def open_captures(self) -> None:
        """Open the folder of recordings in the system's file manager."""
        folder = self._captures.folder()

        def make() -> str:
            folder.mkdir(parents=True, exist_ok=True)
            return str(folder)

        self._files.run(make, self._show_folder, self._complain)

    def _show_folder(self, path: str) -> None:
        if not _open_folder(path):
            text = tr("No file manager was found to show it. The folder is:")
            self._session.notice(Notice(text, path, "warning"))

    def export_settings(self) -> None:
        """Write all settings to a file."""
        name, _ = QFileDialog.getSaveFileName(
            self._window, tr("Export settings"), "masque-settings.toml", f"{tr('Settings')} (*.toml)"
        )
        if name:
            settings = self._session.settings
            done = Notice(tr("Settings exported to {name}.", name=Path(name).name), level="good")
            self._files.run(
                lambda: save_settings(settings, Path(name)), lambda _: self._session.notice(done), self._complain
            )

    def import_settings(self) -> None:
        """Read all settings from a file."""
        name, _ = QFileDialog.getOpenFileName(self._window, tr("Import settings"), "", f"{tr('Settings')} (*.toml)")
        if name:
            self._files.run(lambda: load_settings(Path(name)), self._imported, self._complain)

    def about(self) -> None:
        """Show name, version and licence."""
        box = QMessageBox(self._window)
        box.setWindowTitle(tr("About Masque"))
        box.setIconPixmap(icons.logo(64, self._window.devicePixelRatioF()))
        box.setText(f"<h3>Masque {__version__}</h3>" + tr("A portrait that moves as you do."))
        box.setInformativeText(
            tr("Free software under the GPL, version 3 or later. Everything stays on this computer. "
               "Use pictures of people only if they agree, and say that what you show is an avatar.")
        )  # fmt: skip
        box.exec_()

    def _imported(self, settings: Settings) -> None:
        self._session.replace_all(settings)
        self._session.notice(Notice(tr("Settings imported."), level="good"))

    def _complain(self, error: AvatarError) -> None:
        self._session.notice(Notice(error.what, error.remedy, "error"))
