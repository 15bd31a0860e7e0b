"""All actions with keys: name, group in the key sheet, and default keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from PyQt5.QtGui import QKeySequence

from ui.look.language import later

AVATARS, PLACE, CAMERA, CALIBRATION, EXPRESSIONS, LIVE, VIEW, PROGRAM = (
    later("Avatars"), later("Place and background"), later("Camera and crop"), later("Calibration"),
    later("Expressions"), later("Live"), later("View"), later("Program"),
)  # fmt: skip


@dataclass(frozen=True)
class KeyAction:
    """An action that is available by key, menu or button."""

    name: str
    group: str
    text: str
    keys: tuple[str, ...]  # in QKeySequence.PortableText format; the user can change the first one
    icon: str = ""
    checkable: bool = False
    repeats: bool = False  # repeats while the key is held
    hold: bool = False  # triggered only if the key is held for a while
    short: str = ""  # text for buttons; empty: the full text


ACTIONS: tuple[KeyAction, ...] = (
    *(KeyAction(f"avatar_{n}", AVATARS, later("Avatar {number}"), (str(n),)) for n in range(1, 10)),
    KeyAction("previous_avatar", AVATARS, later("Previous avatar"), ("A",), "left"),
    KeyAction("next_avatar", AVATARS, later("Next avatar"), ("D",), "right"),
    KeyAction("favourite", AVATARS, later("Favourite"), ("B",), "star"),
    KeyAction("search_avatar", AVATARS, later("Search avatars"), ("Ctrl+F",), "search"),
    KeyAction("import", AVATARS, later("Add pictures…"), ("Ctrl+O",), "plus", short=later("Add")),
    KeyAction("paste", AVATARS, later("Add from the clipboard"), ("Ctrl+V",), "paste", short=later("Paste")),
    KeyAction("rename", AVATARS, later("Rename…"), ("F2",), "rename"),
    KeyAction("marks", AVATARS, later("Mark the face by hand…"), ("Ctrl+M",), "marks"),
    KeyAction("remove", AVATARS, later("Remove"), ("Del",), "trash"),
    KeyAction("undo_remove", AVATARS, later("Undo remove"), ("Ctrl+Z",), "undo"),
    KeyAction("reload", AVATARS, later("Reload the avatars' folder"), ("L",), "refresh"),
    KeyAction("place_larger", PLACE, later("Avatar larger"), ("Alt+=", "Alt++"), "larger", repeats=True),
    KeyAction("place_smaller", PLACE, later("Avatar smaller"), ("Alt+-",), "smaller", repeats=True),
    KeyAction("place_left", PLACE, later("Avatar to the left"), ("Alt+Left",), repeats=True),
    KeyAction("place_right", PLACE, later("Avatar to the right"), ("Alt+Right",), repeats=True),
    KeyAction("place_up", PLACE, later("Avatar up"), ("Alt+Up",), repeats=True),
    KeyAction("place_down", PLACE, later("Avatar down"), ("Alt+Down",), repeats=True),
    KeyAction("reset_place", PLACE, later("Reset zoom and position"), ("Alt+0",), "undo", short=later("Reset")),
    KeyAction("zoom_in", CAMERA, later("Zoom in"), ("W",), repeats=True),
    KeyAction("zoom_out", CAMERA, later("Zoom out"), ("S",), repeats=True),
    KeyAction("zoom_in_fine", CAMERA, later("Zoom in a little"), ("Shift+W",), repeats=True),
    KeyAction("zoom_out_fine", CAMERA, later("Zoom out a little"), ("Shift+S",), repeats=True),
    KeyAction("pan_up", CAMERA, later("Crop up"), ("U",), repeats=True),
    KeyAction("pan_left", CAMERA, later("Crop left"), ("H",), repeats=True),
    KeyAction("pan_down", CAMERA, later("Crop down"), ("J",), repeats=True),
    KeyAction("pan_right", CAMERA, later("Crop right"), ("K",), repeats=True),
    KeyAction("pan_up_fine", CAMERA, later("Crop up a little"), ("Shift+U",), repeats=True),
    KeyAction("pan_left_fine", CAMERA, later("Crop left a little"), ("Shift+H",), repeats=True),
    KeyAction("pan_down_fine", CAMERA, later("Crop down a little"), ("Shift+J",), repeats=True),
    KeyAction("pan_right_fine", CAMERA, later("Crop right a little"), ("Shift+K",), repeats=True),
    KeyAction("reset_crop", CAMERA, later("Crop follows the face"), ("Shift+Z",), "crop"),
    KeyAction("ghost_less", CAMERA, later("Overlay portrait: fainter"), ("Z",), repeats=True),
    KeyAction("ghost_more", CAMERA, later("Overlay portrait: stronger"), ("C",), repeats=True),
    KeyAction("choose_camera", CAMERA, later("Choose the camera"), ("Ctrl+K",), "camera"),
    KeyAction("calibrate", CALIBRATION, later("Calibrate now"), ("X",), "target"),
    KeyAction("guided", CALIBRATION, later("Guided calibration"), ("G",), "target"),
    KeyAction("undo_calibration", CALIBRATION, later("Undo calibration"), ("Shift+X",), "undo"),
    KeyAction("search", CALIBRATION, later("Improve calibration automatically"), ("F",), checkable=True),
    KeyAction("recentre", CALIBRATION, later("Recentre gently"), ("Shift+C",), short=later("Recentre")),
    KeyAction("express_smile", EXPRESSIONS, later("Smile"), ("Ctrl+1",), checkable=True),
    KeyAction("express_surprise", EXPRESSIONS, later("Surprise"), ("Ctrl+2",), checkable=True),
    KeyAction("express_wink", EXPRESSIONS, later("Wink"), ("Ctrl+3",), checkable=True),
    KeyAction("express_sad", EXPRESSIONS, later("Sad"), ("Ctrl+4",), checkable=True),
    KeyAction("express_own", EXPRESSIONS, later("Own expression"), ("Ctrl+5",), checkable=True, short=later("Own")),
    KeyAction("catch_expression", EXPRESSIONS, later("Keep my face as own expression"), ("Ctrl+Shift+5",)),
    *(KeyAction(f"preset_{n}", EXPRESSIONS, later("Preset {number}"), (f"Alt+{n}",)) for n in range(1, 10)),
    KeyAction("save_preset", EXPRESSIONS, later("Save as preset…"), ("Ctrl+Shift+P",)),
    KeyAction("virtual_camera", LIVE, later("Virtual camera"), ("V",), "broadcast", checkable=True),
    KeyAction("camera_with_program", LIVE, later("Start the virtual camera with the program"), (), checkable=True),
    KeyAction("browser_source", LIVE, later("Browser source for OBS"), (), "output", checkable=True),
    KeyAction("freeze", LIVE, later("Freeze"), ("Space", "Pause"), "freeze", checkable=True, short=later("Freeze")),
    KeyAction("pass_through", LIVE, later("Show my real face (hold)"), ("0",), "person", hold=True),
    KeyAction("record", LIVE, later("Record"), ("Ctrl+R",), "record", checkable=True),
    KeyAction("snapshot", LIVE, later("Snapshot"), ("Ctrl+S",), "snapshot"),
    KeyAction("save_replay", LIVE, later("Instant replay (30 s)"), ("Ctrl+Shift+S",), "replay", short=later("Replay")),
    KeyAction("open_captures", LIVE, later("Open the recordings' folder"), ("Ctrl+Shift+O",), "folder"),
    KeyAction("mirror_preview", VIEW, later("Mirror preview"), ("R",), "mirror", checkable=True),
    KeyAction("mirror_output", VIEW, later("Mirror output"), ("T",), "mirror", checkable=True),
    KeyAction("landmarks", VIEW, later("Landmarks"), ("O",), "marks", checkable=True),
    KeyAction("overlay", VIEW, later("Rate and latency"), ("I",), "info", checkable=True),
    KeyAction("preview", VIEW, later("Camera picture: corner, large, hidden"), ("P",), "camera"),
    KeyAction("panel", VIEW, later("Side panel"), ("Ctrl+B",), "panel", checkable=True),
    KeyAction("full_screen", VIEW, later("Full screen"), ("F11",), "expand", checkable=True),
    KeyAction("leave_full_screen", VIEW, later("Leave full screen"), ("Esc",)),
    KeyAction("keys", PROGRAM, later("Keys"), ("F1",), "keyboard"),
    KeyAction("guide", PROGRAM, later("First steps"), ("Ctrl+G",), "help"),
    KeyAction("models", PROGRAM, later("Engines and models…"), ("Ctrl+E",), "engine"),
    KeyAction("use_warp", PROGRAM, later("Draw with warp"), (), "engine"),
    KeyAction("doctor", PROGRAM, later("System check…"), ("Ctrl+D",), "check"),
    KeyAction("export_settings", PROGRAM, later("Export settings…"), ()),
    KeyAction("import_settings", PROGRAM, later("Import settings…"), ()),
    KeyAction("close_to_tray", PROGRAM, later("Keep running in the tray when closed"), (), checkable=True),
    KeyAction("about", PROGRAM, later("About Masque"), (), "info"),
    KeyAction("quit", PROGRAM, later("Quit"), ("Ctrl+Q",)),
)
BY_NAME = {action.name: action for action in ACTIONS}


def keys_of(name: str, chosen: Mapping[str, str]) -> list[QKeySequence]:
    """Return the keys of an action; the user's key replaces the first one, and an empty text removes it."""
    keys = list(BY_NAME[name].keys)
    if name in chosen:
        keys = [chosen[name], *keys[1:]]
    return [QKeySequence(key, QKeySequence.PortableText) for key in keys if key]


def key_text(name: str, chosen: Mapping[str, str]) -> str:
    """Format the keys of an action in the system's notation; empty if it has none."""
    return ", ".join(key.toString(QKeySequence.NativeText) for key in keys_of(name, chosen))


def taken_by(key: str, name: str, chosen: Mapping[str, str]) -> str | None:
    """Return the other action bound to a key, if any."""
    wanted = QKeySequence(key, QKeySequence.PortableText)
    return next((a.name for a in ACTIONS if a.name != name and wanted in keys_of(a.name, chosen)), None)
