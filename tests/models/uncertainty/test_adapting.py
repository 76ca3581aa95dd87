"""Entropy adaptation moves norm affines and nothing else, helps or does no harm, and leaves no trace.

Counts of norm parameters are those of the specification, taken from MONAI's published networks; the toy's truth is known
by construction.
"""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from ostensor.imaging.errors import BadCall
from ostensor.imaging.volume import Grid, Volume
from ostensor.models.uncertainty.adapting import Adaptation, adapt_, entropy, norm_affines, restored
from ostensor.models.uncertainty.adapting_predictor import AdaptingPredictor, load_adapting

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")


def _segresnet(dims: int) -> nn.Module:
    from monai.networks.nets.segresnet import SegResNet

    return SegResNet(spatial_dims=dims, init_filters=8, in_channels=1, out_channels=1)


def test_every_kind_of_norm_counts_not_only_batchnorm() -> None:
    """The spec's counts: SwinUNETR(feature 12) has no BatchNorm at all, but 4,320 LayerNorm numbers; SegResNet(8) 1,680."""
    from monai.networks.nets.swin_unetr import SwinUNETR

    swin = SwinUNETR(in_channels=1, out_channels=1, feature_size=12)
    assert not any(isinstance(module, nn.BatchNorm3d) for module in swin.modules())
    assert sum(value.numel() for value in norm_affines(swin).values()) == 4320
    assert sum(value.numel() for value in norm_affines(_segresnet(3)).values()) == 1680


def test_a_network_without_norm_affines_is_refused_and_not_quietly_left_alone() -> None:
    from monai.networks.nets.unet import UNet

    plain = UNet(spatial_dims=2, in_channels=1, out_channels=1, channels=(4, 8), strides=(2,))
    with pytest.raises(BadCall, match="UNet has no norm layer with scale and shift"), restored(plain):
        pass


def test_entropy_of_known_odds() -> None:
    """Even odds have ln 2; a fair choice of three ln 3; certainty none."""
    assert float(entropy(torch.zeros(1, 2, 3)).max()) == pytest.approx(math.log(2))
    assert float(entropy(torch.zeros(1, 3, 5), "softmax").max()) == pytest.approx(math.log(3))
    assert float(entropy(torch.full((1, 2, 3), 60.0)).max()) == pytest.approx(0, abs=1e-12)
    p = torch.sigmoid(torch.tensor(1.3)).item()
    by_hand = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert float(entropy(torch.tensor([[[1.3]]]))[0, 0]) == pytest.approx(by_hand, rel=1e-5)


