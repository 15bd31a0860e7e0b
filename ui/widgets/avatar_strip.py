"""The row of avatars: thumbnails with names and number keys, reordered by dragging."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

from PyQt5.QtCore import (
    QAbstractListModel,
    QEvent,
    QMimeData,
    QModelIndex,
    QPoint,
    QPointF,
    QRect,
    QRectF,
    QSize,
    QSizeF,
    Qt,
    QTimer,
    pyqtSignal,
)
from PyQt5.QtGui import (
    QColor,
    QContextMenuEvent,
    QDragEnterEvent,
    QDragMoveEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PyQt5.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QLineEdit,
    QListView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from avatar.library.names import same_name
from avatar.system.foreign_text import shown
from ui.actions import Actions
from ui.avatars import Entry, numbered
from ui.look import icons
from ui.look.language import tr
from ui.look.theme import current
from ui.widgets.plain_text import unformatted

ROW_TYPE = "application/x-masque-avatar"
TILE, THUMBNAIL = QSize(104, 126), 88
RING, TURN_MS = 34, 60  # of the sign that an avatar is being prepared
PLATE, SEARCH_PX = 20, 120  # side of the signs on a thumbnail; width of the search field
STAR = QColor("#f2b84b")  # of a favourite
ENTRY_ROLE = Qt.UserRole


class AvatarModel(QAbstractListModel):
    """Model of the avatars in their order."""

    moved = pyqtSignal(list)  # names in the new order

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.entries: list[Entry] = []
        self.favourites: list[str] = []

    def set_favourites(self, names: list[str]) -> None:
        """Set the favourites, which have the first number keys."""
        self.favourites = names
        if self.entries:
            self.dataChanged.emit(self.index(0), self.index(len(self.entries) - 1))

    def is_favourite(self, entry: Entry) -> bool:
        """Return whether an avatar is a favourite."""
        return same_name(entry.avatar.name) in [same_name(name) for name in self.favourites]

    def key_of(self, entry: Entry) -> int:
        """Return the number key of an avatar, 1 to 9; 0: none."""
        with_key = numbered(self.entries, self.favourites)
        return with_key.index(entry) + 1 if entry in with_key else 0

    def set_entries(self, entries: list[Entry]) -> None:
        """Set the avatars."""
        self.beginResetModel()
        self.entries = list(entries)
        self.endResetModel()

    def row_of(self, name: str) -> int:
        """Return the row of an avatar, or -1."""
        names = [same_name(entry.avatar.name) for entry in self.entries]
        return names.index(same_name(name)) if same_name(name) in names else -1

    def move(self, row: int, to: int) -> None:
        """Move an avatar before the one currently at `to`."""
        if not 0 <= row < len(self.entries) or to in (row, row + 1):
            return
        self.beginMoveRows(QModelIndex(), row, row, QModelIndex(), to)
        entry = self.entries.pop(row)
        self.entries.insert(to - (to > row), entry)
        self.endMoveRows()
        self.moved.emit([each.avatar.name for each in self.entries])

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Return the number of avatars."""
        return 0 if parent is not None and parent.isValid() else len(self.entries)

    def data(self, index: QModelIndex, role: int = Qt.DisplayRole) -> Any:
        """Return one avatar's data for a role."""
        if not index.isValid():
            return None
        entry = self.entries[index.row()]
        avatar = entry.avatar
        if role == ENTRY_ROLE:
            return entry
        if role in (Qt.DisplayRole, Qt.EditRole):
            return shown(avatar.name)
        if role == Qt.AccessibleTextRole:
            number = self.key_of(entry)
            key = tr("key {number}", number=number) if number else ""
            star = tr("favourite") if self.is_favourite(entry) else ""
            return ", ".join(shown(part, 200) for part in (avatar.name, key, star, tr(avatar.problem)) if part)
        if role == Qt.ToolTipRole:
            notes = (avatar.name, avatar.source, avatar.licence, tr(avatar.problem), tr(avatar.remedy))
            return unformatted("\n".join(shown(note, 200) for note in notes if note))
        return None

    def flags(self, index: QModelIndex) -> Qt.ItemFlags:
        """Allow avatars to be selected and dragged, and drops only between two."""
        common = Qt.ItemIsEnabled | Qt.ItemIsSelectable | Qt.ItemIsDragEnabled
        return Qt.ItemFlags(common if index.isValid() else Qt.ItemIsDropEnabled)

    def supportedDropActions(self) -> Qt.DropActions:  # noqa: N802 - Qt's name
        """Return the move action."""
        return Qt.DropActions(Qt.MoveAction)

    def mimeTypes(self) -> list[str]:  # noqa: N802 - Qt's name
        """Return the type of our own rows; other drops are handled by the window."""
        return [ROW_TYPE]

    def mimeData(self, indexes: Iterable[QModelIndex]) -> QMimeData:  # noqa: N802 - Qt's name
        """Encode the row being dragged."""
        data = QMimeData()
        data.setData(ROW_TYPE, str(next(iter(indexes)).row()).encode())
        return data

    def dropMimeData(  # noqa: N802 - Qt's name
        self, data: QMimeData | None, action: Qt.DropAction, row: int, column: int, parent: QModelIndex
    ) -> bool:
        """Move the dragged row. Returns False, so that the view does not remove a row that has moved already."""
        if data is not None and data.hasFormat(ROW_TYPE):
            to = row if row >= 0 else parent.row() if parent.isValid() else len(self.entries)
            self.move(int(bytes(data.data(ROW_TYPE).data()).decode()), to)
        return False


