"""A PostgreSQL server, and the ways a store is kept."""

from ..toys.postgres import postgres, shared

__all__ = ["postgres", "shared"]
