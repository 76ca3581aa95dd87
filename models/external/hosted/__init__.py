"""Programs that run inside an engine's own Python, which knows nothing of ours: they import nothing of this package."""
