"""Networks of convolutions, and wrappers round 2-D networks."""
