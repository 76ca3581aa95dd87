"""What keeps files whole, small enough and private, and header values out of logs."""
