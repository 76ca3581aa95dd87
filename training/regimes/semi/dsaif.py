"""DSAIF: one network sees a scan without its bright texture, one without its dark one, and each labels for the other.

Paper: dual structure-aware image filterings for semi-supervised segmentation (DSAIF). No code was seen; the filter follows its
definition (`levels.py`), the rest is cross pseudo supervision, Chen et al. 2021, arXiv 2106.01226.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ...objective import LABELLED, MODEL, UNLABELLED, Batches, Roles, State
from ..row import Lesson
from .levels import filtered
from .masked import dice_ce, two_classes
from .peers import PEER, Structures, TwoOfAKind, answer, supervise


def cross_loss(own: torch.Tensor, peer: torch.Tensor) -> torch.Tensor:
    """Half of Dice and cross-entropy of logits (b n ...) against what the peer's say, above 0 inside, without gradient."""
    return dice_ce(two_classes(own), (peer.detach() > 0).flatten(0, 1).long()).half


@dataclass(frozen=True)
class Dsaif(TwoOfAKind):
    """Two networks of other first weights; the first, which sees the bright filtered, is exported.

    Labelled scans are shown as they are too, as users show them.

    Attributes:
        weight: of what each learns from the other, once it has grown.
        grown: share of the steps after which it has.
        seed: of the second network's weights.
    """

    structures: Structures
    weight: float = 1.0
    grown: float = 0.4
    seed: int = 1

    name = "dsaif"
    paper = "DSAIF (reconstruction)"
    streams = (LABELLED, UNLABELLED)

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "plain", "filtered" and "crossed", each a sum over both networks."""
        nets, given, images = (roles[MODEL], roles[PEER]), batches[LABELLED], batches[UNLABELLED].images
        sides = ((nets[0], True), (nets[1], False))
        plain = [supervise(answer(net, given.images), given, self.structures).half for net in nets]
        seen = [
            supervise(answer(net, filtered(given.images, bright=bright)), given, self.structures).half
            for net, bright in sides
        ]
        one, other = (answer(net, filtered(images, bright=bright)) for net, bright in sides)
        weight = self.weight * state.ramp("sigmoid", int(self.grown * state.total))
        return {
            "plain": torch.stack(plain).sum() / 2,
            "filtered": torch.stack(seen).sum() / 2,
            "crossed": weight * (cross_loss(one, other) + cross_loss(other, one)),
        }


def teach(lesson: Lesson) -> Dsaif:
    """The objective "dsaif"."""
    grown, seed = lesson.number("grown"), int(lesson.number("seed"))
    return Dsaif(lesson.structures, lesson.number("consistency"), grown, seed)
