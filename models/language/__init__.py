"""Systems that segment by words."""
