"""One file per data set: files, labels, split, licence, allowed use."""
