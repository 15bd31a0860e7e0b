"""Avatars of our own making, drawn by code: `python -m avatar.gallery` draws them into models/avatars.

Bodies are distance functions that are traced and lit (solid.py, light.py), or flat shapes (paint.py, easel.py). Eyes,
lips and brows are curves (design.py), so the 478 landmarks follow from the drawing exactly.
"""
