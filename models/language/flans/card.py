"""Cards of FLanS. Torch-free."""

from __future__ import annotations

from ...card import Card

_FLANS = "Da et al. 2024, Segment as You Wish: Free-Form Language-Based Segmentation, arXiv 2410.12831"

CARDS = (
    Card(
        name="flans-mini",
        title="Free sentences on axial abdominal CT and short-axis heart MR, slice by slice",
        system="FLanS",
        paper=_FLANS,
        task="refer",
        modalities=("ct", "mr"),
        dimensions=(2, 3),
        memory_mb=460,
        licence="not verified (BTCV) and CC BY-NC-SA 4.0 (ACDC)",
        purpose="research-only",
        weights="none",
        weights_file="flans-mini.safetensors",
        fidelity="structural",
        text_encoder="MiniLM, every token",
        intensity="ct-hu",
        region=("abdomen", "thorax"),
        open_text=True,
        deviations=(
            "Small: 160 pixels, width 96, two transformer blocks; before them the U-Net of sat-mini-abdomen-2d in the "
            "place of SAM, whose maps also enter the mask decoder.",
            "Words are token states of a frozen MiniLM instead of CLIP's text tower; padded tokens are zero.",
            "The canonicaliser is one small network run on the eight turned and mirrored copies, not steerable filters.",
            "Its inverse order is corrected: turn back first, then mirror.",
            "The three training stages are one, in which moved pictures are turned upright by the truth; the intention head is "
            "left out.",
            "The body is cut out and brought to the square; the original scales the whole slice.",
        ),
        notes="A short run; docs/referring.md tells how well it points. Wording about place or size holds for one slice.",
    ),
    Card(
        name="flans",
        title="FLanS: free sentences on abdominal CT slices, published weights brought by the user",
        system="FLanS",
        paper=_FLANS,
        task="refer",
        modalities=("ct",),
        dimensions=(2, 3),
        memory_mb=6_000,
        licence="not stated by the authors (the SAM code inside is Apache-2.0)",
        purpose="research-only",
        weights="user-file",
        weights_file="the checkpoint of SegmentAsYouWish",
        fidelity="parity",
        text_encoder="CLIP ViT-B/16, inside the file; its tokenizer lies beside the weights",
        intensity="ct-hu",
        region=("abdomen",),
        open_text=True,
        deviations=(
            "The steerable canonicaliser of the file is set aside, so pictures must be upright.",
            "The body is cut out and brought to the square; the original scales the whole slice.",
        ),
        notes="Agreement with the official code is tested on random small weights; the published file was not at hand.",
    ),
)
