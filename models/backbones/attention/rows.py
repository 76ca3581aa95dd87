"""Backbones of this folder, one row each. Torch-free."""

from __future__ import annotations

from ...parity import Against
from ..row import Backbone, Size

ROWS: tuple[Backbone, ...] = (
    Backbone(
        name="guided-attention",
        system="multi-scale self-guided attention",
        number=40,
        module="backbones.attention.guided.network",
        dims=(2,),
        presets={
            "tiny": {
                "stem": 16,
                "widths": (16, 32, 64, 64),
                "depths": (1, 1, 1, 1),
                "groups": 0,
                "group_width": 8,
                "width": 12,
            },
            "paper": {
                "stem": 64,
                "widths": (256, 512, 1024, 2048),
                "depths": (3, 4, 23, 3),
                "groups": 32,
                "group_width": 8,
                "width": 64,
            },
        },
        source="Sinha and Dolz 2020, arXiv 1906.02849; sinAshish/Multi-Scale-Attention",
        fidelity="structural",
        deviations=(
            "The trunk starts from fresh weights, as the authors' ResNeXt-101 (32 groups of 8) does; in 'tiny' it is a ResNet of four blocks.",
            "The mean of the four refined answers is trained beside the eight side answers.",
            "Side answers are given at a quarter of the sides, where the authors enlarge them first.",
            "Vectors of the semantic guide are one for each image, where the authors flatten over the batch.",
        ),
        parity=(Against("sinAshish/Multi-Scale-Attention"),),
    ),
    Backbone(
        name="paratranscnn",
        system="ParaTransCNN",
        number=42,
        module="backbones.attention.paratranscnn",
        dims=(2,),
        presets={
            "tiny": {
                "stem": 8,
                "widths": (8, 16, 24, 32),
                "depths": (1, 1, 1, 1),
                "dim": 16,
                "heads": 4,
                "layers": (1, 1, 1),
                "dropout": 0.1,
            },
            "paper": {
                "stem": 64,
                "widths": (64, 128, 256, 512),
                "depths": (3, 4, 6, 3),
                "dim": 320,
                "heads": 8,
                "layers": (3, 3, 3),
                "dropout": 0.1,
            },
        },
        source="Sun et al. 2024, arXiv 2401.15307; HongkunSun/ParaTransCNN",
        fidelity="structural",
        deviations=(
            "The ResNet starts from fresh weights, where the authors take those of ImageNet.",
            "Images of any number of channels and any sides, where the authors' are square and of three.",
        ),
        sizes=(Size("paper", 2, 3, 9, 245.5),),
        parity=(Against("HongkunSun/ParaTransCNN"),),
    ),
)
