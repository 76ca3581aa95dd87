"""Training and measuring on the command line."""
