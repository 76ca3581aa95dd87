"""Several masks of one structure: how far they agree, and one mask out of them."""
