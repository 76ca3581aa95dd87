"""Label maps turned into pictures."""
