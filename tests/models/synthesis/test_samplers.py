"""Noise schedules against a Gaussian whose exact denoiser is known."""

import math

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.synthesis.networks.samplers import Sampler

MEAN, SPREAD = 0.7, 0.4
COUNT = 20_000


def _exact(sampler: Sampler, noisy: torch.Tensor, time: int) -> torch.Tensor:
    """What the best possible network predicts for a target N(0.7, 0.4): the posterior mean, in closed form."""
    if sampler.kind == "rflow":
        keep, sigma = 1 - time / sampler.train_steps, time / sampler.train_steps
    else:
        kept = float(sampler._scheduler.alphas_cumprod[time])
        keep, sigma = math.sqrt(kept), math.sqrt(1 - kept)
    variance = (keep * SPREAD) ** 2 + sigma**2
    clean = MEAN + keep * SPREAD**2 / variance * (noisy - keep * MEAN)
    noise = sigma / variance * (noisy - keep * MEAN)
    return clean - noise if sampler.kind == "rflow" else noise


def _sampled(sampler: Sampler, steps: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    noisy = torch.randn((COUNT, 1, 1, 1), generator=generator)
    times = sampler.times(steps)
    for number, time in enumerate(times):
        after = times[number + 1] if number + 1 < len(times) else None
        noisy = sampler.step(_exact(sampler, noisy, time), time, after, noisy, generator)
    return noisy


@pytest.mark.parametrize(("kind", "steps"), [("ddpm", 1000), ("ddim", 250), ("rflow", 100)])
def test_samplers_give_the_mean_and_spread_of_the_target(kind: str, steps: int) -> None:
    """Within 5 % of N(0.7, 0.4), as the synthesis spec measured for 1000, 250 and 50 steps."""
    made = _sampled(Sampler(kind), steps)
    assert float(made.mean()) == pytest.approx(MEAN, rel=0.05)
    assert float(made.std()) == pytest.approx(SPREAD, rel=0.05)


def test_the_librarys_default_clipping_is_off_because_it_biases() -> None:
    """With the predicted image clipped to [-1, 1] the same test misses the mean, here 0.636 in the spec's run."""
    clipped = _sampled(Sampler("ddim", clip=True), 250)
    assert float(clipped.mean()) < 0.66


def test_times_are_exact_integers_for_rectified_flow() -> None:
    """MONAI keeps them as float16, exact up to 2048."""
    assert Sampler("rflow").times(8) == [1000, 875, 750, 625, 500, 375, 250, 125]


def test_noising_has_the_moments_of_the_forward_process() -> None:
    """sqrt(abar) x0 + sqrt(1 - abar) e, and (1 - t) x0 + t e; moments from the formulas."""
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.full((COUNT, 1, 1, 1), 0.5), torch.randn((COUNT, 1, 1, 1), generator=generator)
    times = torch.full((COUNT,), 300)
    flow = Sampler("rflow").noised(clean, noise, times)
    assert float(flow.mean()) == pytest.approx(0.7 * 0.5, abs=0.01)
    assert float(flow.std()) == pytest.approx(0.3, rel=0.03)
    betas = torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64)
    kept = float(torch.cumprod(1 - betas, 0)[300])
    diffused = Sampler("ddpm").noised(clean, noise, times)
    assert float(diffused.mean()) == pytest.approx(math.sqrt(kept) * 0.5, abs=0.02)
    assert float(diffused.std()) == pytest.approx(math.sqrt(1 - kept), rel=0.03)


@pytest.mark.parametrize("kind", ["ddim", "rflow"])
def test_a_jump_back_arrives_at_the_noise_level_of_the_forward_process(kind: str) -> None:
    """From level 300 to 700 by `renoised`, against noising straight to 700."""
    sampler = Sampler(kind)
    generator = torch.Generator().manual_seed(1)
    clean = torch.full((COUNT, 1, 1, 1), 0.8)
    low = sampler.noised(clean, torch.randn(clean.shape, generator=generator), torch.full((COUNT,), 300))
    there = sampler.renoised(low, 300, 700, generator)
    straight = sampler.noised(clean, torch.randn(clean.shape, generator=generator), torch.full((COUNT,), 700))
    assert float(there.mean()) == pytest.approx(float(straight.mean()), abs=0.02)
    assert float(there.std()) == pytest.approx(float(straight.std()), rel=0.03)


def test_impossible_steps_and_samplers_are_refused() -> None:
    with pytest.raises(BadCall, match="0 denoising steps"):
        Sampler("rflow").times(0)
    with pytest.raises(BadCall, match="all its 1000 steps, not 50"):
        Sampler("ddpm").times(50)
    with pytest.raises(BadCall, match="'euler'"):
        Sampler("euler")  # type: ignore[arg-type]  # wrong on purpose
