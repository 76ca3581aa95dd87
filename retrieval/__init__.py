"""Anatomy structures and the words people use for them."""
