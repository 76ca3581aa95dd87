"""PULASki as an objective: a probabilistic U-Net taught by a distance between its draws and all raters' masks.

Paper: arXiv 2312.15686. Labels are sets of raters: bit r of a pixel says that rater r marked it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from ...models.checkpoints import Tensors
from ...models.parity import Fixture
from ...models.uncertainty.probunet import ProbUnet, divergence
from ..objective import LABELLED, MODEL, Batches, Objective, Roles, State
from .set_distances import hausdorff_divergence, sinkhorn_divergence

Distance = Literal["none", "sinkhorn", "hausdorff"]
FALSE_NEGATIVES, FALSE_POSITIVES, POWER, SMOOTH = 0.7, 0.3, 0.75, 1.0  # Source: PULASki's focal Tversky


def focal_tversky(p: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """(1 - TI)^0.75 of probabilities and masks (b ...), over batch and space together; TI weighs misses 0.7 and false marks 0.3.

    Source: Abraham and Khan 2019, arXiv 1810.07842, with PULASki's weights and its sum over the batch.
    """
    hit, missed, wrong = (p * masks).sum(), ((1 - p) * masks).sum(), (p * (1 - masks)).sum()
    index = (hit + SMOOTH) / (hit + FALSE_NEGATIVES * missed + FALSE_POSITIVES * wrong + SMOOTH)
    return (1 - index).clamp(min=1e-6) ** POWER  # the power's slope is infinite at 0


def raters_of(labels: torch.Tensor, count: int) -> torch.Tensor:
    """Floats (b count ...): rater r's mask, from bit r of labels (b ...)."""
    return torch.stack([(labels >> rater) & 1 for rater in range(count)], dim=1).float()


@dataclass(frozen=True)
class Pulaski(Objective):
    """Focal Tversky of a draw against one rater picked by chance, KL(posterior || prior), and the distance of sets.

    Attributes:
        raters: how many bits the labels have.
        distance: "none" is the plain probabilistic U-Net.
    """

    raters: int
    distance: Distance = "sinkhorn"

    name = "pulaski"
    paper = "PULASki, arXiv 2312.15686"

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "tversky", "divergence" and, with a distance, "distance"; all of weight 1."""
        net, batch = roles[MODEL], batches[LABELLED]
        if not isinstance(net, ProbUnet):
            raise TypeError(f"PULASki needs a ProbUnet, got {type(net).__name__}")
        masks = raters_of(batch.labels, self.raters)
        chosen = torch.from_numpy(state.rng.integers(self.raters, size=len(masks)))
        one = masks[torch.arange(len(masks)), chosen.to(masks.device)][:, None]
        prior, posterior = net.prior(batch.images), net.posterior(batch.images, one)
        features = net.features(batch.images)
        noise = torch.from_numpy(state.rng.standard_normal((self.raters, *posterior.mean.shape))).to(posterior.mean)
        draws = [net.decode(features, posterior.at(part)) for part in noise[: 1 if self.distance == "none" else None]]
        terms = {
            "tversky": focal_tversky(torch.sigmoid(draws[0].float()), one),
            "divergence": divergence(posterior, prior).float().mean(),
        }
        if self.distance != "none":
            cloud, truth = torch.sigmoid(torch.cat(draws, dim=1).float()).flatten(2), masks.flatten(2)
            measure = sinkhorn_divergence if self.distance == "sinkhorn" else hausdorff_divergence
            terms["distance"] = measure(cloud, truth).mean()
        return terms


def reproduce(fixture: Fixture) -> Tensors:
    """Our values and gradients on a fixture of the official losses; the focal Tversky is of the first draw and the first rater."""
    p, raters = fixture.inputs["predictions"].clone().requires_grad_(), fixture.inputs["raters"]
    cloud, truth = p.flatten(2), raters.flatten(2)
    values = {
        "sinkhorn": sinkhorn_divergence(cloud, truth, mode="released").mean(),
        "hausdorff": hausdorff_divergence(cloud, truth).mean(),
        "focal_tversky": focal_tversky(p[:, :1], raters[:, :1]),
    }
    slopes = {f"{name}_grad": torch.autograd.grad(value, p)[0] for name, value in values.items()}
    slopes["focal_tversky_grad"] = slopes["focal_tversky_grad"][:, :1]
    alike = {
        "sinkhorn_self": sinkhorn_divergence(truth, truth, mode="released").mean(),
        "hausdorff_self": hausdorff_divergence(truth, truth).mean(),
    }
    return slopes | {name: value.detach()[None] for name, value in (values | alike).items()}
