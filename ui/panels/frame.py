"""Side panel: position of the avatar in the output, and its background."""

from __future__ import annotations

from pathlib import Path

from PyQt5.QtGui import QColor, QIcon, QPixmap
from PyQt5.QtWidgets import QColorDialog, QFileDialog, QPushButton, QWidget

from avatar.errors import AvatarError
from avatar.images.load import SUFFIXES, load_image
from avatar.settings import Place, Settings
from ui.actions import Actions
from ui.background import Lane
from ui.look.language import tr
from ui.panels.section import Section, note, set_note
from ui.session import Notice, Session
from ui.widgets.choice import Choice

SWATCH_PX = 16
FADES_MS = (0, 100, 200, 300, 500)


class FrameSection(Section):
    """Section with fit, zoom, position and background."""

    def __init__(self, session: Session, actions: Actions, files: Lane, parent: QWidget | None = None) -> None:
        super().__init__("frame", tr("Place and background"), parent)
        self._session, self._files = session, files
        fits = (("blur", tr("Blurred bars")), ("fit", tr("Black bars")), ("fill", tr("Fill")))
        self.fit = Choice(tr("Fit"), fits)
        self.fit.chosen.connect(lambda fit: session.change("canvas", fit=fit))
        self.reset = actions.button("reset_place", self, text=True)
        self.reset.setText(" " + actions.plain_text("reset_place"))
        backgrounds = (
            ("own", tr("The portrait's own")), ("blur", tr("Blurred")), ("colour", tr("A colour")),
            ("green", tr("Green, for a chroma key")), ("image", tr("A picture")), ("transparent", tr("Transparent")),
        )  # fmt: skip
        self.background = Choice(tr("Background"), backgrounds)
        self.background.chosen.connect(self._choose)
        self.colour = QPushButton(tr("Choose the colour…"))
        self.colour.clicked.connect(self._ask_colour)
        self.image = QPushButton(tr("Choose the picture…"))
        self.image.clicked.connect(self._ask_image)
        self.about = note()
        fades = [(str(ms), tr("{ms} ms", ms=ms) if ms else tr("Off")) for ms in FADES_MS]
        self.crossfade = Choice(tr("Crossfade between avatars"), fades)
        self.crossfade.chosen.connect(lambda ms: session.change("", crossfade_ms=int(ms)))
        how = tr("Drag the avatar, and turn the wheel over it. Keys: Alt with the arrows, + and −.")
        for widget in (
            self.fit,
            note(how),
            self.reset,
            self.background,
            self.colour,
            self.image,
            self.about,
            self.crossfade,
        ):
            self.rows.addWidget(widget)
        session.changed.connect(self.follow)
        self.follow(session.settings)

    def follow(self, settings: Settings) -> None:
        """Show the settings."""
        canvas = settings.canvas
        self.fit.set_value(canvas.fit)
        self.reset.setEnabled(canvas.place(settings.avatar) != Place())
        self.background.set_value(canvas.background)
        self.colour.setVisible(canvas.background == "colour")
        swatch = QPixmap(SWATCH_PX, SWATCH_PX)
        swatch.fill(QColor(canvas.background_colour))
        self.colour.setIcon(QIcon(swatch))
        self.image.setVisible(canvas.background == "image")
        set_note(self.about, self._about(settings))
        fade = str(settings.crossfade_ms)
        if self.crossfade.combo.findData(fade) < 0:
            self.crossfade.combo.addItem(tr("{ms} ms", ms=settings.crossfade_ms), fade)
        self.crossfade.set_value(fade)

    def _about(self, settings: Settings) -> str:
        canvas = settings.canvas
        if canvas.background == "own":
            return ""
        if canvas.background == "transparent":
            return tr("For the browser source, recordings in WebM and snapshots. Where there is no transparency, "
                      "others see the portrait's own background.")  # fmt: skip
        return Path(canvas.background_image).name if canvas.background == "image" else ""

    def _choose(self, background: str) -> None:
        if background == "image" and not self._session.settings.canvas.background_image:
            self._ask_image()
        else:
            self._session.change("canvas", background=background)

    def _ask_colour(self) -> None:
        before = QColor(self._session.settings.canvas.background_colour)
        colour = QColorDialog.getColor(before, self, tr("Background"))
        if colour.isValid():
            self._session.change("canvas", background_colour=colour.name())

    def _ask_image(self) -> None:
        kinds = f"{tr('Pictures')} ({' '.join('*' + suffix for suffix in sorted(SUFFIXES))})"
        before = self._session.settings.canvas.background_image
        name, _ = QFileDialog.getOpenFileName(self, tr("A picture for the background"), before, kinds)
        if name:
            self._files.run(lambda: load_image(Path(name)), lambda _: self._use_image(name), self._refuse)
        self.follow(self._session.settings)

    def _use_image(self, name: str) -> None:
        self._session.change("canvas", background="image", background_image=name)

    def _refuse(self, error: AvatarError) -> None:
        self.follow(self._session.settings)
        self._session.notice(Notice(error.what, error.remedy, "error"))
