"""Dialogs and the first-start guide."""
