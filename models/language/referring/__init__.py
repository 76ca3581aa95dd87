"""What referring systems share."""
