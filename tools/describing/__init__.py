"""Tools that segment by description."""
