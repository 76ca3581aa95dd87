"""Survival from image, text and records."""
