"""Backbones of this folder, one row each. Torch-free."""

from __future__ import annotations

from ...parity import Against
from ..row import Backbone, Size

ROWS: tuple[Backbone, ...] = (
    Backbone(
        name="qtseg",
        system="QTSeg",
        number=51,
        module="backbones.attention.qtseg",
        dims=(2,),
        presets={
            "tiny": {"width": 4, "heads": 2, "hidden": 64, "depths": (1, 1, 1)},
            "paper": {"width": 16, "heads": 8, "hidden": 2048, "depths": (1, 2, 3)},
        },
        source="Tran et al. 2024, arXiv 2412.17241; tpnam0901/QTSeg",
        fidelity="structural",
        deviations=("The layers of the queries' heads run together, which changes the cost and not the answer.",),
        sizes=(Size("paper", 2, 3, 2, 9.22),),
        parity=(Against("tpnam0901/QTSeg"),),
    ),
)
