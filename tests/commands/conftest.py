"""The toy desk, its scan, and a way to call tools."""

from ..toys.checkpoints import shelf
from ..toys.desks import ask, desk, image_id, root, settings, toys

__all__ = ["ask", "desk", "image_id", "root", "settings", "shelf", "toys"]
