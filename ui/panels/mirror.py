"""Side panel: the three mirror settings, each with a small drawing of its effect."""

from __future__ import annotations

from PyQt5.QtCore import QRectF, QSize, Qt
from PyQt5.QtGui import QFont, QPainter, QPaintEvent, QPen
from PyQt5.QtWidgets import QCheckBox, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from avatar.settings import Settings
from ui.actions import Actions
from ui.look.language import tr
from ui.look.theme import current
from ui.panels.section import Section, note
from ui.session import Session
from ui.widgets.switches import Switch


class WhoSeesWhat(QWidget):
    """Drawing of a person with one raised hand and of the resulting view; a letter shows whether it is mirrored."""

    def __init__(self, seer: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._seer, self._mirrored = seer, False
        self.setSizePolicy(QSizePolicy.Fixed, QSizePolicy.Fixed)
        self.setAccessibleName(seer)

    def set_mirrored(self, on: bool) -> None:
        """Show the view mirrored or not."""
        self._mirrored = on
        self.setAccessibleDescription(tr("mirrored") if on else tr("as it is"))
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the fixed size."""
        return QSize(92, 46)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Paint the person, an arrow and a screen."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.Antialiasing)
        theme = current()
        painter.setPen(QPen(theme.colour("muted"), 1.6))
        _person(painter, QRectF(2, 6, 34, 36), mirrored=False, letter="R")
        painter.drawLine(40, 24, 49, 24)
        painter.drawLine(46, 21, 49, 24)
        painter.drawLine(46, 27, 49, 24)
        screen = QRectF(53, 3, 38, 40)
        painter.setBrush(theme.colour("raised"))
        painter.setPen(QPen(theme.colour("border"), 1.2))
        painter.drawRoundedRect(screen, 4, 4)
        painter.setPen(QPen(theme.colour("accent"), 1.8))
        painter.setBrush(Qt.NoBrush)
        _person(painter, screen.adjusted(2, 3, -2, -1), mirrored=self._mirrored, letter="R")


def _person(painter: QPainter, area: QRectF, *, mirrored: bool, letter: str) -> None:
    """Draw a head, shoulders and one raised hand, with a letter on the shirt that a mirror would reverse."""
    painter.save()
    painter.setBrush(Qt.NoBrush)
    painter.translate(area.center())
    if mirrored:
        painter.scale(-1, 1)
    height = area.height()
    painter.drawEllipse(QRectF(-0.14 * height, -0.42 * height, 0.28 * height, 0.3 * height))
    painter.drawArc(QRectF(-0.34 * height, -0.06 * height, 0.68 * height, 1.0 * height), 20 * 16, 140 * 16)
    painter.drawLine(round(-0.3 * height), round(0.2 * height), round(-0.42 * height), round(-0.2 * height))
    font = QFont(painter.font())
    font.setPixelSize(max(8, round(0.3 * height)))
    font.setBold(True)
    painter.setFont(font)
    painter.drawText(QRectF(-0.3 * height, 0.06 * height, 0.6 * height, 0.4 * height), Qt.AlignCenter, letter)
    painter.restore()


class MirrorSection(Section):
    """Section for mirroring of the driving signal, the preview and the output."""

    def __init__(self, session: Session, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__("mirror", tr("Mirrors"), parent)
        self.driving = QCheckBox(tr("Mirror motion"))
        self.driving.clicked.connect(lambda on: session.change("camera", mirror=on))
        self.preview = Switch(actions["mirror_preview"], tr("Mirror preview"))
        self.output = Switch(actions["mirror_output"], tr("Mirror output"))
        self.drawings = {}
        rows = (
            ("driving", self.driving, tr("The avatar"), tr("The avatar turns to the other side.")),
            ("preview", self.preview, tr("You, in the small picture"), tr("Like a mirror on the wall, for you alone.")),
            ("output", self.output, tr("The others, in the call"), tr("Best left off: writing stays readable.")),
        )
        for name, switch, seer, why in rows:
            drawing = WhoSeesWhat(seer)
            switch.setAccessibleDescription(f"{seer}: {why}")
            words = QVBoxLayout()
            words.setSpacing(0)
            words.addWidget(switch)
            words.addWidget(note(why))
            row = QHBoxLayout()
            row.setSpacing(10)
            row.addLayout(words, 1)
            row.addWidget(drawing, 0, Qt.AlignTop)
            self.rows.addLayout(row)
            self.drawings[name] = drawing
        session.changed.connect(self.follow)
        self.follow(session.settings)

    def follow(self, settings: Settings) -> None:
        """Show the settings."""
        self.driving.setChecked(settings.camera.mirror)
        self.drawings["driving"].set_mirrored(settings.camera.mirror)
        self.drawings["preview"].set_mirrored(settings.window.mirror_preview)
        self.drawings["output"].set_mirrored(settings.canvas.mirror)
