"""Answers that the store has already, and how they are known to be the same."""
