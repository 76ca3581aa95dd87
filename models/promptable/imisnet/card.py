"""Card of IMIS-Net. Torch-free."""

from __future__ import annotations

from ..carding import describe_published

CARDS = (
    describe_published(
        "imis-net",
        title="IMIS-Net: clicks, a box and a name in any slice, published weights brought by the user",
        system="IMIS-Net",
        paper="Cheng et al. 2025, Interactive Medical Image Segmentation: A Benchmark Dataset and Baseline, CVPR 2025, arXiv 2411.12814",
        memory_mb=3_500,
        licence="not stated by the authors (the SAM code inside is Apache-2.0)",
        purpose="research-only",
        weights_file="IMISNet-B.pth",
        fidelity="parity",
        text_encoder="CLIP ViT-B/32, out of the authors' file; its tokenizer's files lie in the folder 'clip' beside the weights",
        deviations=(
            "Slices are axial ones as displayed, three equal colours, CT in the window of soft tissue.",
            "Names are taken as they are given; the authors first look them up in a pickle of categories, which is not read.",
            "The categories' vectors, a pickle of four objects, are not read, so it does not say what it drew.",
        ),
        notes="Slices are stretched to a square by nearest, as it was taught. A name alone draws in every slice.",
    ),
)
