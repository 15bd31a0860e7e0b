"""Masque: a portrait that moves as you do. Works without a screen; imports no Qt."""

__version__ = "0.1.0"
