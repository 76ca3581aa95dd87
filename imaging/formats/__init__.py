"""One file per format, and what reading and writing share."""
