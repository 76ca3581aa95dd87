"""The toy desk, for what is used through a tool."""

from ...toys.desks import root, settings, toys

__all__ = ["root", "settings", "toys"]
