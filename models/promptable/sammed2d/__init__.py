"""SAM-Med2D."""
