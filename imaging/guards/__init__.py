"""What keeps files private and header values out of logs."""
