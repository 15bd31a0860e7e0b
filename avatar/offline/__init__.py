"""Jobs that run to completion without a camera: animate, evaluate, bench."""
