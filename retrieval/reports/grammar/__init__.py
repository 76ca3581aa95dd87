"""The grammar of a report's sentences: from words to findings in the making."""
