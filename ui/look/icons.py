"""The icons, drawn as lines on a 24 x 24 grid; sharp at every scale and in the colour of the adjacent text."""

from __future__ import annotations

import functools

from PyQt5.QtCore import QByteArray, QRectF, Qt
from PyQt5.QtGui import QIcon, QPainter, QPixmap
from PyQt5.QtSvg import QSvgRenderer

from ui.look.theme import current

_SIZES = (16, 20, 24, 32, 48)

DRAWINGS = {
    "broadcast": '<circle cx="12" cy="12" r="2.6" fill="{c}"/>'
    '<path d="M7.5 16.5a6.4 6.4 0 0 1 0-9M16.5 7.5a6.4 6.4 0 0 1 0 9'
    'M4.6 19.4a10.4 10.4 0 0 1 0-14.8M19.4 4.6a10.4 10.4 0 0 1 0 14.8"/>',
    "camera": '<rect x="2.5" y="6.5" width="13" height="11" rx="2.5"/><path d="M15.5 10.5l6-3v9l-6-3z"/>',
    "record": '<circle cx="12" cy="12" r="8.5"/><circle cx="12" cy="12" r="4" fill="{c}" stroke="none"/>',
    "stop": '<rect x="6" y="6" width="12" height="12" rx="2.5" fill="{c}"/>',
    "snapshot": '<path d="M3 8.5h4l1.8-2.5h6.4L17 8.5h4v11H3z"/><circle cx="12" cy="13.5" r="3.6"/>',
    "replay": '<path d="M4 12a8 8 0 1 0 2.6-5.9"/><path d="M4 3.5v4.2h4.2"/><path d="M12 7.8V12l3 2"/>',
    "freeze": '<path d="M12 2.5v19M3.8 7.2l16.4 9.6M20.2 7.2L3.8 16.8M9.5 4.2L12 6.6l2.5-2.4'
    'M9.5 19.8L12 17.4l2.5 2.4"/>',
    "person": '<circle cx="12" cy="8" r="4"/><path d="M4.5 20.5c.6-4.4 3.6-6.6 7.5-6.6s6.9 2.2 7.5 6.6"/>',
    "target": '<circle cx="12" cy="12" r="7"/><circle cx="12" cy="12" r="1.6" fill="{c}"/>'
    '<path d="M12 2v4M12 18v4M2 12h4M18 12h4"/>',
    "mirror": '<path d="M12 3v18" stroke-dasharray="2.4 2.4"/><path d="M9 7L3 17.5h6zM15 7l6 10.5h-6z"/>',
    "crop": '<path d="M6.5 2v15.5H22M2 6.5h15.5V22"/>',
    "motion": '<path d="M3 7h10M17 7h4M3 17h4M11 17h10"/><circle cx="15" cy="7" r="2.2"/>'
    '<circle cx="9" cy="17" r="2.2"/>',
    "engine": '<rect x="6" y="6" width="12" height="12" rx="2"/><path d="M9.5 2.5V6M14.5 2.5V6M9.5 18v3.5M14.5 18v3.5'
    'M2.5 9.5H6M2.5 14.5H6M18 9.5h3.5M18 14.5h3.5"/>',
    "output": '<rect x="2.5" y="4" width="19" height="13" rx="2"/><path d="M8.5 21h7M12 17v4"/>',
    "plus": '<path d="M12 4.5v15M4.5 12h15"/>',
    "close": '<path d="M5.5 5.5l13 13M18.5 5.5l-13 13"/>',
    "larger": '<circle cx="10.5" cy="10.5" r="7"/><path d="M15.8 15.8L21 21M7.5 10.5h6M10.5 7.5v6"/>',
    "smaller": '<circle cx="10.5" cy="10.5" r="7"/><path d="M15.8 15.8L21 21M7.5 10.5h6"/>',
    "check": '<path d="M4.5 12.5l5 5 10-11"/>',
    "warning": '<path d="M12 3.5l9.5 16.5h-19z"/><path d="M12 10v4.6"/><circle cx="12" cy="17.2" r=".6" fill="{c}"/>',
    "error": '<circle cx="12" cy="12" r="9"/><path d="M12 7v6.2"/><circle cx="12" cy="16.4" r=".6" fill="{c}"/>',
    "info": '<circle cx="12" cy="12" r="9"/><path d="M12 11v6"/><circle cx="12" cy="7.6" r=".6" fill="{c}"/>',
    "down": '<path d="M5.5 9l6.5 6.5L18.5 9"/>',
    "right": '<path d="M9 5.5l6.5 6.5L9 18.5"/>',
    "left": '<path d="M15 5.5L8.5 12l6.5 6.5"/>',
    "undo": '<path d="M8.5 4.5L4 9l4.5 4.5"/><path d="M4 9h10a6 6 0 0 1 0 11h-3"/>',
    "refresh": '<path d="M20 12a8 8 0 1 1-2.6-5.9"/><path d="M20 3.5v4.2h-4.2"/>',
    "trash": '<path d="M4 6.5h16M9.5 6.5V4h5v2.5M6 6.5l1 14h10l1-14M10 10.5v6M14 10.5v6"/>',
    "rename": '<path d="M4 20l1-4.4L16.2 4.4l3.4 3.4L8.4 19z"/><path d="M13.6 7l3.4 3.4"/>',
    "marks": '<circle cx="12" cy="12" r="9"/><g fill="{c}" stroke="none"><circle cx="8.6" cy="9.6" r="1.3"/>'
    '<circle cx="15.4" cy="9.6" r="1.3"/><circle cx="12" cy="13" r="1.3"/><circle cx="9" cy="16.2" r="1.3"/>'
    '<circle cx="15" cy="16.2" r="1.3"/></g>',
    "folder": '<path d="M2.5 5.5h7l2 2.5h10v11.5h-19z"/>',
    "paste": '<rect x="5" y="4.5" width="14" height="17" rx="2"/><rect x="9" y="2.5" width="6" height="4" rx="1"/>',
    "download": '<path d="M12 3v12M6.5 10L12 15.5 17.5 10M4 20.5h16"/>',
    "keyboard": '<rect x="2" y="6" width="20" height="12.5" rx="2"/>'
    '<path d="M6 10h.1M10 10h.1M14 10h.1M18 10h.1M7.5 14.5h9"/>',
    "help": '<circle cx="12" cy="12" r="9"/><path d="M9.4 9.4a2.7 2.7 0 1 1 3.8 2.5c-.9.4-1.2 1-1.2 2"/>'
    '<circle cx="12" cy="17" r=".6" fill="{c}"/>',
    "expand": '<path d="M4 9.5V4h5.5M20 9.5V4h-5.5M4 14.5V20h5.5M20 14.5V20h-5.5"/>',
    "menu": '<path d="M3.5 6.5h17M3.5 12h17M3.5 17.5h17"/>',
    "panel": '<rect x="2.5" y="4" width="19" height="16" rx="2"/><path d="M15 4v16"/>',
    "star": '<path d="M12 3.2l2.7 5.6 6.1.8-4.5 4.3 1.1 6.1L12 17.1 6.6 20l1.1-6.1-4.5-4.3 6.1-.8z"/>',
    "search": '<circle cx="10.5" cy="10.5" r="7"/><path d="M15.8 15.8L21 21"/>',
    "copy": '<rect x="8" y="8" width="13" height="13" rx="2"/><path d="M4.5 16H3.8V3.8H16v.7"/>',
}

