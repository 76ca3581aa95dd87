"""SAT-mini: the bundled networks."""
