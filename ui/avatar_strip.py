"""The avatars in a row: pictures with names and number keys, in an order that dragging changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from PyQt5.QtCore import QAbstractListModel, QMimeData, QModelIndex, QPoint, QRect, QRectF, QSize, Qt, pyqtSignal
from PyQt5.QtGui import (
    QColor,
    QContextMenuEvent,
    QDragEnterEvent,
    QDragMoveEvent,
    QKeyEvent,
    QPainter,
    QPainterPath,
    QPen,
)
from PyQt5.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QListView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from avatar.foreign_text import shown
from avatar.library_names import same_name
from ui.actions import Actions
from ui.avatars import Entry
from ui.language import tr
from ui.plain_text import unformatted
from ui.theme import current

ROW_TYPE = "application/x-masque-avatar"
TILE, PICTURE = QSize(104, 126), 88
ENTRY_ROLE = Qt.UserRole


class AvatarModel(QAbstractListModel):
    """The avatars in their order."""

    moved = pyqtSignal(list)  # names in the new order

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.entries: list[Entry] = []

    def set_entries(self, entries: list[Entry]) -> None:
        """Show these."""
        self.beginResetModel()
        self.entries = list(entries)
        self.endResetModel()

    def row_of(self, name: str) -> int:
        """Where an avatar stands; -1: nowhere."""
        names = [same_name(entry.avatar.name) for entry in self.entries]
        return names.index(same_name(name)) if same_name(name) in names else -1

    def move(self, row: int, to: int) -> None:
        """Move one avatar so that it stands before the one that is at `to` now."""
        if not 0 <= row < len(self.entries) or to in (row, row + 1):
            return
        self.beginMoveRows(QModelIndex(), row, row, QModelIndex(), to)
        entry = self.entries.pop(row)
        self.entries.insert(to - (to > row), entry)
        self.endMoveRows()
        self.moved.emit([each.avatar.name for each in self.entries])

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """How many there are."""
        return 0 if parent is not None and parent.isValid() else len(self.entries)

    def data(self, index: QModelIndex, role: int = Qt.DisplayRole) -> Any:
        """What is known of one."""
        if not index.isValid():
            return None
        entry = self.entries[index.row()]
        avatar = entry.avatar
        if role == ENTRY_ROLE:
            return entry
        if role in (Qt.DisplayRole, Qt.EditRole):
            return shown(avatar.name)
        if role == Qt.AccessibleTextRole:
            key = tr("key {number}", number=index.row() + 1) if index.row() < 9 else ""
            return ", ".join(shown(part, 200) for part in (avatar.name, key, avatar.problem) if part)
        if role == Qt.ToolTipRole:
            notes = (avatar.name, avatar.source, avatar.licence, avatar.problem, avatar.remedy)
            return unformatted("\n".join(shown(note, 200) for note in notes if note))
        return None

    def flags(self, index: QModelIndex) -> Qt.ItemFlags:
        """An avatar can be chosen and dragged; drops go between two."""
        common = Qt.ItemIsEnabled | Qt.ItemIsSelectable | Qt.ItemIsDragEnabled
        return Qt.ItemFlags(common if index.isValid() else Qt.ItemIsDropEnabled)

    def supportedDropActions(self) -> Qt.DropActions:  # noqa: N802 - Qt's name
        """Dragging moves."""
        return Qt.DropActions(Qt.MoveAction)

    def mimeTypes(self) -> list[str]:  # noqa: N802 - Qt's name
        """Avatars of this window only; pictures from elsewhere go to the window."""
        return [ROW_TYPE]

    def mimeData(self, indexes: Iterable[QModelIndex]) -> QMimeData:  # noqa: N802 - Qt's name
        """The row that is dragged."""
        data = QMimeData()
        data.setData(ROW_TYPE, str(next(iter(indexes)).row()).encode())
        return data

    def dropMimeData(  # noqa: N802 - Qt's name
        self, data: QMimeData | None, action: Qt.DropAction, row: int, column: int, parent: QModelIndex
    ) -> bool:
        """Move it here. False, so that the view does not remove a row that has moved already."""
        if data is not None and data.hasFormat(ROW_TYPE):
            to = row if row >= 0 else parent.row() if parent.isValid() else len(self.entries)
            self.move(int(bytes(data.data(ROW_TYPE).data()).decode()), to)
        return False


class AvatarDelegate(QStyledItemDelegate):
    """Paints one avatar."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:  # noqa: N802 - Qt's name
        """All alike."""
        return TILE

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Picture, number key, name."""
        assert painter is not None
        entry, theme = index.data(ENTRY_ROLE), current()
        chosen, focused = bool(option.state & QStyle.State_Selected), bool(option.state & QStyle.State_HasFocus)
        painter.save()
        painter.setRenderHints(QPainter.Antialiasing | QPainter.SmoothPixmapTransform)
        tile = QRect(option.rect)
        picture = QRectF(tile.left() + (tile.width() - PICTURE) / 2, tile.top() + 5, PICTURE, PICTURE)
        if option.state & QStyle.State_MouseOver and not chosen:
            painter.setPen(Qt.NoPen)
            painter.setBrush(theme.colour("raised"))
            painter.drawRoundedRect(QRectF(tile).adjusted(1, 0, -1, -1), 10, 10)
        rounded = QPainterPath()
        rounded.addRoundedRect(picture, 9, 9)
        painter.save()
        painter.setClipPath(rounded)
        painter.fillRect(picture, theme.colour("raised"))
        if entry.thumbnail is not None:
            painter.drawImage(picture, entry.thumbnail)
        if entry.avatar.problem:
            painter.fillRect(picture, QColor(0, 0, 0, 150))
            painter.setPen(Qt.white)
            painter.drawText(picture.adjusted(4, 4, -4, -4), Qt.AlignCenter | Qt.TextWordWrap, tr("cannot be used"))
        painter.restore()
        if chosen:
            painter.setPen(QPen(theme.colour("accent"), 3))
            painter.setBrush(Qt.NoBrush)
            painter.drawRoundedRect(picture.adjusted(-1.5, -1.5, 1.5, 1.5), 10, 10)
        if focused:
            painter.setPen(QPen(theme.colour("text"), 1, Qt.DashLine))
            painter.setBrush(Qt.NoBrush)
            painter.drawRoundedRect(QRectF(tile).adjusted(1.5, 0.5, -1.5, -0.5), 11, 11)
        if index.row() < 9:
            plate = QRectF(picture.left() + 5, picture.top() + 5, 20, 20)
            painter.setPen(Qt.NoPen)
            painter.setBrush(QColor(12, 14, 18, 190))
            painter.drawRoundedRect(plate, 6, 6)
            painter.setPen(Qt.white)
            painter.drawText(plate, Qt.AlignCenter, str(index.row() + 1))
        font = painter.font()
        font.setBold(chosen)
        painter.setFont(font)
        painter.setPen(theme.colour("text"))
        top = round(picture.bottom()) + 4
        words = QRect(tile.left() + 4, top, tile.width() - 8, tile.bottom() - top)
        name = painter.fontMetrics().elidedText(shown(entry.avatar.name), Qt.ElideRight, words.width())
        painter.drawText(words, Qt.AlignCenter, name)
        painter.restore()


class AvatarList(QListView):
    """The row itself."""

    chosen = pyqtSignal(str)
    menu_asked = pyqtSignal(QPoint)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFlow(QListView.LeftToRight)
        self.setWrapping(False)
        self.setMouseTracking(True)
        self.setSelectionMode(QAbstractItemView.SingleSelection)
        self.setDragDropMode(QAbstractItemView.InternalMove)
        self.setDefaultDropAction(Qt.MoveAction)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollPerPixel)
        self.setItemDelegate(AvatarDelegate(self))
        self.setFixedHeight(TILE.height() + 16)
        self.setAccessibleName(tr("Avatars"))
        self.setAccessibleDescription(tr("Arrow keys and Enter choose; Ctrl+Left and Ctrl+Right move."))
        self.model_ = AvatarModel(self)
        self.setModel(self.model_)
        self.clicked.connect(lambda index: self.chosen.emit(index.data()))

    def focused_name(self) -> str:
        """The avatar that a menu or a key is about; empty: none."""
        index = self.currentIndex()
        return str(index.data()) if index.isValid() else ""

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Enter chooses; Ctrl with an arrow moves the avatar."""
        row = self.currentIndex().row()
        if row < 0:
            super().keyPressEvent(event)
        elif event.key() in (Qt.Key_Return, Qt.Key_Enter):
            self.chosen.emit(self.focused_name())
        elif event.modifiers() & Qt.ControlModifier and event.key() in (Qt.Key_Left, Qt.Key_Right):
            to = row - 1 if event.key() == Qt.Key_Left else row + 2
            if 0 <= to <= self.model_.rowCount():
                self.model_.move(row, to)
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802 - Qt's name
        """The menu of one avatar."""
        index = self.indexAt(event.pos())
        if index.isValid():
            self.setCurrentIndex(index)
        self.menu_asked.emit(event.globalPos())

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802 - Qt's name
        """Our own rows; the rest goes on to the window."""
        self._ours(event, super().dragEnterEvent)

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:  # noqa: N802 - Qt's name
        """Likewise."""
        self._ours(event, super().dragMoveEvent)

    def _ours(self, event: Any, handle: Any) -> None:
        if event.mimeData().hasFormat(ROW_TYPE):
            handle(event)
        else:
            event.ignore()


