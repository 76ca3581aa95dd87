"""Whether a mask can be what it is called."""
