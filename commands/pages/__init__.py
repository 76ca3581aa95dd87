"""Writes the generated parts of README and docs."""
