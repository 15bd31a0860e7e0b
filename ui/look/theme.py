"""Colours and style sheet of the light and the dark theme."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PyQt5.QtGui import QColor, QFont, QPalette
from PyQt5.QtWidgets import QApplication

IMAGES = Path(__file__).with_name("pictures")  # style sheets load images from files only
GAP = 8  # basic spacing in device-independent pixels, of which all distances are multiples


@dataclass(frozen=True)
class Theme:
    """Colours of a theme. Text has a contrast of at least 4.5 to its background."""

    dark: bool
    ground: str
    surface: str
    raised: str
    border: str
    text: str
    muted: str
    accent: str
    on_accent: str
    danger: str
    warning: str
    good: str

    def colour(self, name: str) -> QColor:
        """Return a colour by name."""
        return QColor(getattr(self, name))


LIGHT = Theme(
    dark=False, ground="#f3f4f7", surface="#ffffff", raised="#eceef3", border="#cfd4dd", text="#171a21",
    muted="#505a6b", accent="#3450c8", on_accent="#ffffff", danger="#c22334", warning="#8f5500", good="#1c7442",
)  # fmt: skip
DARK = Theme(
    dark=True, ground="#15171c", surface="#1e2128", raised="#2a2e38", border="#3d4350", text="#eef0f4", muted="#adb5c3",
    accent="#8ea6ff", on_accent="#0f1424", danger="#ff7a85", warning="#f2b455", good="#6fd39a",
)  # fmt: skip

_current = LIGHT


def current() -> Theme:
    """Return the current theme, for widgets that paint themselves."""
    return _current


def apply_theme(application: QApplication, theme: Theme) -> None:
    """Apply a theme to the application; widgets with custom painting read `current` at the next repaint."""
    global _current  # noqa: PLW0603 - one application has one look
    _current = theme
    application.setStyle("Fusion")
    application.setPalette(_palette(theme))
    font = QFont(application.font())
    if font.pointSizeF() < 10:
        font.setPointSizeF(10)
        application.setFont(font)
    application.setStyleSheet(_style_sheet(theme))


def _palette(theme: Theme) -> QPalette:
    palette = QPalette()
    roles = {
        QPalette.Window: theme.ground, QPalette.Base: theme.surface, QPalette.AlternateBase: theme.raised,
        QPalette.Button: theme.surface, QPalette.WindowText: theme.text, QPalette.Text: theme.text,
        QPalette.ButtonText: theme.text, QPalette.ToolTipBase: theme.surface, QPalette.ToolTipText: theme.text,
        QPalette.Highlight: theme.accent, QPalette.HighlightedText: theme.on_accent, QPalette.Link: theme.accent,
        QPalette.PlaceholderText: theme.muted, QPalette.Mid: theme.border, QPalette.BrightText: theme.danger,
    }  # fmt: skip
    for role, colour in roles.items():
        palette.setColor(role, QColor(colour))
    for role in (QPalette.WindowText, QPalette.Text, QPalette.ButtonText):
        faint = QColor(theme.muted)
        faint.setAlpha(170)
        palette.setColor(QPalette.Disabled, role, faint)
    return palette


def _style_sheet(theme: Theme) -> str:
    t, kind, images = theme, "dark" if theme.dark else "light", IMAGES.as_posix()
    return f"""
