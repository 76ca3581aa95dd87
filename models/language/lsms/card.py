"""The card of LSMS. Torch-free."""

from __future__ import annotations

from ...card import Card

CARDS = (
    Card(
        name="lsms-mini",
        title="Referring sentences for organs and lesions on axial abdominal CT and heart MR, slice by slice",
        system="LSMS",
        paper="Ouyang et al. 2024, Language-guided Scale-aware MedSegmentor, arXiv 2408.17347 (abstract; no code released)",
        task="refer",
        modalities=("ct", "mr"),
        dimensions=(2, 3),
        memory_mb=460,
        licence="not verified (BTCV) and CC BY-NC-SA 4.0 (ACDC)",
        purpose="research-only",
        weights="none",
        weights_file="lsms-mini.safetensors",
        fidelity="reconstruction",
        text_encoder="MiniLM, every token",
        intensity="ct-hu",
        region=("abdomen", "thorax"),
        open_text=True,
        deviations=(
            "Re-implementation from the abstract and the first author's SLViT: kernel lengths, placement of the language "
            "branch, decoder and contrastive loss are our reading, not published facts.",
            "Small: widths 24 to 128, 128 pixels.",
            "Words are token states of a frozen MiniLM instead of a fine-tuned BERT.",
            "The factorisation starts from a fixed basis, so that masks repeat; the ancestor draws a new one each time.",
            "The ancestor's exchange between uncertain cells is left out; its public code picks cells without information.",
        ),
        notes="A short run; docs/referring.md tells how well it points. Lesions it was taught were drawn, not real.",
    ),
)
