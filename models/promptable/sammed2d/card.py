"""Card of SAM-Med2D. Torch-free."""

from __future__ import annotations

from ..carding import describe_published

CARDS = (
    describe_published(
        "sam-med2d",
        title="SAM-Med2D: clicks and a box in any slice, published weights brought by the user",
        system="SAM-Med2D",
        paper="Cheng et al. 2023, SAM-Med2D, arXiv 2308.16184",
        memory_mb=1_700,
        licence="Apache-2.0",
        purpose="any",
        weights_file="sam-med2d_b.pth",
        fidelity="parity",
        deviations=(
            "Slices are axial ones as displayed, three equal colours, CT in the window of soft tissue.",
            "Of three masks the one of the greatest guessed IoU is taken where a single click begins; later answers are single masks.",
        ),
        notes="Slices of 256 pixels and more are stretched to 256 by nearest, as it was taught. Its adapters weigh more than the SAM in it.",
    ),
)