def star_rect(tile: QRect) -> QRectF:
    """Return where the star of a tile is, in the upper right corner of its thumbnail."""
    return QRectF(tile.left() + (tile.width() + THUMBNAIL) / 2 - PLATE - 5, tile.top() + 10, PLATE, PLATE)


def _star(centre: QPointF, radius: float) -> QPolygonF:
    turns = [math.pi * step / 5 for step in range(10)]
    radii = [radius if step % 2 == 0 else 0.42 * radius for step in range(10)]
    return QPolygonF([
        centre + QPointF(far * math.sin(turn), -far * math.cos(turn)) for turn, far in zip(turns, radii, strict=True)
    ])  # fmt: skip


class AvatarDelegate(QStyledItemDelegate):
    """Delegate that paints one avatar."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:  # noqa: N802 - Qt's name
        """Return the same size for all avatars."""
        return TILE

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint thumbnail, number key and name."""
        assert painter is not None
        entry, theme = index.data(ENTRY_ROLE), current()
        chosen, focused = bool(option.state & QStyle.State_Selected), bool(option.state & QStyle.State_HasFocus)
        painter.save()
        painter.setRenderHints(QPainter.Antialiasing | QPainter.SmoothPixmapTransform)
        tile = QRect(option.rect)
        thumbnail = QRectF(tile.left() + (tile.width() - THUMBNAIL) / 2, tile.top() + 5, THUMBNAIL, THUMBNAIL)
        if option.state & QStyle.State_MouseOver and not chosen:
            painter.setPen(Qt.NoPen)
            painter.setBrush(theme.colour("raised"))
            painter.drawRoundedRect(QRectF(tile).adjusted(1, 0, -1, -1), 10, 10)
        rounded = QPainterPath()
        rounded.addRoundedRect(thumbnail, 9, 9)
        painter.save()
        painter.setClipPath(rounded)
        painter.fillRect(thumbnail, theme.colour("raised"))
        if entry.thumbnail is not None:
            painter.drawImage(thumbnail, entry.thumbnail)
        if entry.avatar.problem:
            painter.fillRect(thumbnail, QColor(0, 0, 0, 150))
            painter.setPen(Qt.white)
            painter.drawText(thumbnail.adjusted(4, 4, -4, -4), Qt.AlignCenter | Qt.TextWordWrap, tr("cannot be used"))
        self._paint_preparing(painter, thumbnail, entry)
        painter.restore()
        if chosen:
            painter.setPen(QPen(theme.colour("accent"), 3))
            painter.setBrush(Qt.NoBrush)
            painter.drawRoundedRect(thumbnail.adjusted(-1.5, -1.5, 1.5, 1.5), 10, 10)
        if focused:
            painter.setPen(QPen(theme.colour("text"), 1, Qt.DashLine))
            painter.setBrush(Qt.NoBrush)
            painter.drawRoundedRect(QRectF(tile).adjusted(1.5, 0.5, -1.5, -0.5), 11, 11)
        self._paint_signs(painter, option, index, thumbnail)
        font = painter.font()
        font.setBold(chosen)
        painter.setFont(font)
        painter.setPen(theme.colour("text"))
        top = round(thumbnail.bottom()) + 4
        words = QRect(tile.left() + 4, top, tile.width() - 8, tile.bottom() - top)
        name = painter.fontMetrics().elidedText(shown(entry.avatar.name), Qt.ElideRight, words.width())
        painter.drawText(words, Qt.AlignCenter, name)
        painter.restore()

    def _paint_signs(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex, thumbnail: QRectF
    ) -> None:
        """Paint the number key and the star; an empty star only under the mouse."""
        entry, model = index.data(ENTRY_ROLE), index.model()
        assert isinstance(model, AvatarModel)
        if number := model.key_of(entry):
            plate = self._paint_plate(painter, thumbnail.topLeft() + QPointF(5, 5))
            painter.drawText(plate, Qt.AlignCenter, str(number))
        starred = model.is_favourite(entry)
        if starred or option.state & QStyle.State_MouseOver:
            plate = self._paint_plate(painter, star_rect(option.rect).topLeft())
            painter.setPen(QPen(STAR if starred else QColor(Qt.white), 1.3))
            painter.setBrush(STAR if starred else QColor(Qt.transparent))
            painter.drawPolygon(_star(plate.center(), 6.5))

    def _paint_plate(self, painter: QPainter, corner: QPointF) -> QRectF:
        """Paint the dark ground of a sign on a thumbnail, and return it; the pen is white afterwards."""
        plate = QRectF(corner, QSizeF(PLATE, PLATE))
        painter.setPen(Qt.NoPen)
        painter.setBrush(QColor(12, 14, 18, 190))
        painter.drawRoundedRect(plate, 6, 6)
        painter.setPen(Qt.white)
        return plate

    def _paint_preparing(self, painter: QPainter, thumbnail: QRectF, entry: Entry) -> None:
        view = self.parent()
        arc = view.arc_of(entry.avatar.name) if isinstance(view, AvatarList) else None
        if arc is not None:
            painter.fillRect(thumbnail, QColor(0, 0, 0, 110))
            ring = QRectF(0, 0, RING, RING)
            ring.moveCenter(thumbnail.center())
            painter.setPen(QPen(Qt.white, 4, Qt.SolidLine, Qt.RoundCap))
            painter.drawArc(ring, -arc * 16, 250 * 16)


