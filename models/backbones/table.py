"""Every backbone there is, one row each. Torch-free; rows stand beside the networks they name.

To add one: a module with `build(dims, channels, classes, **options)`, its row in the `rows.py` of its folder, a TOML with
`backbone = "NAME"`, a test.
"""

from __future__ import annotations

from ..rows import row_of
from .attention.rows import ROWS as ATTENTION
from .convolution.rows import ROWS as CONVOLUTION
from .mamba.rows import ROWS as MAMBA
from .row import Backbone

BACKBONES: tuple[Backbone, ...] = (*CONVOLUTION, *ATTENTION, *MAMBA)


def backbone(name: str) -> Backbone:
    """The backbone of this name.

    Raises:
        BadCall: there is none; the nearest is offered.
    """
    return row_of(BACKBONES, name, "backbone")
