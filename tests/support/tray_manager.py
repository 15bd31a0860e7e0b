"""A system tray on an X server, as a desktop has one: icons dock in its window (freedesktop.org, XEmbed)."""

from __future__ import annotations

from types import TracebackType
from typing import Any

SIDE_PX = 32
_DOCK = 0  # SYSTEM_TRAY_REQUEST_DOCK


class TrayManager:
    """Owner of the tray of one display; `work` lets icons in."""

    def __init__(self, display_name: str) -> None:
        from Xlib import X, display

        self.display = display.Display(display_name)
        screen = self.display.screen()
        self._window = screen.root.create_window(
            1200, 0, 4 * SIDE_PX, SIDE_PX, 0, screen.root_depth, event_mask=X.SubstructureNotifyMask
        )
        self.icons: list[Any] = []
        selection = self.display.intern_atom("_NET_SYSTEM_TRAY_S0")
        self._window.set_selection_owner(selection, X.CurrentTime)
        self._window.map()
        self._tell(screen.root, "MANAGER", [X.CurrentTime, selection, self._window.id, 0, 0], X.StructureNotifyMask)

    def __enter__(self) -> TrayManager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.display.close()

    def work(self) -> None:
        """Take in the icons that ask for it."""
        opcode = self.display.intern_atom("_NET_SYSTEM_TRAY_OPCODE")
        while self.display.pending_events():
            event = self.display.next_event()
            if getattr(event, "client_type", None) == opcode and event.data[1][1] == _DOCK:
                icon = self.display.create_resource_object("window", event.data[1][2])
                icon.reparent(self._window, len(self.icons) * SIDE_PX, 0)
                icon.configure(width=SIDE_PX, height=SIDE_PX)
                icon.map()
                self.icons.append(icon)
        self.display.sync()

    def close_window(self, number: int) -> None:
        """Ask a window to close, as its title bar's button does."""
        window = self.display.create_resource_object("window", number)
        deletes = self.display.intern_atom("WM_DELETE_WINDOW")
        self._tell(window, "WM_PROTOCOLS", [deletes, 0, 0, 0, 0], 0)

    def is_shown(self, number: int) -> bool:
        """Return whether a window is on the screen."""
        from Xlib import X

        window = self.display.create_resource_object("window", number)
        return bool(window.get_attributes().map_state == X.IsViewable)

    def _tell(self, window: Any, kind: str, data: list[int], mask: int) -> None:
        from Xlib.protocol import event

        message = event.ClientMessage(window=window, client_type=self.display.intern_atom(kind), data=(32, data))
        window.send_event(message, event_mask=mask)
        self.display.sync()
