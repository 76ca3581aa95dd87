"""The probabilistic U-Net has the published size, its divergence is the textbook's, and its draws repeat by seed."""

import numpy as np
import pytest
import torch

from ostensor.models.uncertainty.probunet import Moments, ProbUnet, ProbUnetConfig, divergence

SMALL = ProbUnetConfig(dims=2, base=4, depth=3, latent=2)


def _millions(net: torch.nn.Module) -> float:
    return sum(value.numel() for value in net.parameters()) / 1e6


def test_parameters_add_up_to_the_published_counts() -> None:
    """4.86 M task network and 2.65 M per encoder in 2-D, 30.47 M in 3-D: the specification's counts of the authors' code."""
    with torch.device("meta"):
        flat, deep = ProbUnet(ProbUnetConfig()), ProbUnet(ProbUnetConfig(dims=3))
    assert _millions(flat.prior_net) == pytest.approx(2.65, abs=0.005)
    task = _millions(flat) - _millions(flat.prior_net) - _millions(flat.posterior_net)
    assert task == pytest.approx(4.86, abs=0.005)
    assert _millions(flat) == pytest.approx(10.16, abs=0.01)
    assert _millions(deep) == pytest.approx(30.47, abs=0.02)


def test_divergence_is_that_of_torch_and_zero_of_itself() -> None:
    rng = torch.Generator().manual_seed(0)
    one, other = (Moments(torch.randn(5, 3, generator=rng), torch.randn(5, 3, generator=rng)) for _ in range(2))
    normal = [torch.distributions.Normal(m.mean, torch.exp(0.5 * m.log_variance)) for m in (one, other)]
    wanted = torch.distributions.kl_divergence(normal[0], normal[1]).sum(dim=1)
    assert torch.allclose(divergence(one, other), wanted, rtol=1e-5)
    assert float(divergence(one, one).abs().max()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_draws_differ_from_each_other_and_repeat_by_seed(dims: int) -> None:
    torch.manual_seed(0)
    net = ProbUnet(ProbUnetConfig(dims=dims, base=4, depth=3, latent=2)).eval()
    image = torch.randn(2, 1, *(20, 12, 8)[:dims])
    with torch.no_grad():
        first, again, other = (net.draws(image, 3, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == (2, 3, *(20, 12, 8)[:dims])
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.allclose(first[:, 0], first[:, 1])


def test_the_posterior_looks_at_the_mask_and_the_prior_cannot() -> None:
    torch.manual_seed(0)
    net = ProbUnet(SMALL).eval()
    image = torch.randn(1, 1, 20, 12)
    masks = [torch.from_numpy((np.indices((20, 12))[0] < n).astype(np.float32))[None, None] for n in (5, 15)]
    with torch.no_grad():
        found = [net.posterior(image, mask).mean for mask in masks]
    assert not torch.allclose(found[0], found[1])
    assert net.prior_net.stages[0][0].in_channels == 1
