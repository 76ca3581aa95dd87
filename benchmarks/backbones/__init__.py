"""Every small backbone on the same data with the same processor time."""
