"""Card of ScribblePrompt. Torch-free."""

from __future__ import annotations

from ...card import Card

CARDS = (
    Card(
        name="scribbleprompt",
        title="ScribblePrompt-UNet: clicks, scribbles and boxes in any slice, published weights brought by the user",
        system="ScribblePrompt",
        paper="Wong et al. 2024, ScribblePrompt: Fast and Flexible Interactive Segmentation for Any Biomedical Image, ECCV 2024, arXiv 2312.07381",
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
