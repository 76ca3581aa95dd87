"""Cards of ScribblePrompt: the published network, and the small ones taught here. Torch-free."""

from __future__ import annotations

from typing import Any

from ...card import Card

_PAPER = "Wong et al. 2024, ScribblePrompt: Fast and Flexible Interactive Segmentation for Any Biomedical Image, ECCV 2024, arXiv 2312.07381"


def _taught(name: str, **facts: Any) -> Card:
    return Card(
        name=name,
        system="ScribblePrompt",
        paper=_PAPER,
        task="refine",
        licence="CC BY-SA 4.0",
        purpose="any",
        weights="none",
        weights_file=f"{name}.safetensors",
        fidelity="structural",
        text_encoder="none; it is pointed at",
        intensity="percentile",
        region=("head", "neck", "thorax", "abdomen", "pelvis", "limbs"),
        **facts,
    )


CARDS = (
    _taught(
        "prompt-2d",
        title="Clicks, scribbles and boxes in any slice or picture",
        modalities=("ct", "mr", "pet", "us"),
        dimensions=(2, 3),
        memory_mb=440,
        notes="docs/interactive.md tells how well it draws on sets it never saw.",
        deviations=(
            "Five levels of 16 to 128 channels instead of four of 192; taught here on 22 sets instead of 65.",
            "A click is a disc of two pixels' radius, not a pixel.",
            "Three channels more tell what grows from the marks and what is as bright as they.",
            "After six marks it looks a second time, closer, at what it found and at the marks.",
            "Focal loss with gamma 2 instead of 20; a fifth of the structures are superpixels, not half.",
        ),
    ),
    _taught(
        "prompt-3d",
        title="Clicks, scribbles and boxes in any 3-D scan; to be trained by the user",
        modalities=("ct", "mr", "pet"),
        dimensions=(3,),
        memory_mb=900,
        notes="What was trained in minutes draws worse than growing from seeds; docs/training.md says so.",
        deviations=(
            "The network of prompt-2d in three dimensions, begun with its kernels; the authors have none.",
            "Taught on patches of 32 voxels; in use the view has 96, in the scan's own voxels.",
            "A click is a small ball; a scribble lies in a slice.",
        ),
    ),
    Card(
        name="scribbleprompt",
        title="ScribblePrompt-UNet: clicks, scribbles and boxes in any slice, published weights brought by the user",
        system="ScribblePrompt",
        paper=_PAPER,
        task="refine",
        modalities=("ct", "mr", "pet", "us"),
        dimensions=(2, 3),
        memory_mb=500,
        licence="Apache-2.0 (code); not stated separately for the weights",
        purpose="research-only",
        weights="user-file",
        weights_file="ScribblePrompt_unet_v1_nf192_res128.pt",
        fidelity="parity",
        text_encoder="none; it is pointed at",
        intensity="percentile",
        region=("head", "neck", "thorax", "abdomen", "pelvis", "limbs"),
        deviations=(
            "Slices are axial ones as displayed, CT in the window of soft tissue; the authors' pictures come in any orientation.",
            "A slice that shrinks to its 128 pixels is smoothed first; the original is not.",
            "Places go to the nearest pixel of the square; the original cuts them down.",
            "The authors' simulated boxes all begin in a corner by a mistake; ours do not follow it.",
        ),
        notes="Marks of one slice draw in that slice. Agreement with the official code is tested on random small weights.",
    ),
)
