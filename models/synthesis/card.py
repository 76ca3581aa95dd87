"""Cards of the bundled synthesis networks. Torch-free.

What training found out about each (vocabulary, figures, hash) is added by `models/catalogue.py`.
"""

from __future__ import annotations

from typing import Any

from ..card import Card


def _bundled(name: str, **facts: Any) -> Card:
    return Card(
        name=name,
        system="seg2med",
        paper="seg2med 2025, arXiv 2504.09182; inpainting after AugPaint, arXiv 2506.23038",
        dimensions=(2, 3),
        memory_mb=2409,  # for 256 x 256 x 64 voxels; `jobs.memory_mb` tells it for any image
        weights="none",
        weights_file=f"{name}.safetensors",
        fidelity="structural",
        text_encoder="none",
        deviations=(
            "Small: three levels, slice by slice, grey values as pixels instead of latents.",
            "Rectified flow instead of denoising diffusion; sampled in 4, 8 or 30 steps.",
        ),
        notes="Makes images; does not segment. Figures beside plain baselines: models/weights/SYNTHESIS.md.",
        **facts,
    )


CARDS: tuple[Card, ...] = (
    _bundled(
        "paint-abdomen",
        title="Axial abdominal CT, painted from thirteen organs",
        task="synthesize",
        modalities=("ct",),
        licence="not verified",
        purpose="research-only",
        intensity="ct-hu",
        region=("abdomen",),
    ),
    _bundled(
        "paint-cardiac",
        title="Heart in short-axis cine MR, painted from its chambers and muscle",
        task="synthesize",
        modalities=("mr",),
        licence="CC BY-NC-SA 4.0",
        purpose="research-only",
        intensity="percentile",
        region=("thorax",),
    ),
    _bundled(
        "paint-hippocampus",
        title="Hippocampus in T1 MR, painted from its two parts",
        task="synthesize",
        modalities=("mr",),
        licence="CC BY-SA 4.0",
        purpose="any",
        intensity="percentile",
        region=("head",),
    ),
    _bundled(
        "translate-torso",
        title="CT-like to MR-like pictures of the torso and back",
        task="translate",
        modalities=("ct", "mr"),
        licence="CC BY 4.0",
        purpose="any",
        intensity="percentile",
        region=("thorax", "abdomen", "pelvis"),
    ),
)