* {{ outline: none; }}
QMainWindow, QDialog, #Ground {{ background: {t.ground}; }}
QToolTip {{ background: {t.surface}; color: {t.text}; border: 1px solid {t.border}; padding: 6px 8px; }}
QBalloonTip QLabel {{ color: #000000; }}  /* the tray's message, which Qt paints pale yellow in every look */
QBalloonTip QPushButton {{ background: transparent; border: none; }}
QMenuBar {{ background: {t.ground}; padding: 2px 8px; }}
QMenuBar::item {{ padding: 6px 10px; border-radius: 6px; background: transparent; }}
QMenuBar::item:selected {{ background: {t.raised}; }}
QMenu {{ background: {t.surface}; border: 1px solid {t.border}; padding: 6px; }}
QMenu::item {{ padding: 7px 28px 7px 14px; border-radius: 6px; }}
QMenu::icon {{ padding-left: 10px; }}
QMenu::item:selected {{ background: {t.accent}; color: {t.on_accent}; }}
QMenu::icon:checked {{ background: {t.accent}; border: 2px solid {t.accent}; border-radius: 5px; }}
QMenu::item:disabled {{ color: {t.muted}; background: transparent; }}
QMenu::separator {{ height: 1px; background: {t.border}; margin: 6px 8px; }}

#Header, #Panel, #Strip {{ background: {t.surface}; }}
#Header {{ border-bottom: 1px solid {t.border}; }}
#Panel {{ border-left: 1px solid {t.border}; }}
#Strip {{ border-top: 1px solid {t.border}; }}
QLabel#Title {{ font-size: 17pt; font-weight: 600; }}
QLabel#Heading {{ font-size: 12pt; font-weight: 600; }}
QLabel#Strong {{ font-weight: 600; }}
QLabel#Muted {{ color: {t.muted}; }}
QLabel#Danger {{ color: {t.danger}; font-weight: 600; }}
QLabel#Warning {{ color: {t.warning}; }}
QLabel#Good {{ color: {t.good}; font-weight: 600; }}
QLabel:disabled {{ color: {t.muted}; }}

QPushButton, QToolButton {{
  background: {t.surface}; color: {t.text}; border: 1px solid {t.border}; border-radius: 8px; padding: 7px 12px;
  min-height: 18px; }}
QToolButton {{ padding: 7px 9px; }}
QPushButton:hover, QToolButton:hover {{ background: {t.raised}; }}
QPushButton:pressed, QToolButton:pressed {{ background: {t.border}; }}
QPushButton:focus, QToolButton:focus {{ border: 2px solid {t.accent}; padding: 6px 11px; }}
QToolButton:focus {{ padding: 6px 8px; }}
QLineEdit QToolButton {{ padding: 0; border: none; background: transparent; }}
QPushButton:checked, QToolButton:checked {{ background: {t.accent}; color: {t.on_accent}; border-color: {t.accent}; }}
QPushButton:checked:focus, QToolButton:checked:focus {{ border: 2px solid {t.text}; }}
QPushButton:disabled, QToolButton:disabled {{ color: {t.muted}; background: {t.ground}; border-color: {t.border}; }}
QPushButton#Primary {{ background: {t.accent}; color: {t.on_accent}; border-color: {t.accent}; font-weight: 600; }}
QPushButton#Primary:focus {{ border: 2px solid {t.text}; }}
QPushButton#Primary:disabled {{ background: {t.raised}; color: {t.muted}; border-color: {t.border}; }}
QToolButton#Danger:checked, QPushButton#Danger:checked {{ background: {t.danger}; border-color: {t.danger};
  color: {"#ffffff" if not t.dark else t.on_accent}; }}
QToolButton#Plain, QPushButton#Plain {{ border-color: transparent; background: transparent; }}
QToolButton#Plain:hover, QPushButton#Plain:hover {{ background: {t.raised}; }}
QToolButton#Plain:focus, QPushButton#Plain:focus {{ border: 2px solid {t.accent}; }}
QToolButton#Plain:checked {{ background: {t.raised}; color: {t.text}; border-color: transparent; }}
QToolButton#Section {{ border: 2px solid transparent; background: transparent; font-size: 11pt; font-weight: 600;
  padding: 8px 6px; text-align: left; }}
QToolButton#Section:checked {{ color: {t.text}; background: transparent; border-color: transparent; }}
QToolButton#Section:hover {{ background: {t.raised}; }}
QToolButton#Section:focus, QToolButton#Section:checked:focus {{ border: 2px solid {t.accent}; }}
QToolButton::menu-indicator {{ image: none; }}

QLineEdit, QPlainTextEdit, QTextEdit, QComboBox, QSpinBox, QKeySequenceEdit {{
  background: {t.surface}; color: {t.text}; border: 1px solid {t.border}; border-radius: 8px; padding: 6px 9px;
  min-height: 20px; selection-background-color: {t.accent}; selection-color: {t.on_accent}; }}
QLineEdit:focus, QPlainTextEdit:focus, QTextEdit:focus, QComboBox:focus, QSpinBox:focus {{
  border: 2px solid {t.accent}; padding: 5px 8px; }}
