"""DD-SAM2."""
