"""The main window: creates the widgets and connects them with session, captures and avatars."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

from PyQt5.QtCore import QByteArray, QEvent, Qt, QTimer, pyqtSignal
from PyQt5.QtGui import QCloseEvent, QDragEnterEvent, QDragLeaveEvent, QDropEvent, QGuiApplication, QShowEvent
from PyQt5.QtWidgets import (
    QApplication,
    QMainWindow,
    QMessageBox,
    QSplitter,
    QStackedWidget,
    QSystemTrayIcon,
    QVBoxLayout,
    QWidget,
)

from avatar.errors import AvatarError
from avatar.live.config import VOICE
from avatar.live.events import CalibrationCountdown, CalibrationDone, CalibrationRefused, Event
from avatar.settings import Settings
from avatar.system.foreign_text import shown
from ui.actions import Actions
from ui.avatar_jobs import AvatarJobs
from ui.avatars import Avatars, Entry, numbered
from ui.background import Lane
from ui.captures import Captures, CaptureState
from ui.dialogs.guide import Guide
from ui.dialogs.key_filter import KeyFilter
from ui.look import icons
from ui.look.language import tr
from ui.menus import fill_menus
from ui.panels.side_panel import SidePanel
from ui.program_jobs import ProgramJobs
from ui.services import Services
from ui.session import FINE, LiveState, Notice, Session
from ui.system_keys.base import HELD
from ui.widgets.avatar_strip import AvatarStrip
from ui.widgets.drop_hint import DropHint
from ui.widgets.header import Header
from ui.widgets.hold import Hold
from ui.widgets.stage import Stage
from ui.widgets.status_chip import chip

STATUS_MS = 500
PREVIEWS = {"corner": "large", "large": "hidden", "hidden": "corner"}
DEFAULT_SIZE = (1180, 760)
PLACE_ZOOM, PLACE_STEP = 1.06, 0.02  # of the avatar, for each press of a key


class MainWindow(QMainWindow):
    """Main window of a session; rebuilt when language or theme changes."""

    closed = pyqtSignal()
    hidden = pyqtSignal()  # in the tray

    def __init__(
        self, session: Session, captures: Captures, avatars: Avatars, services: Services, files: Lane, slow: Lane
    ) -> None:
        super().__init__()
        self.session, self.captures, self.avatars, self.services = session, captures, avatars, services
        self.setWindowTitle("Masque")
        self.setWindowIcon(icons.application_icon())
        self.setAcceptDrops(True)
        self.setAttribute(Qt.WA_AlwaysShowToolTips)  # also while another window has the focus
        self.actions_ = Actions(self, session.settings.keys)
        self.hold = Hold(self)
        self.header = Header(self.actions_, self.hold)
        self.stage = Stage(self.actions_)
        self.strip = AvatarStrip(self.actions_)
        self.panel = SidePanel(session, captures, self.actions_, services, slow, slow)
        self.guide = Guide(session, captures, self.panel.camera, self.actions_)
        self.keys = KeyFilter(self, self.actions_, self.hold, session)
        self.program_jobs = ProgramJobs(self, session, captures, services, slow, files)
        fetch = self.program_jobs.fetch_model
        self.avatar_jobs = AvatarJobs(self, avatars, session, files, self.strip.list.focused_name, fetch)
        self._countdown = ""
        self._prepared_beside = ""  # the avatar whose neighbours were asked for
        self._hold_share = 0.0
        self._ask_before_closing = True
        self._quits = False
        self.has_tray: Callable[[], bool] = QSystemTrayIcon.isSystemTrayAvailable
        self._lay_out()
        fill_menus(self.menuBar(), self.actions_, session)
        self._connect()
        self._status_timer = QTimer(self)
        self._status_timer.timeout.connect(self._show_status)
        self._status_timer.start(STATUS_MS)
        self._follow(session.settings)
        self._show_state(session.state)
        self._show_captures(captures.state)
        if avatars.entries:
            self._list_avatars(avatars.entries)
        if not session.settings.window.guide_done:
            self.side.setCurrentWidget(self.guide)

    # layout and connections

    def _lay_out(self) -> None:
        self.side = QStackedWidget()
        self.side.addWidget(self.panel)
        self.side.addWidget(self.guide)
        centre = QWidget()
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.stage, 1)
        column.addWidget(self.strip)
        self.splitter = QSplitter(Qt.Horizontal)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(centre)
        self.splitter.addWidget(self.side)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setSizes([DEFAULT_SIZE[0] - 360, 360])
        whole = QWidget()
        whole.setObjectName("Ground")
        rows = QVBoxLayout(whole)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(0)
        rows.addWidget(self.header)
        rows.addWidget(self.splitter, 1)
        self.setCentralWidget(whole)
        self.drop_hint = DropHint(self)
        self.setMinimumSize(760, 520)
        self._restore_geometry()

    def _connect(self) -> None:
        session, captures, stage = self.session, self.captures, self.stage
        session.bridge.avatar_ready.connect(self._take_avatar)
        session.bridge.camera_ready.connect(self._take_camera)
        session.changed.connect(self._follow)
        session.state_changed.connect(self._show_state)
        session.noticed.connect(stage.banners.show_notice)
        session.cleared.connect(stage.banners.clear)
        stage.banners.model_asked.connect(self.program_jobs.fetch_model)
        session.happened.connect(self._count_down)
        captures.changed.connect(self._show_captures)
        stage.avatar.place_asked.connect(session.place)
        stage.preview_changed.connect(lambda preview: session.change("window", preview=preview))
        self.strip.list.chosen.connect(self.avatar_jobs.choose)
        self.strip.list.starred.connect(self.avatar_jobs.switch_favourite)
        self.strip.list.model_.moved.connect(self.avatars.reorder)
        self.avatars.listed.connect(self._list_avatars)
        self.avatars.failed.connect(self._complain)
        self.hold.progressed.connect(self._show_hold)
        self.hold.held.connect(lambda: session.pass_through(True))
        self.hold.let_go.connect(self._explain_hold)
        self.header.show_me.pressed.connect(self._end_pass_through)
        self.header.show_me.clicked.connect(lambda: self.header.show_me.setChecked(session.state.passing))
        self.guide.finished.connect(self._end_guide)
        application = QApplication.instance()
        if application is not None:
            application.installEventFilter(self.keys)
        self._connect_actions()

    def _connect_actions(self) -> None:
        session, captures, on = self.session, self.captures, self.actions_.on
        switch = self.actions_.on_switch
        for number in range(1, 10):
            on(f"avatar_{number}", partial(self.avatar_jobs.choose_number, number))
        on("previous_avatar", lambda: self.avatar_jobs.step(-1))
        on("search_avatar", self._search_avatar)
        on("next_avatar", lambda: self.avatar_jobs.step(1))
        for name, steps in (("", 1.0), ("_fine", FINE)):
            on(f"zoom_in{name}", partial(session.zoom, steps))
            on(f"zoom_out{name}", partial(session.zoom, -steps))
            for way, right, down in (("up", 0, -1), ("down", 0, 1), ("left", -1, 0), ("right", 1, 0)):
                on(f"pan_{way}{name}", partial(session.pan, right * steps, down * steps))
        avatar = self.stage.avatar
        on("place_larger", lambda: avatar.zoom(PLACE_ZOOM))
        on("place_smaller", lambda: avatar.zoom(1 / PLACE_ZOOM))
        for way, right, down in (("up", 0, -1), ("down", 0, 1), ("left", -1, 0), ("right", 1, 0)):
            on(f"place_{way}", partial(avatar.nudge, PLACE_STEP * right, PLACE_STEP * down))
        on("reset_place", avatar.reset_place)
        on("reset_crop", session.reset_crop)
        on("ghost_less", lambda: self._change_ghost(-0.1))
        on("ghost_more", lambda: self._change_ghost(0.1))
        on("choose_camera", lambda: self._reveal("camera"))
        on("calibrate", lambda: session.calibrate(guided=False))
        on("guided", lambda: session.calibrate(guided=True))
        on("undo_calibration", session.pipeline.undo_calibration)
        on("recentre", session.pipeline.recentre)
        switch("search", lambda on_: session.change("calibration", search=on_))
        switch("virtual_camera", captures.set_camera)
        switch("browser_source", captures.set_browser)
        switch("freeze", session.freeze)
        on("pass_through", self._end_pass_through)
        switch("record", captures.set_recording)
        on("snapshot", lambda: captures.snapshot(self.stage.avatar.frame))
        on("save_replay", captures.save_replay)
        for name in ("mirror_preview", "landmarks", "overlay", "panel"):
            switch(name, partial(self._switch_window, name))
        switch("mirror_output", lambda on_: session.change("canvas", mirror=on_))
        on("preview", lambda: session.change("window", preview=PREVIEWS[session.settings.window.preview]))
        switch("full_screen", lambda on_: self.showFullScreen() if on_ else self.showNormal())
        on("leave_full_screen", self._leave)
        on("guide", self._begin_guide)
        on("use_warp", lambda: session.change("engine", name="warp", model="", device="auto", remote=""))
        switch("camera_with_program", lambda on_: session.change("virtual_camera", with_program=on_))
        switch("close_to_tray", self._use_tray)
        on("quit", self.quit)
        self.avatar_jobs.connect_actions(self.actions_)
        self.program_jobs.connect_actions(self.actions_)

    # display

    def _take_avatar(self) -> None:
        frame = self.session.bridge.take_avatar()
        if frame is not None and not self.isMinimized():
            self.stage.avatar.show_frame(frame)

    def _take_camera(self) -> None:
        preview = self.session.bridge.take_camera()
        if preview is not None and self.session.has_camera:
            self.stage.camera.show_preview(preview)

    def _follow(self, settings: Settings) -> None:
        window = settings.window
        for name in ("mirror_preview", "landmarks", "overlay", "panel"):
            self.actions_[name].setChecked(getattr(window, name))
        self.actions_["mirror_output"].setChecked(settings.canvas.mirror)
        self.actions_["camera_with_program"].setChecked(settings.virtual_camera.with_program)
        self.actions_["close_to_tray"].setChecked(window.close_to_tray)
        self.actions_["search"].setChecked(settings.calibration.search)
        self.actions_.set_keys(settings.keys)
        self.side.setVisible(window.panel or self.side.currentWidget() is self.guide)
        self.stage.set_preview(window.preview, wide=bool(self._countdown))
        self.stage.avatar.set_canvas(settings.canvas)
        self.stage.camera.set_options(
            mirror=window.mirror_preview != settings.camera.mirror, landmarks=window.landmarks, ghost=window.ghost,
            crop_by_hand=not settings.crop.auto,
        )  # fmt: skip
        self._say_what_moves_it()
        self.strip.list.set_favourites(settings.favourites)
        self._mark_avatar(settings.avatar)
        self._show_status()

    def _say_what_moves_it(self) -> None:
        """Say in place of the camera's picture what moves the avatar, where there is no camera."""
        voice = self.session.settings.camera.source == VOICE and not self.session.state.source_problem
        if voice:
            self.stage.camera.clear(tr("No camera. The avatar speaks as you do."))
        elif not self.session.has_camera:
            self.stage.camera.clear(tr("No camera. The avatar moves by itself."))

    def _show_state(self, state: LiveState) -> None:
        self.actions_["freeze"].setChecked(state.frozen)
        self.header.show_me.setChecked(state.passing)
        if not state.source and self.session.has_camera:
            failed = tr("No picture from the camera.")
            self.stage.camera.clear(failed if state.source_problem else tr("Waiting for the camera…"))
        self._say_what_moves_it()
        self.strip.list.set_preparing(state.preparing)
        if state.avatar != self._prepared_beside:
            self._prepare_beside(state.avatar)
        self._show_marks()
        self._show_status()

    def _prepare_beside(self, shown: str) -> None:
        """Have those prepared that a key or a click reaches next: the neighbours first, then all with a number."""
        self._prepared_beside = shown
        entries = self.avatars.entries
        with_key = numbered(entries, self.session.settings.favourites)
        row = self.strip.list.model_.row_of(shown)
        near = sorted(range(len(entries)), key=lambda number: abs(number - row))
        names = [
            entries[number].avatar.name for number in near if entries[number] in with_key or abs(number - row) <= 2
        ]
        self.session.prepare_ahead(
            [name for name in names if (entry := self.avatars.find(name)) and not entry.avatar.problem]
        )

    def _show_captures(self, state: CaptureState) -> None:
        self.actions_["virtual_camera"].setChecked(state.camera)
        self.actions_["browser_source"].setChecked(state.browser)
        self.actions_["virtual_camera"].setIconText(f" {state.camera_text}")
        self.actions_["record"].setChecked(state.recording is not None)
        self.actions_["record"].setIconText(" " + (tr("Stop") if state.recording else tr("Record")))
        self.actions_["record"].setIcon(icons.icon("stop" if state.recording else "record"))
        self.header.fit()
        self._show_status()

    def _show_status(self) -> None:
        window, state = self.session.settings.window, self.session.state
        engine = self.session.settings.engine
        wanted = "gpu" if (engine.name, engine.render) == ("warp", "graphics") else engine.device
        parts = chip(self.session.pipeline.statistics(), state, wanted) if window.overlay else []
        self.stage.avatar.set_chip([*self._under_way(), *parts])
        if self.captures.state.camera:
            self.panel.output.show_camera(self.captures.state)
        if self.captures.state.browser:
            self.panel.output.browser.show_state(self.captures.state)

    def _under_way(self) -> list[tuple[str, str]]:
        """List the activities that are shown even when the chip is hidden."""
        parts = []
        captures = self.captures.state
        if captures.recording is not None:
            minutes, seconds = divmod(int(time.monotonic() - captures.recording_since_s), 60)
            parts.append((tr("Recording {time}", time=f"{minutes}:{seconds:02d}"), "danger"))
        if self.session.state.preparing:
            name = self.session.state.preparing
            entry = self.avatars.find(name)
            parts.append((tr("Preparing {name}…", name=entry.avatar.name if entry else name), "accent"))
        return parts

    def _show_marks(self) -> None:
        state = self.session.state
        badge = tr("YOUR REAL FACE IS SHOWN") if state.passing else tr("FROZEN") if state.frozen else ""
        countdown = self._countdown if self.stage.camera.isHidden() else ""
        self.stage.avatar.set_marks(countdown=countdown, badge=badge, passing=state.passing, hold=self._hold_share)

    def _show_hold(self, share: float) -> None:
        self._hold_share = 0.0 if self.session.state.passing else share
        self._show_marks()

    def _count_down(self, event: Event) -> None:
        if isinstance(event, CalibrationCountdown):
            self._countdown = str(event.seconds) if event.seconds else tr("Look straight ahead…")
        elif isinstance(event, CalibrationDone | CalibrationRefused):
            self._countdown = ""
        else:
            return
        self.stage.set_preview(self.session.settings.window.preview, wide=bool(self._countdown))
        self.stage.camera.set_countdown(self._countdown)
        self._show_marks()

    def _list_avatars(self, entries: list[Entry]) -> None:
        self.strip.set_entries(entries, self.session.settings.avatar)
        self._prepare_beside(self.session.state.avatar)
        self._mark_avatar(self.session.settings.avatar)

    def _mark_avatar(self, name: str) -> None:
        self.strip.set_chosen(name)
        entry = self.avatars.find(name)
        self.stage.camera.set_ghost(entry.thumbnail if entry else None)
        self.stage.avatar.set_placeholder(entry.thumbnail if entry else None)
        self.setWindowTitle(f"{shown(entry.avatar.name if entry else name)} – Masque")

    def _complain(self, error: AvatarError) -> None:
        self.stage.banners.show_notice(Notice(error.what, error.remedy, "error"))

    # user actions

    def _switch_window(self, name: str, on: bool) -> None:
        self.session.change("window", **{name: on})

    def _change_ghost(self, step: float) -> None:
        ghost = min(1.0, max(0.0, self.session.settings.window.ghost + step))
        self.session.change("window", ghost=round(ghost, 2))

    def _end_pass_through(self) -> None:
        if self.session.state.passing:
            self.hold.cancel()
            self.session.pass_through(False)

    def _explain_hold(self) -> None:
        self.session.notice(Notice(tr("Hold it for a second to show your real face.")))

    def _search_avatar(self) -> None:
        if self.isFullScreen():
            self._leave()
        self.strip.search.setFocus(Qt.ShortcutFocusReason)
        self.strip.search.selectAll()

    def _reveal(self, section: str) -> None:
        self.session.change("window", panel=True)
        self.side.setCurrentWidget(self.panel)
        self.panel.reveal(section)

    def quit(self) -> None:
        """Close, and end the program, also where closing only hides the window."""
        self._quits = True
        self.show()  # behind a question whether to close
        self._quits = self.close()

    def _use_tray(self, on: bool) -> None:
        """Have closing hide the window, where an icon can bring it back."""
        if on and not self.has_tray():
            self.actions_["close_to_tray"].setChecked(False)
            remedy = tr("On GNOME the extension AppIndicator adds one.") if sys.platform == "linux" else ""
            text = tr("This desktop has no tray that could hold Masque's icon, so closing ends Masque.")
            self.session.notice(Notice(text, remedy, "warning"))
            return
        self.session.change("window", close_to_tray=on)

    def _hide_in_tray(self) -> None:
        """Hide; nobody sees any more that the real face is shown, so it is not."""
        self._end_pass_through()
        self.remember_geometry()
        self.hide()
        self.hidden.emit()

    def _begin_guide(self) -> None:
        self.guide.begin()
        self.side.setCurrentWidget(self.guide)
        self.side.show()

    def _end_guide(self) -> None:
        self.session.change("window", guide_done=True)
        self.side.setCurrentWidget(self.panel)
        self.side.setVisible(self.session.settings.window.panel)

    def _leave(self) -> None:
        if self.session.state.passing:
            self._end_pass_through()
        elif self.isFullScreen():
            self.actions_["full_screen"].setChecked(False)
            self.showNormal()

    # Qt events

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Look for cameras and avatars when first shown."""
        super().showEvent(event)
        if self.focusWidget() is None:  # otherwise Qt gives the focus to the first button
            self.stage.setFocus()
        if not self.avatars.entries:
            self.avatars.reload()
        self.panel.camera.look_for_cameras()
        self.panel.engine.reload()
        self.panel.output.look_for_devices()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Show only the avatar in full screen."""
        super().changeEvent(event)
        if event.type() not in (QEvent.WindowStateChange, QEvent.ActivationChange):
            return
        if event.type() == QEvent.ActivationChange:
            if not self.isActiveWindow():
                self.keys.let_go()
            return
        full = self.isFullScreen()
        self.actions_["full_screen"].setChecked(full)
        for widget in (self.header, self.strip, self.menuBar()):
            widget.setVisible(not full)
        guided = self.side.currentWidget() is self.guide
        self.side.setVisible(not full and (self.session.settings.window.panel or guided))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802 - Qt's name
        """Accept dropped images anywhere, and show that."""
        if event.mimeData().hasUrls() or event.mimeData().hasImage():
            event.acceptProposedAction()
            self.drop_hint.show_text(self.avatar_jobs.what_a_drop_does(event.mimeData()))

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:  # noqa: N802 - Qt's name
        """Hide the hint."""
        self.drop_hint.hide()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802 - Qt's name
        """Add dropped images, once the program that they come from has been answered."""
        event.acceptProposedAction()
        self.drop_hint.hide()
        self.avatar_jobs.take_in(event.mimeData())

    def press_from_anywhere(self, action: str) -> None:
        """Do what a system-wide key asks for; the one that must be held starts to be measured."""
        if action != HELD:
            self.actions_[action].trigger()
        elif self.session.state.passing:
            self._end_pass_through()
        else:
            self.hold.press()

    def release_from_anywhere(self, action: str) -> None:
        """Note that a system-wide key was let go of."""
        if action == HELD:
            self.hold.release()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 - Qt's name
        """Close, after a confirmation if an output is on; or hide, if that is wanted and the session is not ending."""
        application = QApplication.instance()
        ends = isinstance(application, QGuiApplication) and application.isSavingSession()
        if self.session.settings.window.close_to_tray and not (self._quits or ends) and self.has_tray():
            event.ignore()
            self._hide_in_tray()
            return
        if self._ask_before_closing and self.captures.live and not self._sure():
            event.ignore()
            return
        self.remember_geometry()
        self.panel.sound.close_microphone()
        event.accept()
        self.closed.emit()

    def replace_quietly(self) -> None:
        """Close without confirmation, because another window replaces this one."""
        self.remember_geometry()
        self.panel.sound.close_microphone()
        application = QApplication.instance()
        if application is not None:
            application.removeEventFilter(self.keys)
        self.hide()
        self.deleteLater()

    def remember_geometry(self) -> None:
        """Save position and size for the next start."""
        self.session.change("window", geometry=_text(self.saveGeometry()), splitters=_text(self.splitter.saveState()))

    def _restore_geometry(self) -> None:
        window = self.session.settings.window
        if not (window.geometry and self.restoreGeometry(_bytes(window.geometry))):
            screen = QApplication.primaryScreen()
            room = screen.availableGeometry() if screen else None
            width, height = DEFAULT_SIZE
            if room is not None:
                width, height = min(width, room.width() - 40), min(height, room.height() - 60)
            self.resize(width, height)
        if window.splitters:
            self.splitter.restoreState(_bytes(window.splitters))

    def _sure(self) -> bool:
        what, then = self._what_closing_ends()
        box = QMessageBox(QMessageBox.Question, "Masque", what, QMessageBox.NoButton, self)
        box.setInformativeText(then)
        close = box.addButton(tr("Close"), QMessageBox.AcceptRole)
        stay = box.addButton(tr("Stay"), QMessageBox.RejectRole)
        box.setDefaultButton(stay)
        box.exec_()
        return box.clickedButton() is close

    def _what_closing_ends(self) -> tuple[str, str]:
        """Return what is on, and the question whether to close all the same."""
        state = self.captures.state
        if state.recording is not None:
            return tr("Masque is recording."), tr("Close anyway? The recording is finished properly.")
        if state.camera:
            return tr("The virtual camera is on: others may be watching."), tr("Close anyway?")
        return tr("The browser source is on: others may be watching."), tr("Close anyway?")


def _text(data: QByteArray) -> str:
    return bytes(data.toBase64().data()).decode()


def _bytes(text: str) -> QByteArray:
    return QByteArray.fromBase64(text.encode())
