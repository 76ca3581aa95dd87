"""The revisions, each the step from the schema before; written out, so that they never change with the code."""
