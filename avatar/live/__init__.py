"""The live pipeline: its threads, its events and its statistics."""
