"""How fast the answers come."""