QComboBox {{ combobox-popup: 0; }}
QComboBox::drop-down {{ width: 28px; border: none; }}
QComboBox::down-arrow {{ image: url("{images}/down-{kind}.svg"); width: 16px; height: 16px; }}
QComboBox QAbstractItemView {{ background: {t.surface}; border: 1px solid {t.border}; border-radius: 0; padding: 4px;
  selection-background-color: {t.accent}; selection-color: {t.on_accent}; }}
QComboBox QAbstractItemView::item {{ min-height: 20px; }}

QCheckBox, QRadioButton {{ spacing: 9px; padding: 4px 2px; border: 2px solid transparent; border-radius: 6px; }}
QCheckBox:focus, QRadioButton:focus {{ border: 2px solid {t.accent}; }}
QCheckBox::indicator, QRadioButton::indicator, QMenu::indicator {{
  width: 16px; height: 16px; background: {t.surface}; border: 1.5px solid {t.muted}; border-radius: 4px; }}
QRadioButton::indicator {{ border-radius: 9px; }}
QMenu::indicator {{ width: 14px; height: 14px; margin-left: 8px; }}
QCheckBox::indicator:checked, QMenu::indicator:checked {{
  background: {t.accent}; border-color: {t.accent}; image: url("{images}/check-{kind}.svg"); }}
QRadioButton::indicator:checked {{ border: 5px solid {t.accent}; width: 9px; height: 9px; background: {t.on_accent}; }}
QCheckBox::indicator:disabled, QRadioButton::indicator:disabled {{ border-color: {t.border}; background: {t.ground}; }}
QSlider {{ min-height: 26px; border: 2px solid transparent; border-radius: 6px; }}
QSlider:focus {{ border: 2px solid {t.accent}; }}
QSlider::groove:horizontal {{ height: 4px; background: {t.border}; border-radius: 2px; }}
QSlider::sub-page:horizontal {{ background: {t.accent}; border-radius: 2px; }}
QSlider::handle:horizontal {{ width: 16px; height: 16px; margin: -6px 0; border-radius: 8px; background: {t.accent}; }}
QProgressBar {{ border: none; background: {t.raised}; border-radius: 4px; height: 8px; text-align: center; }}
QProgressBar::chunk {{ background: {t.accent}; border-radius: 4px; }}

QListView, QTableView, QTreeView {{ background: {t.surface}; border: 1px solid {t.border}; border-radius: 8px; }}
QListView::item, QTreeView::item {{ padding: 5px 6px; border: 0 solid transparent; }}
QListView::item:selected, QTreeView::item:selected {{ background: {t.accent}; color: {t.on_accent}; }}
#Strip QListView {{ border: none; background: transparent; }}
#Strip QListView::item {{ padding: 0; background: transparent; }}
QHeaderView::section {{ background: {t.surface}; color: {t.muted}; border: none; border-bottom: 1px solid {t.border};
  padding: 6px; }}
QTableView {{ gridline-color: transparent; selection-background-color: {t.raised}; selection-color: {t.text}; }}
QTableView::item {{ padding: 4px 8px; }}
QScrollArea, QScrollArea > QWidget > #Sections {{ background: transparent; border: none; }}
QScrollBar:vertical {{ width: 12px; background: transparent; margin: 2px; }}
QScrollBar:horizontal {{ height: 12px; background: transparent; margin: 2px; }}
QScrollBar::handle {{ background: {t.border}; border-radius: 4px; min-height: 32px; min-width: 32px; }}
QScrollBar::handle:hover {{ background: {t.muted}; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
QSplitter::handle {{ background: {t.border}; }}
QSplitter::handle:horizontal {{ width: 1px; }}
QSplitter::handle:vertical {{ height: 1px; }}

QFrame#Card {{ background: {t.surface}; border: 1px solid {t.border}; border-radius: 10px; }}
QFrame#Banner {{ background: {t.surface}; border: 1px solid {t.border}; border-left: 5px solid {t.accent};
  border-radius: 8px; }}
QFrame#Banner[level="warning"] {{ border-left-color: {t.warning}; }}
QFrame#Banner[level="error"] {{ border-left-color: {t.danger}; }}
QFrame#Banner[level="good"] {{ border-left-color: {t.good}; }}
QFrame#Line {{ background: {t.border}; max-height: 1px; min-height: 1px; border: none; }}
"""
