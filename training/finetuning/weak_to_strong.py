"""SSS-style learning: what a weak view is sure of teaches two strong views of the same picture, which are prompted with boxes made of it.

Reconstruction; see `models/labelled/sss/network.py`. The frame is FixMatch (Sohn et al. 2020, arXiv 2001.07685): one network, a threshold, no
gradient through the weak view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ...models.labelled.sss.network import Maps, SssNet
from ...models.labelled.sss.prompting import Boxes, Constraints, find_boxes
from ..objective import LABELLED, MODEL, UNLABELLED, Batches, Objective, Roles, State
from .by_classes import taught_parameters
from .losses import class_cross_entropy, class_dice_loss, shrink_labels
from .strong_views import strengthen

_EXACT = Constraints(sure=0.0, filled=0.0)  # boxes of true outlines: every window that holds any of it


@dataclass(frozen=True)
class Lesson:
    """What a weak view teaches.

    Attributes:
        classes: numbers (b n n), the most likely ones.
        sure: (b n n): 1 where the weak view is sure enough, else 0.
        boxes: prompts for the strong views.
        maps: of the weak view.
    """

    classes: torch.Tensor
    sure: torch.Tensor
    boxes: Boxes
    maps: Maps


@dataclass(frozen=True)
class WeakToStrong(Objective):
    """Few labelled pictures and many without labels.

    Attributes:
        threshold: probability from which a pixel of the weak view teaches.
        weight: of what is learned without labels, once it has grown.
        grown: share of the steps after which it has.
    """

    threshold: float = 0.95
    weight: float = 1.0
    grown: float = 0.4

    name = "weak-to-strong"
    paper = "SSS-style (reconstruction); FixMatch, arXiv 2001.07685"
    streams = (LABELLED, UNLABELLED)

    def groups(self, roles: Roles) -> dict[str, list[torch.nn.Parameter]]:
        """Everything that asks for a gradient."""
        return {"main": taught_parameters(roles[MODEL])}

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "cross_entropy" and "dice" of labelled pictures, "prompted" of them with boxes, "consistency" of the others."""
        net = roles[MODEL]
        if not isinstance(net, SssNet):
            raise TypeError(f"weak-to-strong learning needs an SssNet, got {type(net).__name__}")
        given = batches[LABELLED]
        maps = net.embed(given.images)
        maps = net.join(maps, maps)
        logits = net.look(maps).float()
        labels = shrink_labels(given.labels, logits.shape[-1])
        truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).float()
        prompted = net.look(maps, find_boxes(truth, _EXACT)).float()
        grown = state.ramp("sigmoid", int(self.grown * state.total))
        return {
            "cross_entropy": class_cross_entropy(logits, labels),
            "dice": class_dice_loss(logits, labels, "softmax"),
            "prompted": class_cross_entropy(prompted, labels) + class_dice_loss(prompted, labels, "softmax"),
            "consistency": self.weight * grown * self.consistency(net, batches[UNLABELLED].images, state),
        }

    def teach(self, net: SssNet, pictures: torch.Tensor) -> Lesson:
        """What the weak view says, without gradients."""
        with torch.no_grad():
            maps = net.embed(pictures)
            chances = net.look(net.join(maps, maps)).float().softmax(1)
        best, classes = chances.max(1)
        return Lesson(classes, (best >= self.threshold).float(), find_boxes(chances), maps)

    def consistency(self, net: SssNet, pictures: torch.Tensor, state: State) -> torch.Tensor:
        """Cross-entropy and Dice of two strong views against the weak one, where it is sure and as far as both views agree."""
        lesson = self.teach(net, pictures)
        views = [net.embed(strengthen(pictures, state.rng)) for _ in range(2)]
        weights = lesson.sure * agreement(views[0][2], views[1][2], lesson.sure.shape[-1])
        terms = []
        for view in views:
            logits = net.look(net.join(lesson.maps, view), lesson.boxes).float()
            terms.append(class_cross_entropy(logits, lesson.classes, weights))
            terms.append(class_dice_loss(logits, lesson.classes, "softmax", weights))
        return torch.stack(terms).sum() / 2


def agreement(first: torch.Tensor, second: torch.Tensor, side: int) -> torch.Tensor:
    """How far two maps (b c h w) point the same way, 0 to 1, as (b side side) and without gradients."""
    alike = (1 + F.cosine_similarity(first.detach().float(), second.detach().float(), dim=1)) / 2
    return F.interpolate(alike[:, None], size=(side, side), mode="bilinear", align_corners=False)[:, 0]
