"""Typed tools that let language models segment, measure and defend medical images."""

__version__ = "0.1.0"