def _discs(rng: np.random.Generator, count: int, shift: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy pictures of a bright disc, and the discs; `shift` weakens the contrast and lifts the background."""
    y, x = np.mgrid[:32, :32]
    images, masks = [], []
    for _ in range(count):
        cy, cx, r = rng.uniform(10, 22), rng.uniform(10, 22), rng.uniform(5, 9)
        mask = (y - cy) ** 2 + (x - cx) ** 2 < r**2
        images.append((mask * 1.0 + rng.normal(0, 0.3, mask.shape)) * (1 - shift) + shift)
        masks.append(mask)
    made = np.stack(images).astype(np.float32), np.stack(masks).astype(np.float32)
    return torch.from_numpy(made[0])[:, None], torch.from_numpy(made[1])[:, None]


@pytest.fixture(scope="module")
def taught() -> nn.Module:
    torch.manual_seed(0)
    net, rng = _segresnet(2), np.random.default_rng(0)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(60):
        images, masks = _discs(rng, 4, 0.0)
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(images), masks).backward()
        optimizer.step()
    return net.eval()


def _parts(net: nn.Module, image: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    logits = net(image)
    yield logits, torch.ones_like(logits[:, 0]) / logits[:, 0].numel()


def _dice(logits: torch.Tensor, truth: torch.Tensor) -> float:
    found = (logits > 0).float()
    return float(2 * (found * truth).sum() / (found.sum() + truth.sum()))


def test_on_a_shifted_toy_entropy_falls_and_dice_is_never_much_worse(taught: nn.Module) -> None:
    """Ten seeds; the limits, .02 of Dice and no rise on average, are the specification's."""
    falls = []
    for seed in range(10):
        image, truth = _discs(np.random.default_rng(100 + seed), 1, 0.35)
        with torch.no_grad():
            before = _dice(taught(image), truth)
        with restored(taught) as free:
            log = adapt_(free, lambda image=image: _parts(taught, image), Adaptation(steps=5, learning_rate=1e-3))  # type: ignore[misc]
            with torch.no_grad():
                after = _dice(taught(image), truth)
        assert after > before - 0.02
        assert log.parameters == sum(value.numel() for value in norm_affines(taught).values())
        falls.append(log.entropies[0] - log.entropies[-1])
    assert np.mean(falls) > 0


def test_only_norm_affines_move_and_everything_is_back_after_an_exception(taught: nn.Module) -> None:
    before = {name: value.clone() for name, value in taught.state_dict().items()}
    image, _truth = _discs(np.random.default_rng(7), 1, 0.35)
    moved: set[str] = set()

    def interrupted() -> None:
        with restored(taught) as free:
            adapt_(free, lambda: _parts(taught, image), Adaptation(steps=2, learning_rate=1e-3))
            moved.update(n for n, v in taught.state_dict().items() if not torch.equal(v, before[n]))
            raise RuntimeError("cancelled")

    with pytest.raises(RuntimeError, match="cancelled"):
        interrupted()
    assert moved
    assert moved <= set(norm_affines(taught))
    assert all(torch.equal(value, before[name]) for name, value in taught.state_dict().items())
    assert all(value.requires_grad and value.grad is None for value in taught.parameters())


def test_a_step_that_would_empty_the_mask_is_undone(taught: nn.Module) -> None:
    """A rate of 5 tears the network apart at once; what is kept is the state before."""
    image, _truth = _discs(np.random.default_rng(7), 1, 0.0)
    before = {name: value.clone() for name, value in taught.state_dict().items()}
    with restored(taught) as free:
        log = adapt_(free, lambda: _parts(taught, image), Adaptation(steps=4, learning_rate=5.0))
        assert all(torch.equal(value, before[name]) for name, value in taught.state_dict().items())
    assert "step 1 would have marked" in log.stopped
    assert not log.adapted


def test_no_steps_change_nothing(taught: nn.Module) -> None:
    image, _truth = _discs(np.random.default_rng(7), 1, 0.0)
    with restored(taught) as free:
        log = adapt_(free, lambda: _parts(taught, image), Adaptation(steps=0))
    assert (len(log.entropies), log.adapted, log.stopped) == (1, False, "")


@pytest.fixture(scope="module")
def hippocampus() -> AdaptingPredictor:
    return load_adapting("sat-mini-hippocampus", threads=1, how=Adaptation(steps=2))


def _blob(seed: int) -> Volume:
    rng = np.random.default_rng(seed)
    array = rng.normal(0, 1, (23, 31, 19)) + 4 * np.exp(-sum((n - 10) ** 2 for n in np.ogrid[:23, :31, :19]) / 40)
    return Volume(array.astype(np.float32), Grid((23, 31, 19), np.diag([1.0, 1.0, 1.0, 1.0])), "mr")


def test_a_resident_network_answers_the_next_scan_as_if_nothing_had_been(hippocampus: AdaptingPredictor) -> None:
    """Asked for scan A, then B, then A again: A's answers, plain and adapted, are the same to the bit."""
    first, other, again = (
        hippocampus.encode(_blob(seed), progress=lambda share: None, cancelled=lambda: False) for seed in (0, 1, 0)
    )
    assert first.log == again.log
    assert np.array_equal(first.plain.array, again.plain.array)
    assert np.array_equal(first.adapted.array, again.adapted.array)
    assert not np.array_equal(first.adapted.array, first.plain.array)
    assert not np.array_equal(first.adapted.array, other.adapted.array)


def test_running_statistics_of_batchnorm_stay(hippocampus: AdaptingPredictor) -> None:
    net = hippocampus._net
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert any("running_mean" in name for name in before)
    hippocampus.encode(_blob(3), progress=lambda share: None, cancelled=lambda: False)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_other_networks_than_the_bundled_ones_with_words_are_refused() -> None:
    with pytest.raises(BadCall, match="'lsms-mini' cannot fit itself"):
        load_adapting("lsms-mini")
