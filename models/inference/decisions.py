"""From logits to a mask: what a network needs to be told beside its weights. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt

from ...imaging.volume import BoolArray


@dataclass(frozen=True)
class Decisions:
    """How a network's logits become masks.

    Attributes:
        sided: name -> (pair, side) of structures answered by their pair, cut at the body's middle plane; for
            networks that find both halves but do not tell them apart.
        cutoffs: name -> logit from which a voxel is inside, chosen on training scans; 0 where not listed. Losses
            that count the inside of a small structure as much as its outside make networks mark too much.
        single: names of structures that are one piece: in a volume only the likeliest piece is kept, of a pair in `sided` one on
            either side.
        views: scans are also looked at mirrored or with axes swapped (`windows.turned`), and the answers averaged;
            for networks that were taught these views.
        along_mm: standard deviation of a smoothing across slices, for 2-D networks that look at a stack slice by
            slice; 0 does none. Neighbouring slices that agree outvote one that errs.
        mirrored_edge: pixels by which a 2-D network's pictures are continued, mirrored, where the scan cuts through the
            body; 0 does not. At such an edge it would see air or nothing where it was taught to see flesh.
    """

    sided: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    cutoffs: Mapping[str, float] = field(default_factory=dict)
    single: frozenset[str] = frozenset()
    views: tuple[str, ...] = ()
    along_mm: float = 0.0
    mirrored_edge: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values for the file beside the weights."""
        return {
            "sided": {name: list(how) for name, how in self.sided.items()},
            "cutoffs": dict(self.cutoffs),
            "single": sorted(self.single),
            "views": list(self.views),
            "along_mm": self.along_mm,
            "mirrored_edge": self.mirrored_edge,
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Decisions:
        """The decisions written by `to_json`; none where the file says nothing."""
        sided = {name: (pair, side) for name, (pair, side) in facts.get("sided", {}).items()}
        single, views = frozenset(facts.get("single", ())), tuple(facts.get("views", ()))
        return cls(
            sided,
            dict(facts.get("cutoffs", {})),
            single,
            views,
            float(facts.get("along_mm", 0.0)),
            int(facts.get("mirrored_edge", 0)),
        )

    def under_synonyms(self, synonyms: Mapping[str, Sequence[str]]) -> Decisions:
        """The same decisions for every synonym of a structure, as callers have who resolve words first."""
        cutoffs = {
            term: self.cutoffs[name] for name, terms in synonyms.items() if name in self.cutoffs for term in terms
        }
        single = {term for name, terms in synonyms.items() if name in self.single for term in terms}
        return replace(self, cutoffs={**cutoffs, **self.cutoffs}, single=self.single | single)


def likeliest_part(mask: BoolArray, logit: npt.NDArray[np.float32]) -> BoolArray:
    """The connected part of a mask with the greatest sum of `logit` (its own cutoff taken off) over its voxels."""
    parts, count = cc3d.connected_components(np.ascontiguousarray(mask), return_N=True)
    if count < 2:
        return mask
    weight = np.bincount(parts.ravel(), weights=np.where(mask, logit, 0).ravel(), minlength=count + 1)
    weight[0] = -np.inf
    return np.asarray(parts == int(np.argmax(weight)))


def largest_share(mask: BoolArray) -> float:
    """Share of a mask's voxels in its largest connected part; 0 for an empty mask."""
    parts = cc3d.connected_components(np.ascontiguousarray(mask))
    sizes = np.bincount(parts.ravel())[1:]
    return float(sizes.max() / sizes.sum()) if sizes.size else 0.0
