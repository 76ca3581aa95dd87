"""Tools of the viewer."""
