"""Eyes: lids that close, irises that follow the gaze."""
