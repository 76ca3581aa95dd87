"""Names of structures."""
