"""The probabilistic U-Net has the published size, its divergence is the textbook's, and its draws repeat by seed."""

import json
import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.parity import Fixture
from ostensor.models.uncertainty.probunet import (
    Moments,
    ProbUnet,
    ProbUnetConfig,
    divergence,
    load_official,
    reproduce,
)

PARITY = Path(__file__).resolve().parents[2] / "parity"
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


@pytest.mark.parametrize(("mode", "flat"), [("described", False), ("released", True)])
def test_without_activations_at_the_end_the_latent_only_adds_one_number(
    mode: Literal["described", "released"], flat: bool
) -> None:
    """Three linear layers are one: w f + v z + b, so that two draws differ by v (z - z') everywhere."""
    torch.manual_seed(0)
    net = ProbUnet(ProbUnetConfig(base=4, depth=3, latent=2, mode=mode)).eval()
    with torch.no_grad():
        features = net.features(torch.randn(1, 1, 20, 12))
        apart = net.decode(features, torch.tensor([[3.0, -2.0]])) - net.decode(features, torch.tensor([[-1.0, 2.0]]))
    assert float(apart.abs().max()) > 0.01
    assert bool(torch.allclose(apart, apart[..., :1, :1].expand_as(apart), atol=1e-5)) is flat


def test_official_weights_fill_the_whole_network_and_others_are_refused() -> None:
    """`tests/parity/probunet` says how many parameters the authors' class has."""
    fixture = Fixture(PARITY / "probunet")
    state = fixture.state()
    net = load_official(state)
    assert sum(value.numel() for value in net.parameters()) == fixture.config["parameters"]
    assert net.config == ProbUnetConfig(base=4, depth=4, latent=3, mode="released")
    with pytest.raises(BadCall, match=r"no weights of ProbUNetV2.*'other\.weight' is none of its layers"):
        load_official(state | {"other.weight": torch.zeros(2)})
    with pytest.raises(BadCall, match=r"no weights of ProbUNetV2.*shorter"):
        load_official({key: value for key, value in state.items() if key != "task_net.reduce-2.bias"})
    with pytest.raises(BadCall, match=r"no weights of ProbUNetV2.*size mismatch"):
        load_official(state | {"task_net.decode-1.3.weight": torch.zeros(8, 9, 3, 3)})


def _official_names(depth: int, normed: int) -> list[str]:
    """How the authors' class calls its layers, in the order of computation: numbers count norms, activations and pooling."""
    down = [f"encode-{n}.{layer}" for n in range(depth - 1) for layer in ((1, 4) if n else (0, 3))]
    up = [f"decode-{n}.{layer}" for n in range(depth - 2, 0, -1) for layer in (0, 3, 6)]
    bottom = [f"encode-{depth - 1}.1", f"decode-{depth - 1}.0", f"decode-{depth - 1}.3"]
    task = [*down, *bottom, *up, "decode-0.0", "decode-0.3", "reduce-0", "reduce-1", "reduce-2"]
    moments = []
    for n in range(depth):
        start = 1 if n else 0
        second = start + (3 if n < normed else 2)
        moments += [f"encode_{n}.{start}", f"encode_{n}.{second}"]
    moments.append(f"encode_{depth - 1}.{second + (3 if depth - 1 < normed else 2)}")
    layers = [f"task_net.{name}" for name in task]
    layers += [f"{part}_net.{name}" for part in ("prior", "posterior") for name in moments]
    return [
        f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias") if kind == "weight" or layer[-2:] != ".5"
    ]


@pytest.mark.parametrize(("dims", "depth", "normed"), [(2, 4, 2), (3, 2, 1), (2, 6, 3)])
def test_official_weights_of_any_depth_find_their_places(dims: int, depth: int, normed: int) -> None:
    torch.manual_seed(0)
    net = ProbUnet(ProbUnetConfig(dims, 3, depth, 5, normed, "released"))
    names = _official_names(depth, normed)
    if depth == 4:
        assert set(names) == set(Fixture(PARITY / "probunet").state())
    state = dict(zip(names, net.state_dict().values(), strict=True))
    found = load_official({name: state[name] for name in sorted(state)}, normed=normed)
    assert found.config == net.config
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in found.state_dict().items())


def test_a_latent_at_the_bottom_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PARITY / "probunet", tmp_path / "probunet"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["constructor_arguments"]["injection_at"] = "bottom"
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(BadCall, match=r"enters at 'bottom'\. Ours enters at the end only"):
        reproduce(Fixture(folder))
