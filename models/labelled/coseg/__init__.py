"""Co-Seg++: tissue and nuclei of one image, each a prompt for the other."""
