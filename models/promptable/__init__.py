"""Networks that draw what a person points at."""
