"""UMCT: as many networks as views of a scan; each is taught what the others say of a scan without labels, the surer the louder.

Paper: Xia et al. 2020 (UMCT), arXiv 1811.12506. No code was seen; written from the paper's description.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ....imaging.errors import BadCall
from ...objective import LABELLED, MODEL, UNLABELLED, Batch, Batches, Objective, Roles, State
from ..inside import backbone_in
from ..losses import soft_dice_loss
from ..row import Lesson
from .peers import Structures, answer, at_rest, fresh_copy, supervise, trained_together
from .views import turn, turn_back, views_of

LEAST = 1e-3  # of a variance, so that a voxel everybody is sure of does not silence the rest; our choice
DROPPED = 0.2  # share of the channels behind each norm; our choice
_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.GroupNorm)


@contextmanager
def dropping(net: nn.Module, share: float, rng: np.random.Generator) -> Iterator[None]:
    """Drop a share of the channels behind every norm, and scale up the others.

    Raises:
        BadCall: there is no such norm, so nothing would be dropped and nothing be unsure.
    """

    def drop(_part: nn.Module, _given: object, x: torch.Tensor) -> torch.Tensor:
        kept = rng.random(tuple(x.shape[:2])) >= share
        scale = torch.from_numpy(kept / (1 - share)).to(x)
        return x * scale.reshape(*scale.shape, *[1] * (x.dim() - 2))

    hooks = [part.register_forward_hook(drop) for part in net.modules() if isinstance(part, _NORMS)]
    if not hooks:
        raise BadCall(
            "This network has no batch, instance or group norm behind which channels could be dropped. "
            "Take another backbone."
        )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class Opinion:
    """What a network says of a scan.

    Attributes:
        chances: (b n ...), mean of the passes.
        variance: (b 1 ...), of the passes, meaned over structures.
    """

    chances: torch.Tensor
    variance: torch.Tensor


def opinion(net: nn.Module, images: torch.Tensor, passes: int, rng: np.random.Generator) -> Opinion:
    """From several passes with dropped channels, without gradients."""
    with at_rest(net), dropping(net, DROPPED, rng):
        said = torch.stack([torch.sigmoid(answer(net, images)) for _ in range(passes)])
    return Opinion(said.mean(0), said.var(0, correction=0).mean(1, keepdim=True))


def fused(opinions: Sequence[Opinion], own: int) -> torch.Tensor:
    """What all but one say together (b n ...), each weighed voxel by voxel by one over its variance."""
    others = [one for number, one in enumerate(opinions) if number != own]
    weights = [1 / one.variance.clamp(min=LEAST) for one in others]
    spoken = [weight * one.chances for weight, one in zip(weights, others, strict=True)]
    return torch.stack(spoken).sum(0) / torch.stack(weights).sum(0)


@dataclass(frozen=True)
class Umct(Objective):
    """A network for each view; the first, of the scan as it lies, is exported.

    Attributes:
        peers: how many; a volume's axes can be moved on twice and a picture turned three times.
        passes: with dropped channels, for a variance.
        weight: of what is learned without labels, once it has grown.
        grown: share of the steps after which it has.
        seed: of the other networks' weights.
    """

    structures: Structures
    peers: int = 3
    passes: int = 8
    weight: float = 0.2
    grown: float = 0.4
    seed: int = 1

    name = "umct"
    paper = "UMCT, arXiv 1811.12506 (reconstruction)"
    streams = (LABELLED, UNLABELLED)

    def roles(self, model: nn.Module) -> dict[str, nn.Module]:
        """The network, and others of its kind.

        Raises:
            BadCall: there are not so many views.
        """
        dims = backbone_in(model).dims
        if not 2 <= self.peers <= views_of(dims):
            raise BadCall(
                f"There are 2 to {views_of(dims)} views in {dims} dimensions, not {self.peers}. Change `peers`."
            )
        others = {f"peer{n}": fresh_copy(model, self.seed + n) for n in range(1, self.peers)}
        return {MODEL: model, **others}

    def groups(self, roles: Roles) -> dict[str, list[nn.Parameter]]:
        """All learn together."""
        return trained_together(*roles.values())

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "supervised" and "together", each a sum over views."""
        nets, given, images = list(roles.values()), batches[LABELLED], batches[UNLABELLED].images
        dims = images.dim() - 2
        opinions = []
        for view, net in enumerate(nets):
            one = opinion(net, turn(images, view, dims), self.passes, state.rng)
            opinions.append(Opinion(turn_back(one.chances, view, dims), turn_back(one.variance, view, dims)))
        supervised, together = [], []
        for view, net in enumerate(nets):
            turned = Batch(turn(given.images, view, dims), turn(given.labels, view, dims))
            supervised.append(supervise(answer(net, turned.images), turned, self.structures).half)
            wanted = fused(opinions, view)
            logits = turn_back(answer(net, turn(images, view, dims)), view, dims)
            entropy = F.binary_cross_entropy_with_logits(logits, wanted)
            together.append((entropy + soft_dice_loss(logits, wanted)) / 2)
        weight = self.weight * state.ramp("sigmoid", int(self.grown * state.total))
        return {"supervised": torch.stack(supervised).sum(), "together": weight * torch.stack(together).sum()}


def teach(lesson: Lesson) -> Umct:
    """The objective "umct"."""
    return Umct(
        lesson.structures,
        int(lesson.number("peers")),
        int(lesson.number("passes")),
        lesson.number("consistency"),
        lesson.number("grown"),
        int(lesson.number("seed")),
    )
