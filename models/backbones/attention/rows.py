"""Backbones of this folder, one row each. Torch-free."""

from __future__ import annotations

from ...parity import Against
from ..row import Backbone, Size

ROWS: tuple[Backbone, ...] = (
    Backbone(
        name="segformer3d",
        system="SegFormer3D",
        number=44,
        module="backbones.attention.segformer3d",
        dims=(3,),
        presets={
            "tiny": {
                "widths": (16, 32, 40, 64),
                "depths": (1, 1, 1, 1),
                "strides": (2, 2, 2, 2),
                "head": 64,
            },
            "paper": {
                "widths": (32, 64, 160, 256),
                "depths": (2, 2, 2, 2),
                "heads": (1, 2, 5, 8),
                "strides": (4, 2, 2, 2),
                "kernels": (7, 3, 3, 3),
                "reductions": (4, 2, 1, 1),
                "ratios": (4, 4, 4, 4),
                "head": 256,
                "dropout": 0.1,
            },
        },
        source="Perera et al. 2024, arXiv 2404.10156; OSUPCVLab/SegFormer3D 9d2fa50",
        licence="GPL-3.0",
        fidelity="structural",
        deviations=(
            "Any sides, where the released code takes cubes only.",
            "The head mixes channels before it resizes, which is the same map in less memory.",
            "The tiny preset halves first where the paper quarters, so that 32 voxels suffice.",
        ),
        sizes=(Size("paper", 3, 4, 3, 4.525251),),
        parity=(Against("OSUPCVLab/SegFormer3D"),),
    ),
)
