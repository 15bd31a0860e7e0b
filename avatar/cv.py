"""The only module that imports OpenCV.

Both opencv-python wheels point Qt at their own plugins when they are imported. A PyQt5 window opened afterwards under
X11 then aborts the whole process, so the two environment variables are restored here.
"""

from __future__ import annotations

import os

import cv2

os.environ.pop("QT_QPA_PLATFORM_PLUGIN_PATH", None)
os.environ.pop("QT_QPA_FONTDIR", None)

__all__ = ["cv2"]
