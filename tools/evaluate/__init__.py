"""Evaluation of an engine over many clips and portraits."""
