"""Dialog for models: list with size and licence; download with progress and cancel; import of files."""

from __future__ import annotations

import threading
from pathlib import Path

from PyQt5.QtCore import Qt, QTimer
from PyQt5.QtGui import QCloseEvent
from PyQt5.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QProgressBar,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from avatar.errors import AvatarError
from avatar.weights import ModelState
from avatar.weights.manifest import FACES
from avatar.weights.stored import DAMAGED, MISSING, READY, UNCHECKED
from ui.background import Lane
from ui.look.language import explained, later, tr
from ui.panels.engine import engine_of
from ui.panels.section import note, set_note
from ui.services import Services
from ui.session import Session
from ui.widgets.plain_text import PlainLabel
from ui.widgets.room import resize_within_screen

STATES = {READY: later("installed"), UNCHECKED: later("installed, checked at first use"), DAMAGED: later("damaged"),
          MISSING: later("not here")}  # fmt: skip
SHOW_MS = 150


class CancelledError(AvatarError):
    """The user cancelled a download; the received part is kept and resumed next time."""


class Download:
    """State of a download, written by its thread and read by the window."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cancel = threading.Event()
        self.have, self.total = 0, 0

    def progress(self, have: int, total: int | None) -> None:
        """Record the progress; called by the download after every chunk."""
        self.have, self.total = have, total or 0
        if self.cancel.is_set():
            raise CancelledError(tr("Stopped."), remedy=tr("The next download resumes from here."))


class ModelsDialog(QDialog):
    """A table of models, with actions for the selected row."""

    def __init__(self, session: Session, services: Services, parent: QWidget | None = None, *, fetch: str = "") -> None:
        """List the models; download the one named `fetch` at once."""
        super().__init__(parent)
        self._to_fetch = fetch
        self._session, self._services = session, services
        self._lane = Lane("models", self)
        self._states: list[ModelState] = []
        self.download: Download | None = None
        self.setWindowTitle(tr("Engines and models"))
        resize_within_screen(self, 860, 560)
        self.table = QTreeWidget()
        self.table.setRootIsDecorated(False)
        self.table.setHeaderLabels([tr("Model"), tr("What it is for"), tr("Size"), tr("Licence"), tr("State")])
        self.table.setAccessibleName(tr("Models"))
        self.table.setTextElideMode(Qt.ElideRight)
        header = self.table.header()
        header.setStretchLastSection(False)
        for column in (0, 2, 3, 4):
            header.setSectionResizeMode(column, QHeaderView.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.Stretch)
        self.table.currentItemChanged.connect(lambda *_: self._show_chosen())
        self.about = note()
        self.pull = QPushButton(tr("Download"))
        self.pull.setObjectName("Primary")
        self.pull.clicked.connect(self._pull)
        self.take = QPushButton(tr("Import a file…"))
        self.take.clicked.connect(self._import)
        self.use = QPushButton(tr("Draw with this model"))
        self.use.clicked.connect(self._use)
        self.stop = QPushButton(tr("Cancel download"))
        self.stop.clicked.connect(self._stop)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(tr("Download"))
        self.amount = PlainLabel()
        self.amount.setObjectName("Muted")
        self.message = note()
        self._lay_out()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._show_progress)
        self._show_download(False)
        set_note(self.message, "")
        self._reload()

    def _lay_out(self) -> None:
        heading = PlainLabel(tr("Models"))
        heading.setObjectName("Heading")
        close = QPushButton(tr("Close"))
        close.clicked.connect(self.close)
        for button in (self.pull, self.take, self.use, self.stop, close):
            button.setAutoDefault(False)
        progress = QHBoxLayout()
        progress.addWidget(self.bar, 1)
        progress.addWidget(self.amount)
        progress.addWidget(self.stop)
        row = QHBoxLayout()
        for widget in (self.pull, self.take, self.use):
            row.addWidget(widget)
        row.addStretch()
        row.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 16, 16, 16)
        column.setSpacing(10)
        column.addWidget(heading)
        column.addWidget(note(tr("Warp needs only the face landmarks; the other engines need a model of their own.")))
        column.addWidget(self.table, 1)
        column.addWidget(self.about)
        column.addLayout(progress)
        column.addWidget(self.message)
        column.addLayout(row)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 - Qt's name
        """Stop a running download; the received part is kept."""
        self.done(0)

    def done(self, result: int) -> None:
        """Stop the download, however the dialog is closed."""
        self._stop()
        self._lane.close(timeout_s=0)
        super().done(result)

    def choose(self, name: str) -> None:
        """Select a row, like a click."""
        for row, state in enumerate(self._states):
            if state.weight.name == name:
                self.table.setCurrentItem(self.table.topLevelItem(row))

    def _reload(self) -> None:
        self._lane.run(self._services.list_models, self._list, self._complain)

    def _list(self, states: list[ModelState]) -> None:
        chosen = self._chosen()
        self._states = sorted(states, key=_rank)
        self.table.clear()
        for state in self._states:
            weight = state.weight
            texts = [weight.name, tr(weight.about), megabytes(weight.bytes), weight.licence, tr(STATES[state.state])]
            item = QTreeWidgetItem(self.table, texts)
            item.setToolTip(1, tr(weight.about))
        first = self._to_fetch or self._session.settings.engine.model or self._states[0].weight.name
        self.choose(chosen.weight.name if chosen else first)
        self._show_chosen()
        if self._to_fetch and self.pull.isEnabled():
            self._pull()
        self._to_fetch = ""

    def _chosen(self) -> ModelState | None:
        row = self.table.indexOfTopLevelItem(self.table.currentItem()) if self.table.currentItem() else -1
        return self._states[row] if 0 <= row < len(self._states) else None

    def _show_chosen(self) -> None:
        state = self._chosen()
        busy = self.download is not None
        here = state is not None and state.state in (READY, UNCHECKED)
        self.pull.setEnabled(bool(state and not here and state.weight.downloadable and not busy))
        self.take.setEnabled(state is not None and not busy)
        self.use.setEnabled(bool(state and here and engine_of(state) in self._services.engines))
        text = tr(state.weight.about) if state else ""
        if state and not here and not state.weight.downloadable:
            text += ". " + tr("It can be imported, not downloaded: {why}.", why=state.weight.why_not_downloadable)
        set_note(self.about, text)

    def _pull(self) -> None:
        state = self._chosen()
        if state is None:
            return
        self.download = download = Download(state.weight.name)
        self._show_download(True)
        set_note(self.message, tr("Fetching {name}…", name=download.name))
        self._lane.run(
            lambda: self._services.pull_model(download.name, download.progress), self._pulled, self._failed
        )  # fmt: skip

    def _pulled(self, path: Path) -> None:
        self.download = None
        self._show_download(False)
        set_note(self.message, tr("{name} is installed.", name=path.name), "Good")
        self._reload()

    def _failed(self, error: AvatarError) -> None:
        self.download = None
        self._show_download(False)
        self._complain(error)
        self._reload()

    def _stop(self) -> None:
        if self.download is not None:
            self.download.cancel.set()
            set_note(self.message, tr("Stopping…"))

    def _import(self) -> None:
        state = self._chosen()
        if state is not None and state.weight.file == state.weight.name:  # a model of several files
            name = QFileDialog.getExistingDirectory(self, tr("The folder of the model's files"))
        else:
            name, _ = QFileDialog.getOpenFileName(self, tr("The model's file"))
        if state is not None and name:
            set_note(self.message, tr("Copying and checking…"))
            self._lane.run(
                lambda: self._services.import_model(state.weight.name, Path(name)), self._pulled, self._complain
            )  # fmt: skip

    def _use(self) -> None:
        state = self._chosen()
        if state is not None and engine_of(state):
            self._session.change("engine", name=engine_of(state), model=state.weight.name, remote="")
            set_note(self.message, tr("The avatar is drawn with {name} now.", name=state.weight.name), "Good")

    def _show_download(self, on: bool) -> None:
        for widget in (self.bar, self.amount, self.stop):
            widget.setVisible(on)
        if on:
            self._timer.start(SHOW_MS)
            self._show_progress()
        else:
            self._timer.stop()
        self._show_chosen()

    def _show_progress(self) -> None:
        if self.download is not None:
            have, total = self.download.have, self.download.total
            self.bar.setRange(0, 1000 if total else 0)
            self.bar.setValue(round(1000 * have / total) if total else 0)
            self.amount.setText(f"{megabytes(have)} / {megabytes(total or None)}")

    def _complain(self, error: AvatarError) -> None:
        level = "Muted" if isinstance(error, CancelledError) else "Danger"
        set_note(self.message, explained(error), level)


def _rank(state: ModelState) -> int:
    """Return where a model stands in the list: faces that can be had first, then what finds faces, then the rest."""
    weight = state.weight
    if weight.shows == FACES:
        return 0 if weight.downloadable or state.state != MISSING else 1
    return 3 if weight.shows else 2


def megabytes(size: int | None) -> str:
    """Format a size given in bytes as megabytes."""
    return tr("unknown") if size is None else f"{size / 1e6:.1f} MB"
