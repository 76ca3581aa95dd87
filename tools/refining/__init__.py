"""Masks corrected by pointing: marks, the log of steps, and the three tools."""
