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
    Backbone(
        name="dinounet",
        system="Dino U-Net",
        number=53,
        module="backbones.attention.dinounet",
        dims=(2,),
        presets={
            "tiny": {
                "tower": {
                    "hidden_size": 64,
                    "intermediate_size": 128,
                    "num_hidden_layers": 4,
                    "num_attention_heads": 4,
                },
                "taps": (0, 1, 2, 3),
                "inner": 16,
                "heads": 2,
                "rank": 32,
                "widths": (8, 16, 32, 64),
                "convs": (1, 1, 1),
            },
            "paper": {
                "tower": {"num_register_tokens": 4},
                "taps": (2, 5, 8, 11),
                "inner": 64,
                "heads": 16,
                "points": 4,
                "ffn_ratio": 0.25,
                "value_ratio": 0.5,
                "rank": 256,
                "widths": (32, 64, 128, 256),
                "convs": (2, 2, 2),
            },
            "base": {
                "tower": {
                    "hidden_size": 768,
                    "intermediate_size": 3072,
                    "num_attention_heads": 12,
                    "num_register_tokens": 4,
                },
            },
            "large": {
                "tower": {
                    "hidden_size": 1024,
                    "intermediate_size": 4096,
                    "num_hidden_layers": 24,
                    "num_attention_heads": 16,
                    "num_register_tokens": 4,
                },
                "taps": (4, 11, 17, 23),
            },
        },
        source="Gao et al. 2025, arXiv 2508.20909; yifangao112/DinoUNet; ViT-Adapter, arXiv 2205.08534",
        licence="DINOv3 licence for the adapter files",
        fidelity="substitute-encoder",
        deviations=(
            "The frozen transformer has random weights until the user's DINOv3 is put in its place, which is gated.",
            "Images of neither one nor three channels pass a learned map to three.",
            "The transformer runs in the precision of the rest; the authors run it in bfloat16.",
            "BatchNorm is each process's own.",
            "No stochastic depth.",
        ),
        parity=(Against("yifangao112/DinoUNet"),),
    ),
)
