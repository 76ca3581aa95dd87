"""Runs that teach a SAM or SAM 2 a fixed list of structures."""
