"""Data sets, objectives, the trainer, and evaluation."""
