"""The synthesis networks as cards of the catalogue, so that `list_models` and `ostensor models` show them. Torch-free."""

from __future__ import annotations

import numpy as np

from ...imaging.volume import Grid
from .. import catalogue
from ..card import Card
from .jobs import memory_mb
from .painters import Painter, painters

_REGIONS = {
    "paint-hippocampus": ("head",),
    "paint-cardiac": ("thorax",),
    "paint-abdomen": ("abdomen",),
    "translate-torso": ("thorax", "abdomen", "pelvis"),
}
_USUAL = Grid((256, 256, 64), np.eye(4))  # what memory_mb is told for
_PAPER = "seg2med 2025, arXiv 2504.09182; inpainting after AugPaint, arXiv 2506.23038"
_DEVIATIONS = (
    "Small: three levels, slice by slice, grey values as pixels instead of latents.",
    "Rectified flow instead of denoising diffusion; sampled in 4, 8 or 30 steps.",
)


def every_card() -> tuple[Card, ...]:
    """The whole catalogue, and the synthesis networks after it."""
    return (*catalogue.catalogue(), *painter_cards())


def painter_cards() -> tuple[Card, ...]:
    """One card per bundled synthesis network, in the order of their names."""
    return tuple(_card(one) for one in painters().values())


def _card(one: Painter) -> Card:
    facts = one.facts
    taught = one.vocabulary if one.task == "synthesize" else ()
    return Card(
        name=one.name,
        title=one.title,
        system="seg2med",
        paper=_PAPER,
        task=one.task,
        modalities=one.makes,
        dimensions=(2, 3),
        memory_mb=memory_mb(one.name, _USUAL),
        licence=one.licence,
        purpose="any" if one.purpose == "any" else "research-only",
        weights="bundled",
        weights_file=one.path.name,
        fidelity="structural",
        text_encoder="none",
        intensity="ct-hu" if one.makes == ("ct",) else "percentile",
        region=_REGIONS[one.name],
        vocabulary=taught,
        claimed=taught,
        spacing_mm=(one.spacing_mm, one.spacing_mm, one.spacing_mm),
        sha256=one.sha256,
        size_bytes=one.path.stat().st_size,
        deviations=_DEVIATIONS,
        notes="Makes images; does not segment. Figures beside plain baselines: models/weights/SYNTHESIS.md.",
        facts=facts,
    )
