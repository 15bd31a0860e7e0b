"""Many animation jobs at once: read from a file, shared out to processes or a Ray cluster, resumed after any end."""
