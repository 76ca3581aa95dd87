"""Networks with a fixed list of classes."""
