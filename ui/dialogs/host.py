"""Dialog for a computer that draws: its address and token, and its fingerprint, compared at the first time."""

from __future__ import annotations

from PyQt5.QtCore import Qt
from PyQt5.QtGui import QFontDatabase
from PyQt5.QtWidgets import QCheckBox, QDialog, QFormLayout, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from avatar.errors import AvatarError
from avatar.remote.identity import Address, KnownHost
from ui.background import Lane
from ui.look.language import explained, later, tr
from ui.panels.section import note, set_note
from ui.services import Services
from ui.widgets.plain_text import PlainLabel

_WHAT = later(
    "The other computer gets the motion of your face and, once, the portrait. The camera's picture stays here. "
    "Start Masque there with `serve`, which shows what to enter."
)
_GROUP, _GROUPS_A_LINE = 4, 8  # digits of a fingerprint, as people compare them


class HostDialog(QDialog):
    """Asks for a host and connects to it once; a certificate that is not known is shown before anything is sent."""

    def __init__(self, services: Services, address: str = "", parent: QWidget | None = None) -> None:
        """Begin with the host at an address, or the one that was used last."""
        super().__init__(parent)
        self._services = services
        self._lane = Lane("host", self)
        self._known: dict[str, KnownHost] = {}
        self._seen: tuple[str, str] | None = None  # address and fingerprint that the user was shown
        self.chosen = ""  # address of the host that accepted
        self.setWindowTitle(tr("Another computer draws"))
        self.setMinimumWidth(520)
        self.address = QLineEdit(address)
        self.address.setPlaceholderText("192.168.1.20:8974")
        self.token = QLineEdit()
        self.keep = QCheckBox(tr("It may keep the portrait after the session"))
        self.fingerprint = PlainLabel()
        self.fingerprint.setFont(QFontDatabase.systemFont(QFontDatabase.FixedFont))
        self.fingerprint.setTextInteractionFlags(Qt.TextSelectableByMouse | Qt.TextSelectableByKeyboard)
        self.fingerprint.setAccessibleName(tr("Fingerprint"))
        self.message = note()
        self.connect_button = QPushButton(tr("Connect"))
        self.connect_button.setObjectName("Primary")
        self.connect_button.setDefault(True)
        self.connect_button.clicked.connect(self._connect)
        self._lay_out()
        self._forget()
        self.address.textChanged.connect(self._forget)
        self._lane.run(services.known_hosts, self._take_known)

    def _lay_out(self) -> None:
        heading = PlainLabel(tr("Another computer draws"))
        heading.setObjectName("Heading")
        form = QFormLayout()
        form.setRowWrapPolicy(QFormLayout.WrapAllRows)
        for text, field in ((tr("Address"), self.address), (tr("Token"), self.token)):
            form.addRow(text, field)
            field.setAccessibleName(text)
        cancel = QPushButton(tr("Cancel"))
        cancel.setAutoDefault(False)
        cancel.clicked.connect(self.reject)
        row = QHBoxLayout()
        row.addWidget(cancel)
        row.addStretch()
        row.addWidget(self.connect_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 16, 16, 16)
        column.setSpacing(10)
        column.addWidget(heading)
        column.addWidget(note(tr(_WHAT)))
        column.addLayout(form)
        column.addWidget(self.keep)
        column.addWidget(self.message)
        column.addWidget(self.fingerprint)
        column.addStretch()
        column.addLayout(row)

    def done(self, result: int) -> None:
        """End the background work, however the dialog is closed."""
        self._lane.close(timeout_s=0)
        super().done(result)

    def _take_known(self, known: dict[str, KnownHost]) -> None:
        self._known = known
        if not self.address.text() and known:
            self.address.setText(list(known)[-1])
        self._show_known()

    def _show_known(self) -> None:
        known = self._known.get(self._written())
        self.token.setPlaceholderText("" if known is None else tr("as the last time"))
        if known is not None:
            self.keep.setChecked(known.keep)

    def _written(self) -> str:
        """Return the address as hosts are known by it; empty if it is none."""
        try:
            return str(Address.parse(self.address.text().strip()))
        except AvatarError:
            return ""

    def _forget(self) -> None:
        """Begin anew after a change of the address."""
        self._seen = None
        self.fingerprint.setVisible(False)
        set_note(self.message, "")
        self.connect_button.setText(tr("Connect"))
        self._show_known()
        self._set_busy(False)

    def _set_busy(self, busy: bool) -> None:
        self.connect_button.setEnabled(not busy and bool(self.address.text().strip()))
        for widget in (self.address, self.token, self.keep):
            widget.setEnabled(not busy)

    def _connect(self) -> None:
        """Look at the certificate, then let the user compare it, then ask the host."""
        try:
            address = Address.parse(self.address.text().strip())
        except AvatarError as error:
            self._fail(error)
            return
        self._set_busy(True)
        if self._seen is not None:
            self._join(address, self._seen[1])
            return
        set_note(self.message, tr("Connecting…"))
        look = self._services.look_at_host
        self._lane.run(lambda: look(address), lambda seen: self._compare(address, seen), self._fail)

    def _compare(self, address: Address, seen: str) -> None:
        """Go on if the certificate is known; otherwise show it, until the user says that it is the host's."""
        known = self._known.get(str(address))
        if not seen or (known is not None and seen == known.fingerprint):  # none: only on this machine
            self._join(address, seen)
            return
        self._seen = str(address), seen
        self._set_busy(False)
        self.fingerprint.setText(grouped(seen))
        self.fingerprint.setVisible(True)
        if known is None or not known.fingerprint:
            set_note(self.message, tr("Compare this fingerprint with the one that `serve` shows there:"))
        else:
            text = tr("It shows another fingerprint than the last time. Connect only if `serve` shows this one there:")
            set_note(self.message, text, "Danger")
        self.connect_button.setText(tr("It is the same: connect"))
        self._grow()

    def _join(self, address: Address, fingerprint: str) -> None:
        set_note(self.message, tr("Connecting…"))
        known = self._known.get(str(address))
        token = self.token.text().strip() or ("" if known is None else known.token)
        keep = self.keep.isChecked()

        def join() -> str:
            return self._services.join_host(address, token, fingerprint, keep)

        self._lane.run(join, self._accept, self._fail)

    def _accept(self, address: str) -> None:
        self.chosen = address
        self.accept()

    def _fail(self, error: AvatarError) -> None:
        self._forget()
        set_note(self.message, explained(error), "Danger")
        self._grow()

    def _grow(self) -> None:
        """Make room for what was added: a dialog that is shown does not grow by itself."""
        column = self.layout()
        column.activate()
        self.resize(self.width(), max(self.height(), column.totalHeightForWidth(self.width())))


def grouped(fingerprint: str) -> str:
    """Return a fingerprint in groups of digits, in lines."""
    groups = [fingerprint[at : at + _GROUP] for at in range(0, len(fingerprint), _GROUP)]
    lines = [groups[at : at + _GROUPS_A_LINE] for at in range(0, len(groups), _GROUPS_A_LINE)]
    return "\n".join(" ".join(line) for line in lines)
