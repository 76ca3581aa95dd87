"""The card of DuPLUS. Torch-free."""

from __future__ import annotations

from ...card import Card

CARDS = (
    Card(
        name="duplus",
        title="DuPLUS: any structure or lesion by sentences, a checkpoint brought by the user",
        system="DuPLUS",
        paper="DuPLUS: Dual-Prompt Vision-Language Framework for Universal Segmentation and Prognosis, arXiv 2510.03483",
        task="segment",
        modalities=("ct", "mr", "pet"),
        dimensions=(3,),
        memory_mb=12_000,
        licence="MIT (the authors' template, name and year not filled in)",
        purpose="research-only",
        weights="user-file",
        weights_file="duplus.pth",
        fidelity="parity",
        text_encoder="ClipMD",
        intensity="percentile",
        region=("body",),
        open_text=True,
        takes_context=True,
        spacing_mm=(1.5, 1.5, 1.5),
        deviations=(
            "No weights are published: parity is shown on random weights of the authors' code.",
            "Any sentence may be asked; the authors look texts up by the data set's name.",
            "The sigmoid is applied once; the authors' validation applies it twice.",
            "Intensities are clipped to their 0.5 and 99.5 percentiles before the z-score.",
        ),
        notes="T1 is the argument context, T2 each entry of structures. Not measured by us.",
    ),
)
