"""How well a network draws what is pointed at, beside rivals that need no training."""
