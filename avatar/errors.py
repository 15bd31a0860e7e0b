"""All errors that a user can act upon.

AvatarError(what, remedy)
├── UsageError      the command line or an argument makes no sense (exit code 2)
├── SetupError      the environment is not complete
├── WeightsError    a model file is missing, damaged or of the wrong kind
├── ImageError      an image cannot be read or used
├── VideoError      a driving video cannot be read
├── FaceError       no usable face: none, too small, turned too far
├── TemplateError   a motion template cannot be read
├── LibraryError    the avatar library refuses a name or an import
├── EngineError     an engine cannot be opened or failed
├── ShapeError      tensors do not fit the model or each other
├── TrainingError   a recipe, its data or a training run cannot go on
├── CameraError     a camera cannot be opened or stopped sending
└── OutputError     the result cannot be written
"""

from __future__ import annotations

from avatar.system.message import fitting, together


class AvatarError(Exception):
    """An error with one sentence that says what happened and one with a remedy.

    Each is one visible line of bounded length, whatever file names and values it contains. A sentence with values is a
    `Message`, so that the window can translate it, never an f-string.
    """

    def __init__(self, what: str, *, remedy: str = "") -> None:
        self.what, self.remedy = fitting(what), fitting(remedy)
        super().__init__(together(self.what, self.remedy))


class UsageError(AvatarError):
    """The command line or an argument makes no sense; the exit code is 2."""


class SetupError(AvatarError):
    """The environment is not complete."""


class WeightsError(AvatarError):
    """A model file is missing, damaged or of the wrong kind."""


class ImageError(AvatarError):
    """An image cannot be read or used."""


class VideoError(AvatarError):
    """A driving video cannot be read."""


class FaceError(AvatarError):
    """There is no usable face: none, too small, or turned too far."""


class TemplateError(AvatarError):
    """A motion template cannot be read."""


class LibraryError(AvatarError):
    """The avatar library refuses a name or an import."""


class EngineError(AvatarError):
    """An engine cannot be opened, or failed while it ran."""


class ShapeError(AvatarError):
    """Tensors do not fit the model, or do not fit each other."""


class TrainingError(AvatarError):
    """A recipe or its data cannot be used, or a training run diverged."""


class CameraError(AvatarError):
    """A camera cannot be opened, or stopped sending."""


class OutputError(AvatarError):
    """The result cannot be written."""
