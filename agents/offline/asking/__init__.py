"""A question, understood: its words, its pieces, its kind, and which tools it permits."""
