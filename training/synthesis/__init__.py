"""Runs that teach a network to make images."""
