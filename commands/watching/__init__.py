"""What works on this machine, and what servers do right now."""
