"""Structures of a sentence: what a clause is about, hosts of lesions, lists and parts."""
