"""Notices over the avatar, beside its face: a sentence, a remedy, and a button that helps."""

from __future__ import annotations

from dataclasses import replace

from PyQt5.QtCore import QRect, QRectF, Qt, QTimer, pyqtSignal
from PyQt5.QtWidgets import (
    QApplication,
    QBoxLayout,
    QFrame,
    QHBoxLayout,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from avatar.system.foreign_text import MOST_OF_SENTENCE, shown
from ui.actions import Actions
from ui.look import icons
from ui.look.language import tr
from ui.look.theme import current
from ui.remedies import fetch_text, mend_of, offer_copy
from ui.session import Notice
from ui.widgets.plain_text import PlainLabel

PASSING_MS = 7000
KEYED_MS = 25_000  # of those that are cleared once they are no longer true, in case nothing clears them
STAYING = frozenset({"freeze", "pass", "source", "mistake"})  # until they are over or closed
INSET_PX, GAP = 24, 8
LEAST_PX, MOST_PX = 260, 640  # width
BESIDE_PX = 460  # width from which a button has room beside the text
MOST = 4  # maximum number of notices; older temporary ones are removed
_ICONS = {"info": "info", "good": "check", "warning": "warning", "error": "error"}
_COLOURS = {"info": "accent", "good": "good", "warning": "warning", "error": "danger"}


class Banner(QFrame):
    """One notice."""

    model_asked = pyqtSignal(str)  # the model to fetch; empty: the user chooses

    def __init__(self, notice: Notice, actions: Actions, parent: QWidget) -> None:
        super().__init__(parent)
        self.notice = notice
        self.setObjectName("Banner")
        self.setProperty("level", notice.level)
        words_of = tr(notice.text), tr(notice.remedy)
        self.setAccessibleName(shown(" ".join(words_of).strip(), 2 * MOST_OF_SENTENCE))
        self.setSizePolicy(QSizePolicy.Preferred, QSizePolicy.Maximum)
        sign = PlainLabel(parent=self)
        colour = getattr(current(), _COLOURS[notice.level])
        sign.setPixmap(icons.pixmap(_ICONS[notice.level], 20, colour, self.devicePixelRatioF()))
        words = QVBoxLayout()
        words.setSpacing(2)
        for text, name in zip(words_of, ("", "Muted"), strict=True):
            if text:
                label = PlainLabel(shown(text, MOST_OF_SENTENCE), self)
                label.setObjectName(name)
                label.setWordWrap(True)
                label.setTextInteractionFlags(Qt.TextSelectableByMouse)
                words.addWidget(label)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 8, 8, 8)
        row.setSpacing(10)
        row.addWidget(sign, 0, Qt.AlignTop if notice.remedy else Qt.AlignVCenter)
        self.action_button: QToolButton | None = None
        self.copy_button: QToolButton | None = None
        buttons = self._buttons(notice, actions)
        self._parts = QBoxLayout(QBoxLayout.LeftToRight)
        self._parts.addLayout(words, 1)
        self._buttons_row = QBoxLayout(QBoxLayout.LeftToRight)
        for button in buttons:
            self._buttons_row.addWidget(button, 0, Qt.AlignVCenter)
        self._parts.addLayout(self._buttons_row)
        row.addLayout(self._parts, 1)
        self.close_button = QToolButton(self)
        self.close_button.setObjectName("Plain")
        self.close_button.setIcon(icons.icon("close"))
        self.close_button.setAccessibleName(tr("Close this message"))
        self.close_button.setToolTip(tr("Close this message"))
        row.addWidget(self.close_button, 0, Qt.AlignTop)

    def arrange(self, width: int) -> None:
        """Put the buttons beside the text, or below it where that would leave the text no room."""
        below = self._buttons_row.count() > 1 or width < BESIDE_PX
        self._parts.setDirection(QBoxLayout.TopToBottom if below else QBoxLayout.LeftToRight)
        self._buttons_row.setAlignment(Qt.AlignLeft if below else Qt.Alignment())
        stacked = width < BESIDE_PX
        self._buttons_row.setDirection(QBoxLayout.TopToBottom if stacked else QBoxLayout.LeftToRight)

    def _buttons(self, notice: Notice, actions: Actions) -> list[QToolButton]:
        """Create the buttons of a notice: one that copies a command, one for its action."""
        mend = mend_of(notice.remedy)
        if mend is not None and mend.action and not notice.action:
            notice = replace(notice, action=mend.action, model=mend.model)
        buttons = []
        if mend is not None and mend.command:
            self.copy_button = QToolButton(self)
            self.copy_button.setToolButtonStyle(Qt.ToolButtonTextBesideIcon)
            offer_copy(self.copy_button, mend.command)
            buttons.append(self.copy_button)
        if notice.action:
            self.action_button = self._action_button(notice, actions)
            buttons.append(self.action_button)
        return buttons

    def _action_button(self, notice: Notice, actions: Actions) -> QToolButton:
        if notice.action == "models":
            return self._fetch_button(notice.model)
        button = actions.button(notice.action, self, text=True)
        if notice.action_text:
            self._use_words(button, actions, notice)
        return button

    def _fetch_button(self, model: str) -> QToolButton:
        button = QToolButton(self)
        button.setToolButtonStyle(Qt.ToolButtonTextBesideIcon)
        button.setText(f" {fetch_text(model)}")
        button.setIcon(icons.icon("download"))
        button.setAccessibleName(fetch_text(model))
        button.clicked.connect(lambda: self.model_asked.emit(model))
        return button

    def _use_words(self, button: QToolButton, actions: Actions, notice: Notice) -> None:
        """Detach the button from its action, which would impose its text and state; a click still triggers it."""
        button.removeAction(actions[notice.action])
        button.setText(f" {notice.action_text}")
        button.setIcon(actions[notice.action].icon())
        button.setAccessibleName(notice.action_text)
        button.clicked.connect(actions[notice.action].trigger)


