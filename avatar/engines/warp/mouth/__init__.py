"""The inside of the mouth: teeth, tongue and light."""
