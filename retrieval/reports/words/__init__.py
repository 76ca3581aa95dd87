"""The words of a sentence: shorthand written out, and what they name."""
