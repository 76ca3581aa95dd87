"""Measurements of speed and memory; each prints a table with machine, versions and commit."""
