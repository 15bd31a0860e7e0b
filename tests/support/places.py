"""Paths of the project and of its data."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"  # clips, portraits and reference results; tests that need them skip without
