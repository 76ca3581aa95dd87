"""Features of the IBSI."""
