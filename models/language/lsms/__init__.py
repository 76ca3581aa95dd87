"""LSMS."""
