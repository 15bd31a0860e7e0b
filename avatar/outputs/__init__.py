"""Where animated frames go."""
