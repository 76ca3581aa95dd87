"""HTTP: callers, tokens, uploads."""
