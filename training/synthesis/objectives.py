"""How synthesis networks learn: denoising (with dropped conditions), and pix2pix with its discriminator.

A batch's `images` (b 1+c x y) hold the picture first and the channels of the condition after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ...models.synthesis.networks.denoiser import Denoiser
from ...models.synthesis.networks.diffusion import DiffusionTask
from ...models.synthesis.networks.gan import discriminator, logits
from ...models.synthesis.networks.samplers import Sampler
from ..objective import LABELLED, MODEL, Batches, Objective, Roles, State

JUDGE = "discriminator"


@dataclass(frozen=True)
class Denoising(Objective):
    """Predict what noise hides, given the condition; see `DiffusionTask.loss`.

    Attributes:
        drop: share of conditions emptied; 0.1 is usual (Ho and Salimans 2022).
    """

    sampler: Sampler
    drop: float = 0.1

    name = "denoising"
    paper = "seg2med, arXiv 2504.09182; rectified flow, Liu et al. 2023"

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Term "denoise"."""
        model, images = roles[MODEL], batches[LABELLED].images
        assert isinstance(model, Denoiser)
        task = DiffusionTask(model, self.sampler)
        return {"denoise": task.loss(images[:, :1], images[:, 1:], _generator(state.rng), drop=self.drop)}


@dataclass(frozen=True)
class Pix2pix(Objective):
    """Paint in one pass: absolute error, and a discriminator of (condition, picture) patches.

    Source: Isola et al. 2017: binary cross-entropy, L1 times 100, Adam 2e-4 with betas 0.5 and 0.999.

    Attributes:
        maps: channels of the condition.
        pixel: weight of the absolute error.
        adversary: weight of the discriminator's verdict; 0 leaves it out.
    """

    maps: int
    pixel: float = 100.0
    adversary: float = 1.0

    name = "pix2pix"
    paper = "pix2pix, Isola et al. 2017, arXiv 1611.07004"

    def roles(self, model: torch.nn.Module) -> dict[str, torch.nn.Module]:
        """The generator and its judge; a small one (32 channels, 2 layers) for pictures of 40 to 128 pixels."""
        return {MODEL: model, JUDGE: discriminator(self.maps + 1, channels=32, layers=2)}

    def groups(self, roles: Roles) -> dict[str, list[torch.nn.Parameter]]:
        """One group per network."""
        return {"main": list(roles[MODEL].parameters()), JUDGE: list(roles[JUDGE].parameters())}

    def optimizer(
        self, group: str, parameters: Sequence[torch.nn.Parameter], learning_rate: float, weight_decay: float
    ) -> torch.optim.Optimizer:
        """Adam as in the paper."""
        return torch.optim.Adam(list(parameters), lr=learning_rate, betas=(0.5, 0.999))

    def phases(self, state: State) -> tuple[str, ...]:
        """The judge first."""
        return (JUDGE, "main") if self.adversary else ("main",)

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        """Terms "judge", or "pixel" and "fooling"."""
        images = batches[LABELLED].images
        real, maps = images[:, :1], images[:, 1:]
        made = roles[MODEL](maps)
        judge = roles[JUDGE]
        if phase == JUDGE:
            for_real = logits(judge, torch.cat([maps, real], dim=1))
            for_made = logits(judge, torch.cat([maps, made.detach()], dim=1))
            return {"judge": (_said(for_real, true=True) + _said(for_made, true=False)) / 2}
        terms = {"pixel": self.pixel * (made - real).abs().mean()}
        if self.adversary:
            terms["fooling"] = self.adversary * _said(logits(judge, torch.cat([maps, made], dim=1)), true=True)
        return terms


def _said(scores: torch.Tensor, *, true: bool) -> torch.Tensor:
    wanted = torch.full_like(scores, 1.0 if true else 0.0)
    return F.binary_cross_entropy_with_logits(scores, wanted)


def _generator(rng: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(rng.integers(2**31)))
