"""The menu bar, which contains all actions."""

from __future__ import annotations

from collections.abc import Callable

from PyQt5.QtWidgets import QActionGroup, QMenu, QMenuBar

from avatar.settings import THEMES
from ui.actions import Actions
from ui.look.language import LANGUAGES, later, tr
from ui.session import Session

_MENUS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (later("&File"), ("import", "paste", "reload", "", "open_captures", "", "export_settings", "import_settings", "",
                      "close_to_tray", "quit")),
    (later("&Avatar"), ("previous_avatar", "next_avatar", "favourite", "search_avatar", "", "rename", "marks",
                        "remove", "undo_remove", "", "place_larger", "place_smaller", "place_left", "place_right",
                        "place_up", "place_down", "reset_place")),
    (later("&Live"), ("virtual_camera", "camera_with_program", "browser_source", "record", "snapshot",
                      "save_replay", "", "freeze", "", "guided", "calibrate", "undo_calibration", "recentre", "search",
                      "", "express_smile", "express_surprise", "express_wink", "express_sad", "express_own",
                      "catch_expression", "save_preset")),
    (later("&View"), ("overlay", "landmarks", "preview", "mirror_preview", "mirror_output", "", "panel",
                      "full_screen")),
    (later("&Help"), ("guide", "keys", "", "models", "use_warp", "doctor", "", "about")),
)  # fmt: skip
_THEME_TEXTS = {"system": later("As the system"), "light": later("Light"), "dark": later("Dark")}


def fill_menus(bar: QMenuBar, actions: Actions, session: Session) -> None:
    """Fill the menu bar."""
    for title, names in _MENUS:
        menu = QMenu(tr(title), bar)
        bar.addMenu(menu)
        for name in names:
            if name:
                menu.addAction(actions[name])
            else:
                menu.addSeparator()
        if title == "&View":
            menu.addSeparator()
            window = session.settings.window
            themes = [(name, tr(_THEME_TEXTS[name])) for name in THEMES]
            _choices(menu, tr("Appearance"), themes, window.theme, lambda name: session.change("window", theme=name))
            languages = [("", tr("As the system")), *LANGUAGES.items()]
            _choices(
                menu, tr("Language"), languages, window.language, lambda code: session.change("window", language=code)
            )


def _choices(
    menu: QMenu, title: str, options: list[tuple[str, str]], chosen: str, choose: Callable[[str], None]
) -> None:  # fmt: skip
    """Add a submenu of mutually exclusive choices."""
    inner = QMenu(title, menu)
    menu.addMenu(inner)
    group = QActionGroup(inner)
    for value, text in options:
        action = inner.addAction(text)
        action.setCheckable(True)
        action.setChecked(value == chosen)
        action.setData(value)
        group.addAction(action)
    group.triggered.connect(lambda action: choose(action.data()))
