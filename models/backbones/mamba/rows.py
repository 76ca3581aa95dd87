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
        tags=("ssm-pure",),
    ),
    Backbone(
        name="msvmunet",
        system="MSVM-UNet",
        number=46,
        module="backbones.mamba.msvmunet",
        dims=(2,),
        presets={
            "tiny": {"width": 16, "depths": (1, 1, 1), "decoder_depths": (1, 1)},
            "paper": {
                "width": 96,
                "depths": (2, 2, 8, 2),
                "decoder_depths": (2, 2, 2),
                "block": {},
                "decoder_block": {},
                "directions": "cross2d",
            },
        },
        source="Chen et al. 2024, arXiv 2408.13735; gndlwch2w/msvm-unet",
        fidelity="structural",
        deviations=(
            "No stochastic depth.",
            "The stem takes the channels of the image; the authors repeat grey images to three.",
            "Other scan orders than the authors' four are an option of ours.",
            "The scan runs in plain torch, with mamba-ssm's kernel only where that is installed and the image is on CUDA.",
        ),
        parity=(Against("gndlwch2w/msvm-unet"),),
        tags=("ssm-pure",),
    ),
    Backbone(
        name="mambaclinix",
        system="MambaClinix",
        number=47,
        module="backbones.mamba.mambaclinix",
        dims=(3,),
        presets={
            "tiny": {"widths": (8, 16, 32, 64), "kernels": (3, 3, 3, 3), "strides": (1, 2, 2, 2)},
            "paper": {
                "widths": (32, 64, 128, 256, 320, 320),
                "kernels": (3, 3, 3, 3, 3, 3),
                "strides": (1, 2, 2, 2, 2, 2),
                "gated": (),
                "hg_op": "mul",
                "directions": "fwd",
            },
        },
        source="Bian et al. 2024, arXiv 2409.12533; CYB08/MambaClinix-PyTorch, MambaClinix_3d.py",
        licence="Apache-2.0",
        fidelity="structural",
        deviations=(
            'Gated convolutions multiply as the paper says; the released code adds, which `hg_op` "add" does.',
            "No stochastic depth.",
            "The norm before the last gated block, which the paper's figure lacks, is the released code's.",
            "The scan runs in plain torch, with mamba-ssm's kernel only where that is installed and the image is on CUDA.",
        ),
        parity=(Against("CYB08/MambaClinix-PyTorch", ("hgcn",)),),
        tags=("ssm-hybrid",),
    ),
    Backbone(
        name="xlstmunet",
        system="xLSTM-UNet",
        number=49,
        module="backbones.mamba.xlstmunet",
        dims=(2, 3),
        presets={
            "tiny": {
                "widths": (8, 16, 32, 64),
                "kernels": (3, 3, 3, 3),
                "strides": (1, 2, 2, 2),
                "blocks": (1, 1, 1, 1),
                "decoder_blocks": (1, 1, 1),
            },
            "paper": {
                "variant": "bot",
                "widths": (32, 64, 128, 256, 320, 320),
                "kernels": (3, 3, 3, 3, 3, 3),
                "strides": (1, 2, 2, 2, 2, 2),
                "blocks": (2, 2, 2, 1, 1, 1),
                "decoder_blocks": (2, 2, 2, 1, 1),
                "sides": (),
                "released": False,
            },
            "enc": {"variant": "enc"},
        },
        source="Chen et al. 2024, arXiv 2407.01530; tianrun-chen/xLSTM-UNet-PyTorch",
        licence="Apache-2.0; its ViL file AGPL-3.0",
        fidelity="structural",
        deviations=(
            "Only the ViL block and the two ways to make tokens of a map are compared with the authors' outputs, not the whole network.",
            "Places are always the tokens, so that images may have any size; with `sides` channels are in coarse maps, as the authors have it.",
            "The finest step of a 2-D decoder takes its skip; the released code forgets it, which `released` does too.",
            "The matrix LSTM runs chunk by chunk, which changes the cost and not the answer.",
        ),
        parity=(Against("tianrun-chen/xLSTM-UNet-PyTorch"),),
        tags=("lstm",),
    ),
)
