"""Networks of attention: windows, groups of tokens, queries."""
