"""Drawing on another machine: a host that draws, and an engine that asks it. Motion travels up, not pictures."""
