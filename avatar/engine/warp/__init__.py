"""The embedded engine: landmarks move a portrait that is cut into head, background, eyes and mouth."""
