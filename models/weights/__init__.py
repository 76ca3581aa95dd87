"""Bundled weights, each with a card."""
