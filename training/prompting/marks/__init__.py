"""Prompts as a made-up person gives them. Torch-free."""
