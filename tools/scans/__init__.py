"""Tools for scans and masks."""
