"""QTSeg: a query for each class reads a pyramid of maps."""
