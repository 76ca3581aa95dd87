"""FLanS."""
