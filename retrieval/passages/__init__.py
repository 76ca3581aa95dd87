"""The corpus and its search."""
