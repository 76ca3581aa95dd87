"""Runs that teach a network structures by name."""
