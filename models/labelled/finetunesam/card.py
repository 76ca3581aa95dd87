"""Card of finetune-SAM. Torch-free."""

from __future__ import annotations

from ...card import Card

CARDS = (
    Card(
        name="finetune-sam",
        title="Segment Anything taught a fixed list of structures, slice by slice and without prompts",
        system="finetune-SAM",
        paper="Gu et al. 2024, How to build the best medical image segmentation algorithm using foundation models, arXiv 2404.09957",
        task="segment",
        modalities=("mr",),
        dimensions=(2, 3),
        memory_mb=700,
        licence="of the data it was taught with; the code it follows is Apache-2.0",
        purpose="research-only",
        weights="none",
        weights_file="finetune-sam.safetensors",
        fidelity="structural",
        text_encoder="none; a fixed list of classes",
        intensity="percentile",
        region=("thorax",),
        deviations=(
            "The two sizes of SAM's own encoder and any smaller one; the tiny encoder of MobileSAM is left out, so 12 of the 18 combinations.",
            "What belongs to the classes (tokens and the heads that draw them) always learns; with adapters the released code leaves it "
            "as it was drawn.",
            "The rate falls by a cosine to 1 % after the warm-up, not by a polynomial, and averaged weights are exported; no early stop.",
            "The unused third adapter of each block, for depth, is left out.",
        ),
        notes="Taught here by `ostensor fit finetune-sam`, from random weights or from a SAM the user imported.",
    ),
)
