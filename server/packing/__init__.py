"""How the answers of single tools are made short."""
