"""Places and sides that a sentence leaves out: taken from what is usual, near, or told before."""
