"""Ways to learn."""
