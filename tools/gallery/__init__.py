"""The built-in avatars, drawn by code: `python -m tools.gallery` renders them to models/avatars.

Bodies are signed distance functions that are ray-marched and lit (solid.py, light.py), or flat shapes (paint.py,
easel.py). Eyes, lips and brows are curves (design.py), so the 478 landmarks follow exactly from the drawing.
"""
