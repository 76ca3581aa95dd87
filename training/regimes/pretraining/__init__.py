"""Ways to learn from images without labels, whose runs are something to start from."""
