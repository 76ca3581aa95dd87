"""Tools that make images."""
