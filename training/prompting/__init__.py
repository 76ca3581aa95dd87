"""Runs that teach a network to draw what one points at."""
