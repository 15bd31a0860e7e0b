"""What the user should know, laid over the lower edge of the avatar: a sentence, a remedy, and a button that helps."""

from __future__ import annotations

from PyQt5.QtCore import Qt, QTimer
from PyQt5.QtWidgets import QApplication, QFrame, QHBoxLayout, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from avatar.foreign_text import MOST_OF_SENTENCE, shown
from ui import icons
from ui.actions import Actions
from ui.language import tr
from ui.plain_text import PlainLabel
from ui.session import Notice
from ui.theme import current

PASSING_MS = 7000
MOST = 4  # older ones that pass by themselves make room
_ICONS = {"info": "info", "good": "check", "warning": "warning", "error": "error"}
_COLOURS = {"info": "accent", "good": "good", "warning": "warning", "error": "danger"}


class Banner(QFrame):
    """One notice."""

    def __init__(self, notice: Notice, actions: Actions, parent: QWidget) -> None:
        super().__init__(parent)
        self.notice = notice
        self.setObjectName("Banner")
        self.setProperty("level", notice.level)
        self.setAccessibleName(shown(f"{notice.text} {notice.remedy}".strip(), 2 * MOST_OF_SENTENCE))
        self.setSizePolicy(QSizePolicy.Preferred, QSizePolicy.Maximum)
        sign = PlainLabel(parent=self)
        colour = getattr(current(), _COLOURS[notice.level])
        sign.setPixmap(icons.pixmap(_ICONS[notice.level], 20, colour, self.devicePixelRatioF()))
        words = QVBoxLayout()
        words.setSpacing(2)
        for text, name in ((notice.text, ""), (notice.remedy, "Muted")):
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
        row.addLayout(words, 1)
        self.action_button: QToolButton | None = None
        if notice.action:
            self.action_button = actions.button(notice.action, self, text=True)
            if notice.action_text:
                self._use_words(self.action_button, actions, notice)
            row.addWidget(self.action_button, 0, Qt.AlignVCenter)
        self.close_button = QToolButton(self)
        self.close_button.setObjectName("Plain")
        self.close_button.setIcon(icons.icon("close"))
        self.close_button.setAccessibleName(tr("Close this message"))
        self.close_button.setToolTip(tr("Close this message"))
        row.addWidget(self.close_button, 0, Qt.AlignTop)


    def _use_words(self, button: QToolButton, actions: Actions, notice: Notice) -> None:
        """A button of our own for the action: one with the action itself would take its words and its state."""
        button.removeAction(actions[notice.action])
        button.setText(f" {notice.action_text}")
        button.setIcon(actions[notice.action].icon())
        button.setAccessibleName(notice.action_text)
        button.clicked.connect(actions[notice.action].trigger)


class Banners(QWidget):
    """The notices that are shown now, the newest below."""

    def __init__(self, actions: Actions, parent: QWidget) -> None:
        super().__init__(parent)
        self._actions = actions
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(6)
        self.hide()

    def banners(self) -> list[Banner]:
        """Those that are shown, oldest first."""
        found = (self._column.itemAt(place) for place in range(self._column.count()))
        return [banner for item in found if item and isinstance(banner := item.widget(), Banner)]

    def show_notice(self, notice: Notice) -> None:
        """Show a notice; one with the same key, or the same words, makes room for it."""
        for banner in self.banners():
            same_key = notice.key and banner.notice.key == notice.key
            if same_key or (banner.notice.text, banner.notice.remedy) == (notice.text, notice.remedy):
                self._drop(banner)
        passing = [each for each in self.banners() if not each.notice.key]
        for old in passing[: max(0, len(self.banners()) - MOST + 1)]:
            self._drop(old)
        banner = Banner(notice, self._actions, self)
        banner.close_button.clicked.connect(lambda: self._drop(banner))
        self._column.addWidget(banner)
        if not notice.key:
            timer = QTimer(banner)
            timer.setSingleShot(True)
            timer.timeout.connect(lambda: self._drop(banner))
            timer.start(PASSING_MS)
        self.show()
        self.place()
        QTimer.singleShot(0, self.place)  # words know their height only once they are shown

    def clear(self, key: str) -> None:
        """Take the notice with this key away, if it is shown."""
        for banner in self.banners():
            if banner.notice.key == key:
                self._drop(banner)

    def place(self) -> None:
        """Lie over the lower edge of the parent, as wide as reads well."""
        parent = self.parentWidget()
        width = max(260, min(640, parent.width() - 48))
        height = self._column.heightForWidth(width) if self._column.hasHeightForWidth() else self.sizeHint().height()
        self.setGeometry((parent.width() - width) // 2, parent.height() - height - 28, width, height)
        self.raise_()

    def _drop(self, banner: Banner) -> None:
        focused = QApplication.focusWidget()
        if focused is not None and banner.isAncestorOf(focused):  # else Qt would give it to the virtual camera's button
            self.parentWidget().setFocus()
        self._column.removeWidget(banner)
        banner.hide()
        banner.deleteLater()
        self.setVisible(bool(self.banners()))
        self.place()
