"""Outputs fed by the live pipeline: virtual camera, recording, replay, snapshot."""
