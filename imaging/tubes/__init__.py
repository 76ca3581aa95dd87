"""How wide vessels and airways are at right angles to their own course."""
