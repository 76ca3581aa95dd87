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
    Backbone(
        name="dformer",
        system="D-Former",
        number=43,
        module="backbones.attention.dformer",
        dims=(3,),
        presets={
            "tiny": {"width": 24, "depths": (2, 2), "heads": (2, 4), "patch": (2, 2, 2), "group": (4, 4, 2), "side": 0},
            "paper": {
                "width": 96,
                "depths": (2, 2, 6, 2),
                "heads": (3, 6, 12, 24),
                "patch": (4, 4, 2),
                "group": (8, 8, 2),
                "side": 2,
                "released": False,
                "intervals": (8, 4, 2, 1),
            },
        },
        source="Wu et al. 2022, arXiv 2201.00462; kkk55596/D-Former dc3deb7",
        fidelity="structural",
        deviations=(
            "Groups depend on the map before them only, where the released code remembers a map that was too small.",
            "No stochastic depth.",
            "Unless `released` is set, groups have the size asked for and padding is never seen.",
            "Three answers learn, where the released code computes the third and drops it.",
        ),
        parity=(Against("kkk55596/D-Former"),),
    ),
    Backbone(
        name="pctnet",
        system="PCT-Net",
        number=67,
        module="backbones.attention.pctnet",
        dims=(3,),
        presets={
            "tiny": {"features": (8, 12, 16, 32, 32), "heads": (2, 4, 4), "windows": (4, 4, 4)},
            "paper": {
                "features": (24, 48, 128, 256, 512),
                "depths": (2, 2, 2),
                "heads": (4, 8, 16),
                "windows": (6, 6, 6),
                "dropout": (0, 0, 0.2, 0.2, 0.2),
                "mode": 0,
                "flat_axis": 2,
                "legacy_relpos": False,
                "released": False,
                "size": (64, 128, 128),
            },
            "released": {"legacy_relpos": True, "released": True, "flat_axis": 0},
        },
        source="Wang et al. 2023, arXiv 2306.16925; openmedlab/MIS-FM 1506d65",
        licence="Apache-2.0",
        fidelity="structural",
        deviations=(
            "Dropout in the convolutions only, and no stochastic depth.",
            "Unless `released` is set, windows fit any image, padding is never seen, and the weights of one mode are there.",
            "Unless `legacy_relpos` is set, every offset has a relative bias of its own.",
        ),
        sizes=(Size("released", 3, 1, 2, 45.3),),
        parity=(Against("openmedlab/MIS-FM"),),
    ),
    Backbone(
        name="hbformer",
        system="HBFormer",
        number=50,
        module="backbones.attention.hbformer",
        dims=(2,),
        presets={
            "tiny": {"width": 16, "depths": (2, 1, 1, 1), "heads": (1, 2, 4, 4), "windows": (4, 4, 4, 4)},
            "paper": {
                "width": 96,
                "depths": (2, 2, 6, 2),
                "heads": (3, 6, 12, 24),
                "windows": (7, 7, 7, 7),
                "released": False,
            },
        },
        source="lzeeorno/HBFormer 4dced9d; the encoder is Swin's, Liu et al. 2021, arXiv 2103.14030",
        licence="MIT",
        fidelity="structural",
        deviations=(
            "No stochastic depth.",
            "Unless `released` is set, what pads a window is not seen.",
            "An image that is no multiple of 32 is padded once, where the released encoder pads and cuts at every stage.",
        ),
        parity=(Against("lzeeorno/HBFormer"),),
    ),
)
