"""Portraits: check whether an image can be animated, and choice of the part to animate."""
