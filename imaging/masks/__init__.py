"""What is computed from masks."""
