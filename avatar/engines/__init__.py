"""Engines: a portrait and a driving frame in, an avatar frame out."""
