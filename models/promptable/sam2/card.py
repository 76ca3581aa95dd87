"""Cards of SAM 2.1 and MedSAM2. Torch-free."""

from __future__ import annotations

from ..carding import describe_published

_STACK = (
    "transformers' video model, which also picks among masks by their stability, as Meta's video predictor does.",
    "Slices are axial ones as displayed, three equal colours, CT in the window of soft tissue.",
    "What is drawn is followed until two slices in a row show nothing of it, and only its largest part is kept.",
)

CARDS = (
    describe_published(
        "sam2",
        title="SAM 2.1 (tiny to large): clicks or a box in a slice, followed through the others, published weights brought by the user",
        system="SAM 2.1",
        paper="Ravi et al. 2024, SAM 2: Segment Anything in Images and Videos, arXiv 2408.00714",
        memory_mb=8_000,
        licence="Apache-2.0",
        purpose="any",
        weights_file="sam2.1_hiera_tiny.pt",
        fidelity="library",
        deviations=_STACK,
        notes="Taught on films, not on scans. The published files were not at hand.",
    ),
    describe_published(
        "medsam2",
        title="MedSAM2: clicks or a box in a slice, followed through the others, published weights brought by the user",
        system="SAM 2.1",
        paper="Ma et al. 2025, MedSAM2: Segment Anything in 3D Medical Images and Videos, arXiv 2504.03600",
        memory_mb=4_000,
        licence="Apache-2.0 (code); see the weights' own card",
        purpose="research-only",
        weights_file="MedSAM2_latest.pt",
        fidelity="library",
        deviations=_STACK,
        notes="SAM 2.1 tiny at 512 pixels. The published files were not at hand.",
    ),
)
