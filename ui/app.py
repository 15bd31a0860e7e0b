"""The application object: creates settings, pipeline, session and window, and closes them."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from PyQt5.QtCore import QObject, Qt, QTimer
from PyQt5.QtWidgets import QApplication

from avatar.errors import AvatarError
from avatar.library.importing import Detect
from avatar.library.library import Library
from avatar.live.config import LiveConfig
from avatar.live.events import Event
from avatar.live.pipeline import Pipeline
from avatar.settings import Settings, load_settings, save_settings, settings_path
from avatar.system import interrupts
from ui import qt_exit
from ui.avatars import Avatars
from ui.background import Lane
from ui.bridge import PipelineBridge
from ui.captures import Captures
from ui.look import icons
from ui.look.language import Languages, tr
from ui.look.system_look import SystemLook
from ui.look.theme import DARK, LIGHT, apply_theme
from ui.services import Services
from ui.session import Notice, Session
from ui.system_keys.keys import SystemKeys
from ui.tray import Tray
from ui.window import MainWindow

logger = logging.getLogger(__name__)

STOP_S = 2.0
OpenPipeline = Callable[[LiveConfig, Callable[[Event], None]], Pipeline]


class App(QObject):
    """Owner of everything that outlives a window."""

    def __init__(
        self, application: QApplication, *, services: Services | None = None, detect: Detect | None = None,
        open_pipeline: OpenPipeline = lambda config, tell: Pipeline(config, on_event=tell),
    ) -> None:  # fmt: skip
        super().__init__()
        self.application = application
        settings, problem = _read_settings()
        self._languages, self._look = Languages(), SystemLook(application)
        self._look.changed.connect(lambda _: self._dress())
        self._languages.install(settings.window.language)
        self._style(settings)
        self.files, self.faces, self.slow = Lane("files", self), Lane("faces", self), Lane("lookups", self)
        self.bridge = PipelineBridge(self)
        self.pipeline = open_pipeline(LiveConfig.of(settings), self.bridge.tell)
        self.session = Session(self.pipeline, self.bridge, settings, self._save)
        self.captures = Captures(self.session, self.files)
        self.avatars = Avatars(self.files, self.faces, Library(), detect)
        self._services = services or Services()
        self.system_keys = SystemKeys(self)
        self.system_keys.pressed.connect(self._press)
        self.system_keys.released.connect(self._release)
        self.system_keys.failed.connect(lambda error: self.session.notice(Notice(error.what, error.remedy, "warning")))
        self.pipeline.start()  # prepares the avatar while the window is created; its events wait for the event loop
        self.window = self._make_window()
        self.bridge.watch(self.pipeline)
        self.session.changed.connect(self._follow)
        self._shown = (settings.window.language, settings.window.theme)
        self._closed = False
        if problem is not None:
            self.session.notice(Notice(problem.what, problem.remedy, "error"))

    def show(self) -> None:
        """Open the window."""
        self.window.show()
        self.system_keys.use(self.session.settings.window.system_keys)
        if self.session.settings.virtual_camera.with_program:
            self.captures.set_camera(True)

    def close(self) -> bool:
        """Stop everything and save the settings. False: a thread hangs, and ends with the process."""
        if self._closed:
            return True
        self._closed = True
        self.system_keys.close()
        self.session.save_now()
        self.avatars.close_tracker()
        ends_s = time.monotonic() + STOP_S
        lanes = self.files, self.faces, self.slow
        for lane in lanes:
            lane.ask_to_end()  # all at once: one after the other they would take as often as long
        stopped = self.pipeline.stop(STOP_S)
        self._languages.remove()
        return all([stopped, self.bridge.close(), *[lane.close(ends_s - time.monotonic()) for lane in lanes]])

    def _make_window(self) -> MainWindow:
        window = MainWindow(self.session, self.captures, self.avatars, self._services, self.files, self.slow)
        window.closed.connect(self.application.quit)
        self.tray = Tray(window)
        return window

    def _press(self, action: str) -> None:
        self.window.press_from_anywhere(action)  # of the window that is open now

    def _release(self, action: str) -> None:
        self.window.release_from_anywhere(action)

    def _follow(self, settings: Settings) -> None:
        """Rebuild the window when language or theme changes; the pipeline keeps running."""
        self.system_keys.use(settings.window.system_keys)
        if (settings.window.language, settings.window.theme) != self._shown:
            self._shown = (settings.window.language, settings.window.theme)
            QTimer.singleShot(0, self._dress)  # the menu that triggered it is still open

    def _dress(self) -> None:
        if self._closed:
            return
        self._languages.install(self.session.settings.window.language)
        self._style(self.session.settings)
        old = self.window
        self.tray.icon.hide()
        was_visible = old.isVisible()
        old.replace_quietly()
        self.window = self._make_window()
        self.window.setGeometry(old.geometry())
        if was_visible:  # otherwise it is in the tray
            self.window.show()

    def _style(self, settings: Settings) -> None:
        theme = settings.window.theme
        dark = self._look.dark if theme == "system" else theme == "dark"
        apply_theme(self.application, DARK if dark else LIGHT)

    def _save(self, settings: Settings) -> None:
        self.files.run(lambda: save_settings(settings), failed=self._not_saved)

    def _not_saved(self, error: AvatarError) -> None:
        self.session.notice(Notice(error.what, error.remedy, "warning", "settings"))


def make_application(argv: list[str]) -> QApplication:
    """Create the Qt application with high-DPI scaling."""
    QApplication.setAttribute(Qt.AA_EnableHighDpiScaling)
    QApplication.setAttribute(Qt.AA_UseHighDpiPixmaps)
    application = QApplication(argv)
    application.setApplicationName("masque")
    application.setApplicationDisplayName("Masque")
    application.setDesktopFileName("masque")
    application.setQuitOnLastWindowClosed(False)
    return application


def tell_mistakes(app: App) -> None:
    """Show unexpected exceptions and continue: without a hook PyQt aborts the program, and the session with it."""

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            app.application.quit()
            return
        logger.error("A mistake in the window", exc_info=(kind, error, trace))
        text = tr("Internal error in Masque: {what}", what=f"{kind.__name__}: {error}")
        app.session.notice(Notice(text, tr("Please report it; the details are in the terminal."), "error", "mistake"))

    sys.excepthook = tell


def run(application: QApplication) -> int:
    """Open the app and return its exit code once it is closed."""
    app = App(application)
    tell_mistakes(app)
    application.setWindowIcon(icons.application_icon())
    app.show()
    try:
        code = int(application.exec_())
    finally:
        busy = tr("Something is still busy; it ends with Masque.")  # closing ends the window's language
        is_clean = app.close()
    if not is_clean:
        logger.warning("%s", busy)
        interrupts.leave(code)
    qt_exit.leave_with(code)
    return code


def _read_settings() -> tuple[Settings, AvatarError | None]:
    """Load the settings; an unusable file is moved aside and reported, and the window opens with defaults."""
    try:
        return load_settings(), None
    except AvatarError as error:
        path = settings_path()
        aside = path.with_suffix(".damaged.toml")
        try:
            path.replace(aside)
            remedy = tr("It is kept as {name}; Masque starts with its defaults.", name=Path(aside).name)
        except OSError:
            remedy = error.remedy
        return Settings(), AvatarError(error.what, remedy=remedy)
