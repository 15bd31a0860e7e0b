"""Masque: a portrait that moves as you do. Works without a screen; imports no Qt."""

import os

__version__ = "0.1.0"

# Set before NumPy is loaded: OpenBLAS shares even small products with helper threads, which then wait in a busy loop.
# In a live session that costs a quarter of a core and delays frames, without any gain.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
