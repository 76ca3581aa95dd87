"""What the protocol costs."""
