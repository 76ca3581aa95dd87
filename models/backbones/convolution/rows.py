"""Backbones of this folder, one row each. Torch-free."""

from __future__ import annotations

from ...parity import Against
from ..row import Backbone, Size

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
    ),
    Backbone(
        name="stunet",
        system="STU-Net",
        number=37,
        module="backbones.convolution.stunet",
        dims=(2, 3),
        presets={
            "tiny": {"widths": (8, 16, 32, 64), "depths": (1, 1, 1, 1), "strides": None, "kernels": None},
            "paper": {"widths": (32, 64, 128, 256, 512, 512), "depths": (1,) * 6, "strides": None, "kernels": None},
            "small": {"widths": (16, 32, 64, 128, 256, 256), "depths": (1,) * 6},
            "base": {"widths": (32, 64, 128, 256, 512, 512), "depths": (1,) * 6},
            "large": {"widths": (64, 128, 256, 512, 1024, 1024), "depths": (2,) * 6},
            "huge": {"widths": (96, 192, 384, 768, 1536, 1536), "depths": (3,) * 6},
        },
        source="Huang et al. 2023, arXiv 2304.06716; uni-medical/STU-Net, STUNetTrainer.py",
        licence="Apache-2.0",
        fidelity="structural",
        deviations=(
            "The preset 'paper' is the base size.",
            "Images are our generalisation; the authors' network is for volumes.",
            "Strides are 2 everywhere unless a plan sets `strides`.",
        ),
        sizes=(
            Size("small", 3, 1, 105, 14.60),
            Size("base", 3, 1, 105, 58.26),
            Size("large", 3, 1, 105, 440.30),
            Size("huge", 3, 1, 105, 1457.33),
        ),
        parity=(Against("uni-medical/STU-Net"),),
    ),
    Backbone(
        name="unetpp",
        system="UNet++",
        number=38,
        module="backbones.convolution.unetpp",
        dims=(2, 3),
        presets={
            "tiny": {"form": "original", "widths": (8, 16, 32, 64), "convolutions": 2},
            "paper": {
                "form": "original",
                "widths": (32, 64, 128, 256, 512),
                "strides": None,
                "kernels": None,
                "convolutions": 2,
                "heads": True,
                "mode": "last",
                "prune": 0,
                "pooling": False,
            },
            "nnunet": {"form": "nnunet", "widths": (32, 64, 128, 256, 320, 320)},
        },
        source="Zhou et al. 2018, arXiv 1807.10165; 4uiiurz1/pytorch-nested-unet and MrGiovanni/UNetPlusPlus",
        licence="MIT (original); see the LICENSE of MrGiovanni/UNetPlusPlus (nnunet)",
        fidelity="structural",
        deviations=(
            "Volumes in the form 'original' are our generalisation.",
            "Any number of levels, where the authors' nnU-Net class is written for five poolings.",
            "The mean of the columns is given as the logits of the mean probability.",
            "Learned growth only in the form 'nnunet'; its variant with interpolation is left out.",
            "Side answers of all columns weigh the same in training.",
        ),
        parity=(Against("4uiiurz1/pytorch-nested-unet"), Against("MrGiovanni/UNetPlusPlus")),
    ),
    Backbone(
        name="r2unet",
        system="R2U-Net",
        number=39,
        module="backbones.convolution.r2unet",
        dims=(2, 3),
        presets={
            "tiny": {"widths": (8, 16, 32, 64), "repeats": 2, "gated": False, "gates": None},
            "paper": {"widths": (64, 128, 256, 512, 1024), "repeats": 2, "gated": False, "gates": None},
            "gated": {"gated": True, "gates": (32, 64, 128, 256)},
        },
        source="Alom et al. 2018, arXiv 1802.06955; LeeJunHyun/Image_Segmentation, network.py",
        fidelity="structural",
        deviations=(
            "Volumes are our generalisation.",
            "The paper leaves the order of sums inside a unit open, so it is that of the code.",
            "Inner widths of gates are half of their level's at any width, where the code fixes the finest at 32.",
        ),
        parity=(Against("LeeJunHyun/Image_Segmentation"),),
    ),
    Backbone(
        name="m2snet",
        system="M2SNet",
        number=52,
        module="backbones.convolution.m2snet",
        dims=(2,),
        presets={
            "tiny": {
                "multiscale": True,
                "width": 16,
                "stem": 8,
                "widths": (16, 32, 64, 64),
                "depths": (1, 1, 1, 1),
                "split": (4, 8, 12, 16),
                "splits": 4,
            },
            "paper": {
                "multiscale": True,
                "width": 64,
                "stem": 32,
                "widths": (256, 512, 1024, 2048),
                "depths": (3, 4, 6, 3),
                "split": (26, 52, 104, 208),
                "splits": 4,
            },
            "msnet": {"multiscale": False},
        },
        source="Zhao et al. 2023, arXiv 2303.10894, and 2021, arXiv 2108.05082; Xiaoqi-Zhao-DLUT/MSNet-M2SNet",
        fidelity="structural",
        deviations=(
            "The trunk starts from fresh weights, where the authors take those of ImageNet.",
            "All-ones filters are computed as pooled sums, which are the same numbers.",
            "Any number of channels and classes, where the authors' take colours and answer one mask.",
        ),
        parity=(
            Against("Xiaoqi-Zhao-DLUT/MSNet"),
            Against("Xiaoqi-Zhao-DLUT/MSNet-M2SNet", ("subtraction",)),
        ),
    ),
)