class AvatarStrip(QWidget):
    """The row and what adds to it."""

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("Strip")
        self.setAttribute(Qt.WA_StyledBackground)
        self.list = AvatarList(self)
        self.list.menu_asked.connect(self._show_menu)
        self._actions = actions
        buttons = QVBoxLayout()
        buttons.setSpacing(8)
        buttons.addStretch()
        self.add_button = actions.button("import", self, text=True)
        self.more_button = actions.button("paste", self, text=True)
        for button in (self.add_button, self.more_button):
            button.setSizePolicy(button.sizePolicy().Expanding, button.sizePolicy().Fixed)
            buttons.addWidget(button)
        buttons.addStretch()
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 12, 6)
        row.setSpacing(10)
        row.addWidget(self.list, 1)
        row.addLayout(buttons)

    def set_entries(self, entries: list[Entry], chosen: str) -> None:
        """Show these avatars, one of them chosen."""
        self.list.model_.set_entries(entries)
        self.set_chosen(chosen)

    def set_chosen(self, name: str) -> None:
        """Mark the avatar that is shown."""
        row = self.list.model_.row_of(name)
        if row >= 0:
            index = self.list.model_.index(row)
            self.list.setCurrentIndex(index)
            self.list.scrollTo(index)

    def menu(self) -> QMenu:
        """What can be done with the avatar that has the focus."""
        menu = QMenu(self)
        for name in ("rename", "marks", "remove", "undo_remove", "reload"):
            menu.addAction(self._actions[name])
        return menu

    def _show_menu(self, position: QPoint) -> None:
        menu = self.menu()
        menu.setAttribute(Qt.WA_DeleteOnClose)
        menu.popup(position)
