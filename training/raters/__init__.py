"""Runs that teach what several readers drew."""
