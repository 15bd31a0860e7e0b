"""What moves: tracked motion, the reference frame, and how both carry over to a portrait."""
