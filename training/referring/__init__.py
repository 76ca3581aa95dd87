"""Runs that teach a network sentences."""
