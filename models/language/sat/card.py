"""Cards of SAT. Torch-free."""

from __future__ import annotations

from ...card import Card

# memory_mb: the published GPU memory of one window; spec of SAT, arXiv 2312.17183.
CARDS = (
    Card(
        name="sat-nano",
        title="SAT Nano: 497 structures by terms, published weights brought by the user",
        system="SAT",
        paper="Zhao et al. 2023, One Model to Rule them All, arXiv 2312.17183",
        task="segment",
        modalities=("ct", "mr", "pet"),
        dimensions=(3,),
        memory_mb=24_000,
        licence="not stated by the authors",
        purpose="research-only",
        weights="user-file",
        weights_file="SAT_Nano_UNET.pth",
        fidelity="parity",
        text_encoder="BioLORD-2023-C",
        intensity="percentile",
        region=("whole body",),
        open_text=True,
        spacing_mm=(1.0, 1.0, 3.0),
        deviations=("Masks come back on the scan's own grid; the original leaves them on the resampled crop.",),
    ),
    Card(
        name="sat-pro",
        title="SAT Pro: 497 structures by terms, published weights brought by the user",
        system="SAT",
        paper="Zhao et al. 2023, One Model to Rule them All, arXiv 2312.17183",
        task="segment",
        modalities=("ct", "mr", "pet"),
        dimensions=(3,),
        memory_mb=34_000,
        licence="not stated by the authors",
        purpose="research-only",
        weights="user-file",
        weights_file="SAT_Pro.pth",
        fidelity="structural",
        text_encoder="BioLORD-2023-C",
        intensity="percentile",
        region=("whole body",),
        open_text=True,
        spacing_mm=(1.0, 1.0, 3.0),
        deviations=("Masks come back on the scan's own grid; the original leaves them on the resampled crop.",),
    ),
)
