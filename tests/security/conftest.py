"""The desk with toy models, as the tools' tests have it."""

from ..toys.desks import ask, desk, image_id, root, settings, toys
from ..toys.http_toys import site, token

__all__ = ["ask", "desk", "image_id", "root", "settings", "site", "token", "toys"]
