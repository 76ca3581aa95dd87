"""Cards of SAM and of networks that are one. Torch-free."""

from __future__ import annotations

from ..carding import describe_published

_PICTURES = (
    "Slices are axial ones as displayed, three equal colours, CT in the window of soft tissue.",
    "Places are middles of pixels at every size; the original's move by up to half a pixel when a picture grows.",
)

CARDS = (
    describe_published(
        "sam",
        title="Segment Anything (ViT-B, -L or -H): clicks and a box in any slice, published weights brought by the user",
        system="SAM",
        paper="Kirillov et al. 2023, Segment Anything, ICCV 2023, arXiv 2304.02643",
        memory_mb=8_000,
        licence="Apache-2.0",
        purpose="any",
        weights_file="sam_vit_b_01ec64.pth",
        fidelity="parity",
        deviations=(
            *_PICTURES,
            "One mask of three is taken only where a single click begins, by the IoU the network guesses.",
        ),
        notes="Taught on photographs, not on scans. Agreement with transformers' SAM is tested on random small weights.",
    ),
    describe_published(
        "medsam",
        title="MedSAM: a box in any slice, published weights brought by the user",
        system="SAM",
        paper="Ma et al. 2024, Segment anything in medical images, Nature Communications 15",
        memory_mb=3_000,
        licence="Apache-2.0",
        purpose="any",
        weights_file="medsam_vit_b.pth",
        fidelity="parity",
        deviations=_PICTURES,
        notes="Takes boxes only, as it was taught. A box of several slices draws in each of them.",
    ),
    describe_published(
        "scribbleprompt-sam",
        title="ScribblePrompt-SAM: clicks, scribbles and a box in any slice, published weights brought by the user",
        system="SAM",
        paper="Wong et al. 2024, ScribblePrompt: Fast and Flexible Interactive Segmentation for Any Biomedical Image, ECCV 2024, arXiv 2312.07381",
        memory_mb=3_000,
        licence="Apache-2.0 (code); not stated separately for the weights",
        purpose="research-only",
        weights_file="ScribblePrompt_sam_v1_vit_b_res128.pt",
        fidelity="structural",
        deviations=(*_PICTURES, "A pixel of its 128 becomes a click where a scribble covers a quarter of it."),
        notes="Of three masks the one of the greatest guessed IoU is taken. The published file was not at hand.",
    ),
)
