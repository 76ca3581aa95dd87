"""Synthetic images: intensity priors, one diffusion engine, a classical engine, and how both are judged."""
