"""C3S3: two networks compete on labelled scans, the better one teaches the other on unlabelled ones, and their maps are drawn together.

Paper: C3S3, complementary competition and contrastive selection; code Y-TARL/C3S3, which was described to us and not run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ....models.backbones.network import SegOutput
from ...objective import LABELLED, MODEL, UNLABELLED, Batch, Batches, Objective, Roles, State
from ..inside import backbone_in
from ..row import Lesson
from .masked import DiceCe, Mode, two_classes
from .peers import (
    PEER,
    Structures,
    fresh_copy,
    mode_of,
    over_image,
    supervise,
    trained_together,
    whole_answer,
    widths_inside,
)
from .views import shaken

PROJECTOR = "projector"
"""Role of what brings maps of both networks into one space."""
FINEST = "decoder.0"
WIDTH, HEAT, SHARP = (
    16,
    0.1,
    0.1,
)  # channels and temperature of the contrast, temperature of a lesson; Source: Y-TARL/C3S3
ENTROPY = 0.5  # share of the cross-entropy in a score; our choice


def winner(scores: Sequence[DiceCe]) -> int:
    """Which of the networks lost least on labelled scans."""
    values = [float((ENTROPY * one.cross_entropy + (1 - ENTROPY) * one.dice).detach()) for one in scores]
    return values.index(min(values))


def lesson_loss(loser: torch.Tensor, better: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of the loser's classes (b k ...) from the winner's sharpened ones, which get no gradient."""
    return F.mse_loss(loser.softmax(1), (better.detach() / SHARP).softmax(1))


def contrast(
    one: torch.Tensor, other: torch.Tensor, foregrounds: tuple[torch.Tensor, torch.Tensor], mode: Mode = "paper"
) -> torch.Tensor:
    """How little of the likeness of two maps lies where both predict something, among where either does; 0 for no such voxel.

    -log(sum of exp(s / 0.1) over the intersection / that over the union), with s the cosine of the two maps at a voxel. The
    released code multiplies s by the mask, so that every voxel outside adds exp(0) = 1.

    Args:
        one, other: (b c ...).
        foregrounds: booleans (b ...) of both.
    """
    likeness = F.cosine_similarity(one, other, dim=1) / HEAT
    both, either = foregrounds[0] & foregrounds[1], foregrounds[0] | foregrounds[1]
    if mode == "released":
        inside, around = (torch.exp(likeness * mask).flatten(1).sum(1) for mask in (both, either))
        return -torch.log(inside / around).mean()
    worth = torch.exp(likeness).flatten(1)
    inside, around = ((worth * mask.flatten(1)).sum(1) for mask in (both, either))
    met = inside > 0
    lost = -torch.log(torch.where(met, inside, 1.0) / torch.where(met, around, 1.0))
    return lost.sum() / met.sum().clamp(min=1)


def class_agreement(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """One minus the cosine of what two views say of a voxel's classes (b k ...), meaned over voxels."""
    return (1 - F.cosine_similarity(one.softmax(1), other.softmax(1), dim=1)).mean()


@dataclass(frozen=True)
class C3s3(Objective):
    """Two networks of other first weights, each shown two views; the first is exported.

    Attributes:
        weight: of what is learned without labels, once it has grown.
        grown: share of the steps after which it has.
        seed: of the second network's weights.
    """

    structures: Structures
    mode: Mode = "paper"
    weight: float = 0.1
    grown: float = 0.4
    seed: int = 1

    name = "c3s3"
    paper = "C3S3; Y-TARL/C3S3"
    streams = (LABELLED, UNLABELLED)

    def roles(self, model: nn.Module) -> dict[str, nn.Module]:
        """Two of a kind, and a projector for each."""
        width, dims = widths_inside(model)[FINEST], backbone_in(model).dims
        point = nn.Conv2d if dims == 2 else nn.Conv3d
        projectors = nn.ModuleList(point(width, WIDTH, 1) for _ in range(2))
        return {MODEL: model, PEER: fresh_copy(model, self.seed), PROJECTOR: projectors}

    def groups(self, roles: Roles) -> dict[str, list[nn.Parameter]]:
        """All learn together."""
        return trained_together(*roles.values())

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "supervised", "competition", "views" and "contrast"; the last three grow."""
        nets, given = (roles[MODEL], roles[PEER]), batches[LABELLED]
        seen = [shaken(given.images, state.rng) for _ in range(2)]
        scores = [self._score(net, given, seen) for net in nets]
        best = winner(scores)
        images = batches[UNLABELLED].images
        views = [shaken(images, state.rng) for _ in range(2)]
        said = [[whole_answer(net, view) for view in views] for net in nets]
        classes = [[two_classes(one.logits) for one in each] for each in said]
        weight = self.weight * state.ramp("sigmoid", int(self.grown * state.total))
        lessons = [lesson_loss(a, b) for a, b in zip(classes[1 - best], classes[best], strict=True)]
        steady = [class_agreement(*each) for each in classes]
        return {
            "supervised": torch.stack([one.half for one in scores]).sum(),
            "competition": weight * torch.stack(lessons).mean(),
            "views": weight * torch.stack(steady).mean(),
            "contrast": weight * self._contrast(nets, roles[PROJECTOR], said),
        }

    def _score(self, net: nn.Module, given: Batch, views: Sequence[torch.Tensor]) -> DiceCe:
        """What a network loses on views of labelled scans, on average."""
        first, second = (supervise(whole_answer(net, view).logits, given, self.structures) for view in views)
        return (first + second) * 0.5

    def _contrast(
        self, nets: Sequence[nn.Module], projectors: nn.Module, said: Sequence[Sequence[SegOutput]]
    ) -> torch.Tensor:
        """Mean over the four pairs of a view of one network and a view of the other."""
        sides = said[0][0].logits.shape[2:]
        maps = [
            [over_image(project(one.features[FINEST]), net, sides) for one in each]
            for net, project, each in zip(nets, projectors.children(), said, strict=True)
        ]
        marked = [[(one.logits > 0).any(1) for one in each] for each in said]
        pairs = [
            contrast(maps[0][a], maps[1][b], (marked[0][a], marked[1][b]), self.mode) for a in (0, 1) for b in (0, 1)
        ]
        return torch.stack(pairs).mean()


def teach(lesson: Lesson) -> C3s3:
    """The objective "c3s3"."""
    return C3s3(
        lesson.structures,
        mode_of(lesson),
        lesson.number("consistency"),
        lesson.number("grown"),
        int(lesson.number("seed")),
    )
