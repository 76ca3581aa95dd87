"""Backbones of this folder, one row each. Torch-free."""

from __future__ import annotations

from ..row import Backbone

ROWS: tuple[Backbone, ...] = (
    Backbone(
        name="unet",
        system="U-Net",
        number=0,
        module="backbones.convolution.plain",
        dims=(2, 3),
        presets={
            "tiny": {"features": (12, 24, 48, 96), "finest": 12},
            "paper": {"features": (32, 64, 128, 256, 320), "finest": 32},
        },
        source="Ronneberger et al. 2015, arXiv 1505.04597; plain network of nnU-Net, Isensee et al. 2021",
        fidelity="structural",
        deviations=(
            "BatchNorm instead of InstanceNorm, so that the answer does not depend on tiles.",
            "One convolution on the finest decoder level.",
            "Side answers of the two scales above the finest only.",
        ),
        in_tiles=True,
    ),
)
