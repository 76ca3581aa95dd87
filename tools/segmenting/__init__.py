"""Tools that segment by name."""
