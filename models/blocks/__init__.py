"""Blocks that systems share."""
