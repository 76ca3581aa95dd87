"""MetaImage and NRRD: formats whose header is text, read by their own grammars and never by a library that follows file names."""
