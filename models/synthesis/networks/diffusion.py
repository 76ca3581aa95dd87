"""The one diffusion engine: train, sample, and repaint around what is kept.

seg2med (masks to image, translation) is pixels with concatenated maps; AugPaint is
`sample_inpaint` of the same network with no condition. All chance comes from the generator that
is passed in, so a seed gives the same image again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ....imaging.errors import BadCall
from ...interface import Cancelled
from .denoiser import EMPTY, Denoiser
from .samplers import Sampler

OnStep = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    del done, total


@dataclass(frozen=True)
class Run:
    """How an image is made.

    Attributes:
        steps: denoising steps.
        guidance: 1 follows the condition, 0 ignores it, more exaggerates it (Ho and Salimans 2022).
        jump, repeats: go back `jump` steps and repeat them so often (RePaint); 0 jumps never.
        on_step: hears (step done, of how many).
        cancelled: asked before each network evaluation.
    """

    steps: int
    guidance: float = 1.0
    jump: int = 0
    repeats: int = 1
    on_step: OnStep = _silent
    cancelled: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class DiffusionTask:
    """A denoiser and its noise schedule.

    Shapes: images (b 1 x y) or (b 1 x y z), maps (b c x y ...), keep (b 1 x y ...) of 0 and 1.
    """

    denoiser: Denoiser
    sampler: Sampler
    engine: str = "torch fp32"

    def loss(
        self, clean: torch.Tensor, maps: torch.Tensor | None, generator: torch.Generator, *, drop: float = 0.0
    ) -> torch.Tensor:
        """Mean squared error of the predicted noise or velocity.

        Args:
            drop: share of the samples whose condition is emptied, for guidance and unconditional use.
        """
        if maps is not None and drop > 0:
            emptied = (torch.rand(maps.shape[0], generator=generator) < drop).to(maps.device)
            maps = torch.where(emptied.view(-1, *[1] * (maps.dim() - 1)), torch.full_like(maps, EMPTY), maps)
        times = self.sampler.draw_times(clean.shape[0], generator)
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        predicted = self.denoiser(self.sampler.noised(clean, noise, times), times, maps)
        answer: torch.Tensor = (predicted - self.sampler.target(clean, noise)).square().mean()
        return answer

    @torch.no_grad()
    def sample(
        self, noise: torch.Tensor, maps: torch.Tensor | None, generator: torch.Generator, run: Run
    ) -> torch.Tensor:
        """An image out of `noise` of its shape.

        Raises:
            Cancelled: `run.cancelled` answered True.
        """
        return self._denoised(noise, maps, generator, run)

    @torch.no_grad()
    def sample_inpaint(
        self,
        image: torch.Tensor,
        keep: torch.Tensor,
        maps: torch.Tensor | None,
        noise: torch.Tensor,
        generator: torch.Generator,
        run: Run,
    ) -> torch.Tensor:
        """`image` with everything outside `keep` repainted; kept pixels come back bit by bit.

        At every level the known part is put in at that level's noise (AugPaint, arXiv 2506.23038, after
        RePaint).

        Raises:
            BadCall: `keep` is not 0 and 1 of the image's shape.
            Cancelled: `run.cancelled` answered True.
        """
        if keep.shape != image.shape or not bool(((keep == 0) | (keep == 1)).all()):
            raise BadCall("What is kept must be a mask of the image's shape. Give 0 and 1 for every pixel.")
        return self._denoised(noise, maps, generator, run, image, keep)

    def _denoised(
        self,
        noisy: torch.Tensor,
        maps: torch.Tensor | None,
        generator: torch.Generator,
        run: Run,
        known: torch.Tensor | None = None,
        keep: torch.Tensor | None = None,
    ) -> torch.Tensor:
        times = self.sampler.times(run.steps)
        order = _visits(len(times), run.jump, run.repeats)
        for done, (number, back_from) in enumerate(order):
            if back_from is not None:
                noisy = self.sampler.renoised(noisy, times[back_from], times[number], generator)
            after = times[number + 1] if number + 1 < len(times) else None
            predicted = self._predicted(noisy, times[number], maps, run)
            noisy = self.sampler.step(predicted, times[number], after, noisy, generator)
            if known is not None and keep is not None:
                noisy = torch.where(keep > 0, self.sampler.at_level(known, after, generator), noisy)
            run.on_step(done + 1, len(order))
        return noisy

    def _predicted(self, noisy: torch.Tensor, time: int, maps: torch.Tensor | None, run: Run) -> torch.Tensor:
        if run.cancelled():
            raise Cancelled
        times = torch.full((noisy.shape[0],), time, device=noisy.device)
        if maps is None and self.denoiser.config.condition != "none":
            maps = torch.full((noisy.shape[0], self.denoiser.config.maps, *noisy.shape[2:]), EMPTY, device=noisy.device)
        if maps is None or run.guidance == 1:
            out: torch.Tensor = self.denoiser(noisy, times, maps)
            return out
        empty: torch.Tensor = self.denoiser(noisy, times, torch.full_like(maps, EMPTY))
        if run.guidance == 0:
            return empty
        answer: torch.Tensor = empty + run.guidance * (self.denoiser(noisy, times, maps) - empty)
        return answer


def _visits(steps: int, jump: int, repeats: int) -> list[tuple[int, int | None]]:
    """Step numbers in the order they are taken; beside each, the step it jumped back from (None: it did not).

    After every `jump` steps the last ones are taken again, `repeats` times in all.
    """
    if jump <= 0 or repeats <= 1:
        return [(n, None) for n in range(steps)]
    order: list[tuple[int, int | None]] = []
    for start in range(0, steps, jump):
        block = list(range(start, min(start + jump, steps)))
        last = block[-1] + 1 == steps
        for turn in range(1 if last else repeats):
            back = block[-1] + 1 if turn else None
            order += [(n, back if n == block[0] else None) for n in block]
    return order
