"""The toy desk, its scan, and a way to call tools."""

from ..toys.desks import ask, desk, image_id, root, settings, toys

__all__ = ["ask", "desk", "image_id", "root", "settings", "toys"]
