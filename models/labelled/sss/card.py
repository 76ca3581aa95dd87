"""Card of SSS. Torch-free."""

from __future__ import annotations

from ...card import Card

CARDS = (
    Card(
        name="sss",
        title="SSS-style (reconstruction): SAM 2 taught a fixed list of structures from few outlines and many scans without any",
        system="SSS",
        paper="SSS, semi-supervised SAM-2, Biomedical Signal Processing and Control 2026 (abstract and README; no code, no equations)",
        task="segment",
        modalities=("mr",),
        dimensions=(2, 3),
        memory_mb=800,
        licence="of the data it was taught with; transformers' SAM 2 is Apache-2.0",
        purpose="research-only",
        weights="none",
        weights_file="sss.safetensors",
        fidelity="reconstruction",
        text_encoder="none; a fixed list of classes",
        intensity="percentile",
        region=("thorax",),
        deviations=(
            "Reconstruction from the abstract: no equation was published, and nothing here is held against the authors' outputs.",
            "Classes are asked for by learned tokens in the place of points, so that SAM 2's own decoder draws all of them.",
            "Feature enhancement: the mean of two views where their cosine is high, their difference where it is low; our reading.",
            "Prompts: boxes around windows that are sure, filled and next to each other; the constraints and their numbers are ours.",
            "Strong views differ in grey values alone; the threshold .95 is FixMatch's.",
            "The bundled run is far smaller than the SAM 2 small at 1024 pixels that the README names.",
        ),
        notes="Taught here by `ostensor fit sss`, from random weights or from a SAM 2.1 the user imported.",
    ),
)
