"""Free words that describe what to segment."""