class AvatarList(QListView):
    """List view of the avatars."""

    chosen = pyqtSignal(str)
    menu_asked = pyqtSignal(QPoint)
    starred = pyqtSignal(str)  # the star on its tile was clicked

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
        self._menu_name = ""  # of the avatar whose menu is open
        self._wanted, self._only_favourites = "", False  # what is searched for
        self._on_star = False  # the mouse was pressed on a star
        self._preparing = ""
        self._turning = QTimer(self)
        self._turning.timeout.connect(self.viewport().update)
        self.clicked.connect(lambda index: self.chosen.emit(index.data()))

    def focused_name(self) -> str:
        """Return the avatar that a menu or key applies to; empty for none."""
        index = self.currentIndex()
        return self._menu_name or (str(index.data()) if index.isValid() else "")

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Choose on Enter; move the avatar on Ctrl with an arrow key."""
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

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Leave the mark where it is on a press that opens a menu or switches a star."""
        index = self.indexAt(event.pos())
        self._on_star = (
            event.button() == Qt.LeftButton
            and index.isValid()
            and star_rect(self.visualRect(index)).contains(QPointF(event.pos()))
        )
        if self._on_star:
            self.starred.emit(index.data(ENTRY_ROLE).avatar.name)
        elif event.button() != Qt.RightButton:
            super().mousePressEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """End a click on a star, which chooses no avatar."""
        if self._on_star:
            self._on_star = False
        else:
            super().mouseReleaseEvent(event)

    def set_favourites(self, names: list[str]) -> None:
        """Show which avatars are favourites."""
        self.model_.set_favourites(names)
        self._filter()

    def set_entries(self, entries: list[Entry]) -> None:
        """Show these avatars, as far as they are searched for."""
        self.model_.set_entries(entries)
        self._filter()

    def search(self, text: str, *, only_favourites: bool) -> None:
        """Show only the avatars whose names contain a text."""
        self._wanted, self._only_favourites = same_name(text.strip()), only_favourites
        self._filter()

    def found(self) -> list[str]:
        """Return the names of the avatars that are shown."""
        rows = range(self.model_.rowCount())
        return [self.model_.entries[row].avatar.name for row in rows if not self.isRowHidden(row)]

    def _filter(self) -> None:
        for row, entry in enumerate(self.model_.entries):
            fits = self._wanted in same_name(entry.avatar.name)
            self.setRowHidden(row, not fits or (self._only_favourites and not self.model_.is_favourite(entry)))
        self.viewport().update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Paint the avatars, or say that none is found."""
        super().paintEvent(event)
        if self.model_.rowCount() and not self.found():
            painter = QPainter(self.viewport())
            painter.setPen(current().colour("muted"))
            painter.drawText(self.viewport().rect(), Qt.AlignCenter | Qt.TextWordWrap, tr("No avatar is found."))

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802 - Qt's name
        """Open the menu of one avatar, which is not chosen by that."""
        index = self.indexAt(event.pos())
        self._menu_name = str(index.data()) if index.isValid() else ""
        self.menu_asked.emit(event.globalPos())

    def end_menu(self) -> None:
        """Have keys apply to the marked avatar again, once the action of the menu was told."""
        self._menu_name = ""

    def set_preparing(self, name: str) -> None:
        """Show on its tile that an avatar is being prepared; empty: none is."""
        self._preparing = name
        if name:
            self._turning.start(TURN_MS)
        else:
            self._turning.stop()
        self.viewport().update()

    def arc_of(self, name: str) -> int | None:
        """Return where the sign of an avatar that is being prepared is in its turn, in degrees; None: it is not."""
        if not self._preparing or same_name(name) != same_name(self._preparing):
            return None
        return int(time.monotonic() * 360) % 360

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802 - Qt's name
        """Accept our own rows; other drags are handled by the window."""
        self._ours(event, super().dragEnterEvent)

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:  # noqa: N802 - Qt's name
        """Accept our own rows, as in `dragEnterEvent`."""
        self._ours(event, super().dragMoveEvent)

    def _ours(self, event: Any, handle: Any) -> None:
        if event.mimeData().hasFormat(ROW_TYPE):
            handle(event)
        else:
            event.ignore()


class SearchField(QLineEdit):
    """A text field that Esc clears and leaves."""

    left = pyqtSignal()

    def event(self, event: QEvent) -> bool:
        """Keep Esc from the window's shortcut."""
        if event.type() == QEvent.ShortcutOverride and isinstance(event, QKeyEvent) and event.key() == Qt.Key_Escape:
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Clear and leave on Esc."""
        if event.key() == Qt.Key_Escape:
            self.clear()
            self.left.emit()
        else:
            super().keyPressEvent(event)


class AvatarStrip(QWidget):
    """The list of avatars with a button that adds one."""

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
        self.search = SearchField(self)
        self.search.setPlaceholderText(tr("Search"))
        self.search.setAccessibleName(tr("Search avatars"))
        self.search.setToolTip(actions["search_avatar"].toolTip())
        self.search.setClearButtonEnabled(True)
        self.search.setFixedWidth(SEARCH_PX)
        self.only = QToolButton(self)
        self.only.setIcon(icons.icon("star"))
        self.only.setCheckable(True)
        self.only.setAccessibleName(tr("Only favourites"))
        self.only.setToolTip(tr("Only favourites"))
        self.search.textChanged.connect(self._search)
        self.only.toggled.connect(self._search)
        self.search.returnPressed.connect(self._choose_found)
        self.search.left.connect(self.list.setFocus)
        top = QHBoxLayout()
        top.setSpacing(6)
        top.addWidget(self.search)
        top.addWidget(self.only)
        buttons.addLayout(top)
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

    def _search(self) -> None:
        self.list.search(self.search.text(), only_favourites=self.only.isChecked())

    def _choose_found(self) -> None:
        """Choose the first avatar that is found, and show all again."""
        if found := self.list.found():
            self.list.chosen.emit(found[0])
            self.search.clear()
            self.list.setFocus()

    def set_entries(self, entries: list[Entry], chosen: str) -> None:
        """Show these avatars, one of them chosen."""
        self.list.set_entries(entries)
        self.set_chosen(chosen)

    def set_chosen(self, name: str) -> None:
        """Highlight the shown avatar."""
        row = self.list.model_.row_of(name)
        if row >= 0:
            index = self.list.model_.index(row)
            self.list.setCurrentIndex(index)
            self.list.scrollTo(index)

    def menu(self) -> QMenu:
        """Build the menu of the focused avatar."""
        menu = QMenu(self)
        for name in ("favourite", "rename", "marks", "remove", "undo_remove", "reload"):
            menu.addAction(self._actions[name])
        return menu

    def _show_menu(self, position: QPoint) -> None:
        menu = self.menu()
        menu.setAttribute(Qt.WA_DeleteOnClose)
        menu.aboutToHide.connect(lambda: QTimer.singleShot(0, self.list.end_menu))
        menu.popup(position)
