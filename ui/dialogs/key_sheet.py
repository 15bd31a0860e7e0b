"""The sheet of all keys, on F1, where keys can be changed."""

from __future__ import annotations

from PyQt5.QtCore import Qt
from PyQt5.QtGui import QKeySequence
from PyQt5.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QKeySequenceEdit,
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from avatar.settings import SYSTEM_KEYS
from ui.actions import Actions, action_text
from ui.keys import ACTIONS, BY_NAME, key_text, taken_by
from ui.look.language import tr
from ui.panels.section import note, set_note
from ui.session import Session
from ui.system_keys.base import keys_with
from ui.widgets.choice import Choice
from ui.widgets.plain_text import PlainLabel
from ui.widgets.room import resize_within_screen


class KeySheet(QDialog):
    """All actions with their keys, in groups, with a filter and a field for a new key of the chosen action."""

    def __init__(self, session: Session, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._actions = session, actions
        self.setWindowTitle(tr("Keys"))
        resize_within_screen(self, 640, 680)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText(tr("Find an action or a key"))
        self.filter.setAccessibleName(tr("Find an action or a key"))
        self.filter.setClearButtonEnabled(True)
        self.filter.textChanged.connect(self._filter)
        self.tree = QTreeWidget()
        self.tree.setColumnCount(2)
        self.tree.setHeaderLabels([tr("Action"), tr("Key")])
        self.tree.setRootIsDecorated(False)
        self.tree.setIndentation(12)
        self.tree.setSelectionMode(QAbstractItemView.SingleSelection)
        self.tree.setAccessibleName(tr("Keys"))
        header = self.tree.header()
        header.setSectionResizeMode(0, QHeaderView.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeToContents)
        header.setStretchLastSection(False)
        self.tree.currentItemChanged.connect(lambda *_: self._show_chosen())
        self.edit = QKeySequenceEdit()
        self.edit.setAccessibleName(tr("New key"))
        self.edit.editingFinished.connect(self._take)
        self.none = QPushButton(tr("No key"))
        self.none.clicked.connect(lambda: self._set(""))
        self.default = QPushButton(tr("Reset"))
        self.default.clicked.connect(self._back)
        self.all_default = QPushButton(tr("Reset all"))
        self.all_default.clicked.connect(lambda: self._store({}))
        options = [("", tr("Off")), *((prefix, prefix) for prefix in SYSTEM_KEYS if prefix)]
        self.anywhere = Choice(tr("Keys that work while another program has the focus"), options)
        self.anywhere.set_value(session.settings.window.system_keys)
        self.anywhere.chosen.connect(self._use_anywhere)
        self.which = note()
        self.problem = note("", "Danger")
        close = QPushButton(tr("Close"))
        close.clicked.connect(self.accept)
        for button in (self.none, self.default, self.all_default, close):
            button.setAutoDefault(False)
        self._rows: dict[str, QTreeWidgetItem] = {}
        self._groups: list[QTreeWidgetItem] = []
        self._fill()
        self._lay_out(close)
        self._show_chosen()
        set_note(self.problem, "", "Danger")

    def choose(self, name: str) -> None:
        """Select an action, like a click on its row."""
        self.tree.setCurrentItem(self._rows[name])

    def _lay_out(self, close: QPushButton) -> None:
        row = QHBoxLayout()
        label = PlainLabel(tr("New key:"))
        label.setBuddy(self.edit)
        row.addWidget(label)
        row.addWidget(self.edit, 1)
        row.addWidget(self.none)
        row.addWidget(self.default)
        end = QHBoxLayout()
        end.addWidget(self.all_default)
        end.addStretch()
        end.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 16, 16, 16)
        column.setSpacing(10)
        column.addWidget(self.filter)
        column.addWidget(self.tree, 1)
        column.addLayout(row)
        column.addWidget(self.problem)
        column.addWidget(note(tr("Choose an action, then press its new key in the field.")))
        column.addWidget(note(tr("Enter presses the button that has the focus, because Space always freezes.")))
        column.addWidget(self.anywhere)
        column.addWidget(self.which)
        column.addLayout(end)
        self._use_anywhere(self._session.settings.window.system_keys)

    def _use_anywhere(self, prefix: str) -> None:
        self._session.change("window", system_keys=prefix)
        keys = {key.action: key.text for key in keys_with(prefix)}
        text = (
            tr(
                "{freeze} freezes, {camera} switches the virtual camera, {record} records, {avatars} choose an avatar, "
                "{face}, held, shows your real face.",
                freeze=keys["freeze"], camera=keys["virtual_camera"], record=keys["record"],
                avatars=f"{keys['avatar_1']}…9", face=keys["pass_through"],
            )
            if keys
            else ""
        )  # fmt: skip
        set_note(self.which, text)

    def _fill(self) -> None:
        for group in dict.fromkeys(action.group for action in ACTIONS):
            title = QTreeWidgetItem(self.tree, [tr(group)])
            title.setFlags(Qt.ItemIsEnabled)
            self._groups.append(title)
            font = self.font()
            font.setBold(True)
            title.setFont(0, font)
            for action in ACTIONS:
                if action.group == group:
                    item = QTreeWidgetItem(title)
                    item.setData(0, Qt.UserRole, action.name)
                    item.setText(0, action_text(action.name).rstrip("…"))
                    self._rows[action.name] = item
        self.tree.expandAll()
        self._show_keys()

    def _show_keys(self) -> None:
        for name, item in self._rows.items():
            item.setText(1, key_text(name, self._session.settings.keys))

    def _chosen(self) -> str:
        item = self.tree.currentItem()
        return str(item.data(0, Qt.UserRole) or "") if item is not None else ""

    def _show_chosen(self) -> None:
        name = self._chosen()
        self.edit.clear()
        for widget in (self.edit, self.none, self.default):
            widget.setEnabled(bool(name))
        self.default.setEnabled(name in self._session.settings.keys)

    def _filter(self, text: str) -> None:
        wanted = text.casefold()
        for name, item in self._rows.items():
            words = f"{item.text(0)} {item.text(1)} {name}".casefold()
            item.setHidden(wanted not in words)
        for group in self._groups:
            rows = (group.child(place) for place in range(group.childCount()))
            group.setHidden(all(row is None or row.isHidden() for row in rows))

    def _take(self) -> None:
        key = QKeySequence(self.edit.keySequence()[0]) if not self.edit.keySequence().isEmpty() else QKeySequence()
        if not key.isEmpty():
            self._set(key.toString(QKeySequence.PortableText))

    def _set(self, key: str) -> None:
        name = self._chosen()
        if not name:
            return
        chosen = self._session.settings.keys
        if key and (other := taken_by(key, name, chosen)):
            text = tr("{key} is the key of “{action}” already.", key=key, action=action_text(other))
            set_note(self.problem, text, "Danger")
            self.edit.clear()
            return
        default = BY_NAME[name].keys[0] if BY_NAME[name].keys else ""
        rest = {each: value for each, value in chosen.items() if each != name}
        self._store(rest if key == default else rest | {name: key})

    def _back(self) -> None:
        self._set(BY_NAME[self._chosen()].keys[0] if BY_NAME[self._chosen()].keys else "")

    def _store(self, keys: dict[str, str]) -> None:
        set_note(self.problem, "", "Danger")
        self._session.change("", keys=keys)
        self._show_keys()
        self._show_chosen()
