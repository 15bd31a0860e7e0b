"""A folder of numbered PNG frames, written atomically."""

from __future__ import annotations

import shutil
from pathlib import Path

from avatar.frames import RgbImage
from avatar.images.load import encode_png
from avatar.outputs.files.target import refuse_foreign_folder, write_errors_explained
from avatar.outputs.files.writer import AbortsUnlessCommitted
from avatar.system.atomic import flush_to_disk, part_path


class PngFolderWriter(AbortsUnlessCommitted):
    """Writes 000000.png, 000001.png, ... into a hidden folder beside the target, then renames it."""

    def __init__(self, target: Path) -> None:
        """Create the hidden folder. Raises OutputError."""
        refuse_foreign_folder(target)
        self._target = target.resolve()
        self._part = part_path(self._target)
        self._count = 0
        self.notes: list[str] = []
        with write_errors_explained(target):
            self._part.mkdir()

    def write(self, rgb: RgbImage, time_s: float) -> None:
        """Add an (H, W, 3 or 4) uint8 frame; a folder of images keeps their order but not their times."""
        self.write_coded(encode_png(rgb))

    def write_coded(self, coded: bytes) -> None:
        """Add a frame that is a PNG file already. Raises OutputError."""
        with write_errors_explained(self._target):
            (self._part / f"{self._count:06d}.png").write_bytes(coded)
        self._count += 1

    def commit(self, end_s: float | None = None) -> None:
        """Rename the folder, replacing an older one."""
        refuse_foreign_folder(self._target)  # its contents may have changed meanwhile
        older = part_path(self._target)
        with write_errors_explained(self._target):
            for path in self._part.iterdir():
                flush_to_disk(path)
            if self._target.exists():
                self._target.rename(older)
            try:
                self._part.rename(self._target)
            except OSError:
                if older.exists():
                    older.rename(self._target)
                raise
        shutil.rmtree(older, ignore_errors=True)

    def abort(self) -> None:
        """Remove the hidden folder."""
        shutil.rmtree(self._part, ignore_errors=True)
