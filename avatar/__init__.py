"""Masque: a portrait that moves as you do. Works without a screen; imports no Qt."""

import os

__version__ = "0.1.0"

# Before anything loads NumPy: its linear algebra (OpenBLAS) shares even small products with helper threads, which then
# wait for more in a busy loop. Live, that burns a quarter of a core, makes frames late, and gains nothing.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