_LOGO = (
    '<rect x="1" y="1" width="22" height="22" rx="6.5" fill="{a}" stroke="none"/>'
    '<path d="M5 8.2c4.4-2 9.6-2 14 0 .6 5.6-2.2 10.2-7 10.2S4.4 13.8 5 8.2z" fill="{o}" stroke="none"/>'
    '<path d="M7.6 10.7c1.2-.9 2.5-.8 3.4.3-1.2.7-2.4.6-3.4-.3zM16.4 10.7c-1.2-.9-2.5-.8-3.4.3'
    ' 1.2.7 2.4.6 3.4-.3z" fill="{a}" stroke="{a}" stroke-width=".6"/>'
    '<path d="M9.6 14.7c1.5 1.1 3.3 1.1 4.8 0" stroke="{a}" stroke-width="1.3"/>'
)


def icon(name: str, colour: str | None = None, checked: str | None = None) -> QIcon:
    """Create an icon by name, in the text colour or another; `checked` is for a pressed button."""
    theme = current()
    return _icon(name, colour or theme.text, checked or theme.on_accent, theme.muted)


def pixmap(name: str, size_px: int, colour: str, scale: float = 1.0) -> QPixmap:
    """Render an icon at size_px x size_px device-independent pixels."""
    return _rendered(DRAWINGS[name].replace("{c}", colour), colour, size_px, scale)


def logo(size_px: int, scale: float = 1.0) -> QPixmap:
    """Render the logo: a mask on the accent colour."""
    theme = current()
    drawing = _LOGO.replace("{a}", theme.accent).replace("{o}", theme.on_accent)
    return _rendered(drawing, theme.on_accent, size_px, scale)


def application_icon() -> QIcon:
    """Return the icon of window, task bar and tray."""
    found = QIcon()
    for size in (16, 24, 32, 48, 64, 128, 256):
        found.addPixmap(logo(size))
    return found


@functools.lru_cache(maxsize=512)
def _icon(name: str, colour: str, checked: str, faint: str) -> QIcon:
    found = QIcon()
    for size in _SIZES:
        found.addPixmap(pixmap(name, size, colour))
        found.addPixmap(pixmap(name, size, checked), QIcon.Normal, QIcon.On)
        found.addPixmap(pixmap(name, size, faint), QIcon.Disabled)
    return found


def _rendered(drawing: str, colour: str, size_px: int, scale: float) -> QPixmap:
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="{colour}" stroke-width="1.8"'
        f' stroke-linecap="round" stroke-linejoin="round">{drawing}</svg>'
    )
    side = max(1, round(size_px * scale))
    rendered = QPixmap(side, side)
    rendered.fill(Qt.transparent)
    painter = QPainter(rendered)
    painter.setRenderHint(QPainter.Antialiasing)
    QSvgRenderer(QByteArray(svg.encode())).render(painter, QRectF(0, 0, side, side))
    painter.end()
    rendered.setDevicePixelRatio(scale)
    return rendered
