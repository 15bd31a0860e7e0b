"""Outputs of animated frames."""
