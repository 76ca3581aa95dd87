"""What measures and calibrates doubt."""
