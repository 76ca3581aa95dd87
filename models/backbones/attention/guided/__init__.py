"""Multi-scale self-guided attention."""
