"""Backbones of this folder, one row each. Torch-free."""

from __future__ import annotations

from ..row import Backbone

ROWS: tuple[Backbone, ...] = ()
