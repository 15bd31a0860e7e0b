"""Take the pictures of the window: `python docs/make_window_pictures.py`, in Masque's own environment.

Needs no screen (QT_QPA_PLATFORM=offscreen does). Without `--all` it writes window.jpg, the README's picture; with it
every dialog too, in light and dark, for looking: `--all -o FOLDER`. `--driver CLIP` shows a clip as the camera.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import avatar.cv  # noqa: F401 - before Qt

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 60.0


def main() -> None:
    """Open the app in folders of its own, take the pictures, close it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every dialog, in light and dark")
    parser.add_argument("-o", metavar="FOLDER", type=Path, default=HERE)
    parser.add_argument("--size", metavar="WxH", default="1280x800")
    parser.add_argument("--driver", metavar="CLIP", default="idle")
    parser.add_argument("--language", default="en")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["MASQUE_SETTINGS"] = str(Path(home) / "settings.toml")
        os.environ["MASQUE_AVATARS"] = str(Path(home) / "avatars")
        arguments.o.mkdir(parents=True, exist_ok=True)
        _take(arguments)


def _take(arguments: argparse.Namespace) -> None:
    from avatar.settings import CameraSettings, Settings, WindowSettings, save_settings
    from ui.app import App, make_application

    window = WindowSettings(guide_done=True, theme="light", language=arguments.language, overlay=arguments.all)
    save_settings(Settings(camera=CameraSettings(source=arguments.driver), window=window))
    application = make_application(sys.argv[:1])
    app = App(application)
    width, height = map(int, arguments.size.split("x"))
    app.window.resize(width, height)
    app.show()

    def until(true: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + TIMEOUT_S
        while not true() and time.monotonic() < deadline_s:
            application.processEvents()
            time.sleep(0.01)

    def wait(seconds: float) -> None:
        end_s = time.monotonic() + seconds
        until(lambda: time.monotonic() > end_s)

    until(lambda: app.window.stage.avatar.frame is not None and app.window.strip.list.model_.rowCount())
    wait(3.6)
    _save(app.window, arguments.o / "window.jpg")
    if arguments.all:
        for theme in ("light", "dark"):
            app.session.change("window", theme=theme)
            wait(1.5)
            app.window.resize(width, height)
            until(lambda: app.window.stage.avatar.frame is not None)
            wait(0.5)
            _take_all(app, arguments.o, theme, wait, until)
    app.close()


def _take_all(app: object, folder: Path, theme: str, wait: Callable, until: Callable) -> None:  # type: ignore[type-arg]
    import skimage.data
    from PIL import Image

    from ui.dialogs.doctor import DoctorDialog
    from ui.dialogs.import_avatar import ImportDialog
    from ui.dialogs.key_sheet import KeySheet
    from ui.dialogs.marks_editor import MarksDialog
    from ui.dialogs.models import ModelsDialog
    from ui.services import Services
    from ui.session import Notice

    window, session = app.window, app.session  # type: ignore[attr-defined]
    _save(window, folder / f"{theme}-window.png")
    for section in window.panel.sections:
        window.panel.reveal(section.name)
        wait(0.1)
        _save(window.panel, folder / f"{theme}-panel-{section.name}.png")
    session.freeze(True)
    session.notice(Notice("A camera was unplugged.", "Plug it in again, or choose another one.", "error", "source",
                          "choose_camera"))  # fmt: skip
    wait(0.3)
    _save(window, folder / f"{theme}-frozen.png")
    session.freeze(False)
    session.cleared.emit("source")
    window.actions_["guide"].trigger()
    for step in range(4):
        window.guide.go(step)
        wait(0.2)
        _save(window, folder / f"{theme}-guide-{step + 1}.png")
    window._end_guide()
    picture = Path(os.environ["MASQUE_SETTINGS"]).with_name("portrait.png")
    Image.fromarray(skimage.data.astronaut()[:400]).save(picture)
    services = Services()
    dialogs: dict[str, Any] = {
        "import": ImportDialog([picture] * 3, app.avatars, window),  # type: ignore[attr-defined]
        "marks": MarksDialog(skimage.data.astronaut(), {"right_eye_outer": (200.0, 110.0)}, window),
        "keys": KeySheet(session, window.actions_, window),
        "models": ModelsDialog(session, services, window),
        "doctor": DoctorDialog(services, app.slow, window),  # type: ignore[attr-defined]
    }
    for name, dialog in dialogs.items():
        dialog.show()
        wait(1.0)
        if name == "import":
            until(lambda: dialogs["import"].report is not None)
        if name == "doctor":
            until(dialogs["doctor"].copy.isEnabled)
        _save(dialog, folder / f"{theme}-{name}.png")
        dialog.close()


def _save(widget: object, path: Path) -> None:
    widget.grab().save(str(path), quality=88)  # type: ignore[attr-defined]
    print(path)


if __name__ == "__main__":
    main()
