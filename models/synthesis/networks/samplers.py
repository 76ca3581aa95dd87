"""Noise schedules and one step against the noise: DDPM, DDIM and rectified flow, on MONAI's schedulers.

Two traps of the library are shut here: predicted images are never clipped to [-1, 1] unless asked
(the default biases mean and spread), and times are exact integers (rectified flow gives float16).
Equations: DDPM (Ho et al. 2020), DDIM with eta 0 (Song et al. 2021), rectified flow (Liu et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from ....imaging.errors import BadCall

SamplerKind = Literal["ddpm", "ddim", "rflow"]
TRAIN_STEPS = 1000


@dataclass
class Sampler:
    """One way from noise to image.

    Attributes:
        kind: "ddpm" takes every training step; "ddim" and "rflow" as many as asked.
        clip: cut the predicted image to [-1, 1] in each step; only right for pixels in that range.
    """

    kind: SamplerKind
    train_steps: int = TRAIN_STEPS
    clip: bool = False
    _scheduler: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        from monai.networks import schedulers as library

        schedulers: Any = library
        if self.kind == "rflow":
            self._scheduler = schedulers.RFlowScheduler(
                num_train_timesteps=self.train_steps, use_discrete_timesteps=True
            )
        elif self.kind in ("ddpm", "ddim"):
            made = schedulers.DDPMScheduler if self.kind == "ddpm" else schedulers.DDIMScheduler
            self._scheduler = made(num_train_timesteps=self.train_steps, clip_sample=self.clip)
        else:
            raise BadCall(f"Unknown sampler '{self.kind}'. Allowed: ddpm, ddim, rflow.")

    def draw_times(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Random training times (n), integers; rectified flow counts from 1, where there is some noise."""
        low, high = (1, self.train_steps + 1) if self.kind == "rflow" else (0, self.train_steps)
        return torch.randint(low, high, (count,), generator=generator)

    def noised(self, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """`clean` at the noise levels `times` (b)."""
        noisy: torch.Tensor = self._scheduler.add_noise(original_samples=clean, noise=noise, timesteps=times)
        return noisy

    def target(self, clean: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """What the network is to predict: the noise, or the velocity x0 - e of rectified flow."""
        return clean - noise if self.kind == "rflow" else noise

    def times(self, steps: int) -> list[int]:
        """Noise levels to visit, from pure noise down.

        Raises:
            BadCall: more steps than were trained, or fewer than all of them with DDPM.
        """
        if not 1 <= steps <= self.train_steps:
            raise BadCall(f"{steps} denoising steps were asked. Allowed: 1 to {self.train_steps}.")
        if self.kind == "ddpm" and steps != self.train_steps:
            raise BadCall(f"DDPM takes all its {self.train_steps} steps, not {steps}. Use ddim or rflow for fewer.")
        self._scheduler.set_timesteps(steps)
        return [int(t) for t in self._scheduler.timesteps]

    def step(
        self, predicted: torch.Tensor, time: int, after: int | None, noisy: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """The image at the next lower noise level.

        Args:
            after: the level it goes to; None is the end.
        """
        if self.kind == "rflow":
            moved: torch.Tensor = self._scheduler.step(predicted, time, noisy, next_timestep=after or 0)[0]
            return moved
        stepped: torch.Tensor = self._scheduler.step(predicted, time, noisy, generator=generator)[0]
        return stepped

    def at_level(self, clean: torch.Tensor, after: int | None, generator: torch.Generator) -> torch.Tensor:
        """A known image at the level a step arrives at; clean at the end."""
        if after is None:
            return clean
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        return self.noised(clean, noise, torch.full((clean.shape[0],), after, device=clean.device))

    def renoised(self, noisy: torch.Tensor, low: int, high: int, generator: torch.Generator) -> torch.Tensor:
        """From level `low` back up to `high` with the noise that lies between them (a resampling jump).

        Source: RePaint (Lugmayr et al. 2022), eq. 1 composed over several steps; for rectified flow the
        linear path is rescaled and the missing variance added.
        """
        noise = torch.randn(noisy.shape, generator=generator).to(noisy.device)
        if self.kind == "rflow":
            s, t = low / self.train_steps, high / self.train_steps
            scale = (1 - t) / max(1 - s, 1e-6)
            answer: torch.Tensor = scale * noisy + max(t**2 - (scale * s) ** 2, 0.0) ** 0.5 * noise
            return answer
        kept = float(self._scheduler.alphas_cumprod[high] / self._scheduler.alphas_cumprod[low])
        result: torch.Tensor = kept**0.5 * noisy + (1 - kept) ** 0.5 * noise
        return result
