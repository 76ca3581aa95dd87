"""What tests of models share."""

from ..toys.checkpoints import shelf

__all__ = ["shelf"]