class Banners(QWidget):
    """The current notices, the newest at the bottom."""

    model_asked = pyqtSignal(str)

    def __init__(self, actions: Actions, parent: QWidget) -> None:
        super().__init__(parent)
        self._actions = actions
        self._face, self._camera = QRectF(), QRectF()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(6)
        self.hide()

    def banners(self) -> list[Banner]:
        """Return the current notices, oldest first."""
        found = (self._column.itemAt(place) for place in range(self._column.count()))
        return [banner for item in found if item and isinstance(banner := item.widget(), Banner)]

    def show_notice(self, notice: Notice) -> None:
        """Show a notice, replacing one with the same key or the same text."""
        for banner in self.banners():
            same_key = notice.key and banner.notice.key == notice.key
            if same_key or (banner.notice.text, banner.notice.remedy) == (notice.text, notice.remedy):
                self._drop(banner)
        passing = [each for each in self.banners() if not each.notice.key]
        for old in passing[: max(0, len(self.banners()) - MOST + 1)]:
            self._drop(old)
        banner = Banner(notice, self._actions, self)
        banner.close_button.clicked.connect(lambda: self._drop(banner))
        banner.model_asked.connect(self.model_asked)
        self._column.addWidget(banner)
        if notice.key not in STAYING:
            timer = QTimer(banner)
            timer.setSingleShot(True)
            timer.timeout.connect(lambda: self._drop(banner))
            timer.start(KEYED_MS if notice.key else PASSING_MS)
        self.show()
        self.place()
        QTimer.singleShot(0, self.place)  # the height of text is known only after it is shown

    def clear(self, key: str) -> None:
        """Remove the notice with this key, if any."""
        for banner in self.banners():
            if banner.notice.key == key:
                self._drop(banner)

    def keep_free(self, face: QRectF, camera: QRectF) -> None:
        """Set where the avatar's face and the camera's picture are, in the parent; place the notices beside them."""
        self._face, self._camera = face, camera
        self.place()

    def place(self) -> None:
        """Place the notices where they cover least: never the mouth, rather not the face or the camera's picture.

        Where there is no room for all of them beside the mouth, only the newest is shown.
        """
        banners = self.banners()
        for banner in banners:
            banner.show()
        where = min(self._places(), key=self._covered)
        if len(banners) > 1 and where.intersects(self.mouth().toAlignedRect()):
            for banner in banners[:-1]:
                banner.hide()
            where = min(self._places(), key=self._covered)
        self._height_for(where.width())
        self.setGeometry(where)
        self._column.activate()  # the same place may hold others
        self.raise_()

    def mouth(self) -> QRectF:
        """Return where the avatar's mouth and chin are, with the room in which they move."""
        face = self._face
        aside, low = 0.1 * face.width(), 0.15 * face.height()
        return QRectF(face.left(), face.top() + 0.5 * face.height(), face.width(), 0.5 * face.height()).adjusted(
            -aside, 0, aside, low
        )

    def _places(self) -> list[QRect]:
        """Return where the notices may be, the usual place first."""
        room = self.parentWidget().rect().adjusted(INSET_PX, INSET_PX, -INSET_PX, -INSET_PX)
        mouth = self.mouth()
        wide = max(LEAST_PX, min(MOST_PX, room.width()))
        places = []
        for space, left in (
            (wide, room.center().x() - wide // 2),
            (int(mouth.left()) - room.left() - GAP, room.left()),
            (room.right() - int(mouth.right()) - GAP, int(mouth.right()) + GAP),
        ):
            if space < LEAST_PX:
                continue
            width = min(space, MOST_PX)
            height = self._height_for(width)
            tops = [room.bottom() - height + 1, room.top()]
            if not mouth.isEmpty():
                tops += [int(mouth.bottom()) + GAP, int(mouth.top()) - height - GAP]
            lowest = room.bottom() - height + 1
            places += [QRect(left, top, width, height) for top in tops if room.top() <= top <= lowest]
        return places or [QRect(room.left(), room.top(), wide, self._height_for(wide))]

    def _height_for(self, width: int) -> int:
        """Return the height of all notices at a width; arranges them for it."""
        for banner in self.banners():
            banner.arrange(width)
        self._column.invalidate()
        return self._column.heightForWidth(width) if self._column.hasHeightForWidth() else self.sizeHint().height()

    def _covered(self, place: QRect) -> float:
        """Return how much a place covers, the mouth above all."""

        def common(other: QRectF) -> float:
            both = QRectF(place).intersected(other)
            return both.width() * both.height()

        return 1000 * common(self.mouth()) + 2 * common(self._face) + common(self._camera)

    def _drop(self, banner: Banner) -> None:
        focused = QApplication.focusWidget()
        if focused is not None and banner.isAncestorOf(focused):  # otherwise Qt would focus the virtual camera's button
            self.parentWidget().setFocus()
        self._column.removeWidget(banner)
        banner.hide()
        banner.deleteLater()
        self.setVisible(bool(self.banners()))
        self.place()
