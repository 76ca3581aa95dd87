"""Volumes, geometry, files, the store, measures and pictures; no torch."""
