"""Several masks of one structure: one mask out of them, and what to trust."""
