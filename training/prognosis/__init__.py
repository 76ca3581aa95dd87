"""Runs that teach survival."""
