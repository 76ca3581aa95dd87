"""Backbones of this folder, one row each. Torch-free."""

from __future__ import annotations

from ...parity import Against
from ..row import Backbone, Size

ROWS: tuple[Backbone, ...] = (
    Backbone(
        name="lightmunet",
        system="LightM-UNet",
        number=45,
        module="backbones.mamba.lightmunet",
        dims=(2, 3),
        presets={
            "tiny": {"width": 8, "blocks_down": (1, 1, 2), "blocks_up": (1, 1)},
            "paper": {"width": 32, "blocks_down": (1, 2, 2, 4), "blocks_up": (1, 1, 1), "directions": "fwd"},
            "width16": {"width": 16},
            "width8": {"width": 8},
        },
        source="Liao et al. 2024, arXiv 2403.05246; MrBlankness/LightM-UNet, nnunetv2/nets/LightMUNet.py",
        licence="Apache-2.0",
        fidelity="structural",
        deviations=(
            "Other scan orders than the authors' single one are an option of ours.",
            "The scan runs in plain torch, with mamba-ssm's kernel only where that is installed and the image is on CUDA.",
        ),
        sizes=(
            Size("paper", 3, 1, 2, 5.016),
            Size("width16", 3, 1, 2, 1.345),
            Size("width8", 3, 1, 2, 0.382),
        ),
        parity=(Against("MrBlankness/LightM-UNet"),),
    ),
)
