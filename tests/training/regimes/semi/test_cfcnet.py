"""CFC-Net's reconstruction: bands of frequencies, where a box is mixed, and the slow mean of two students."""

import numpy as np
import pytest
import torch

from ostensor.training.objective import MODEL, State
from ostensor.training.regimes.semi.cfcnet import (
    HIGH,
    LOW,
    CfcNet,
    bands,
    entropy_of,
    low_pass,
    mix_by_uncertainty,
    unsure_box,
)


def test_a_wave_is_damped_as_the_gaussian_says() -> None:
    """Four waves along 32 voxels are a quarter of the highest frequency: damped by exp(-1/2) at a cut of a quarter."""
    wave = torch.cos(2 * torch.pi * 4 * torch.arange(32) / 32)
    image = wave[None, None, None, :].expand(1, 1, 6, 32) + 3
    assert torch.allclose(low_pass(image, 0.25), (image - 3) * float(np.exp(-0.5)) + 3, atol=1e-5)
    assert torch.allclose(low_pass(image.transpose(2, 3), 0.25), low_pass(image, 0.25).transpose(2, 3), atol=1e-5)


@pytest.mark.parametrize("sides", [(7, 10), (5, 6, 9)])
def test_bands_add_up_to_the_image(sides: tuple[int, ...]) -> None:
    image = torch.randn(2, 3, *sides)
    low, high = bands(image, 0.25)
    assert torch.allclose(low + high, image, atol=1e-6)
    assert high.mean().abs() < 1e-6, "what is constant is coarse"


def test_entropy_is_that_of_each_structure_added() -> None:
    logits = torch.tensor([[[0.0], [2.0]]])
    p = 1 / (1 + np.exp(-2.0))
    expected = np.log(2) - p * np.log(p) - (1 - p) * np.log(1 - p)
    assert float(entropy_of(logits)) == pytest.approx(expected, rel=1e-5)


def test_the_least_certain_box_comes_from_the_image_that_is_surest_there() -> None:
    images = torch.stack([torch.full((1, 16, 12), float(n)) for n in range(3)])
    entropy = torch.ones(3, 16, 12)
    entropy[0, 8:, :6] = 5.0
    entropy[1, 8:, :6] = 0.5
    assert unsure_box(entropy[0]) == (slice(8, 16), slice(0, 6))
    mixed = mix_by_uncertainty(images, entropy)
    assert bool((mixed[0, 0, 8:, :6] == 1).all())
    assert int((mixed[0] == 0).sum()) == 16 * 12 - 48
    assert images[0].unique().tolist() == [0.0], "what was given is left as it was"


def test_a_box_in_a_volume_is_found_along_all_axes() -> None:
    entropy = torch.zeros(8, 12, 16)
    entropy[1:5, 6:, 2:10] = 1.0
    assert unsure_box(entropy) == (slice(1, 5), slice(6, 12), slice(2, 10))


def test_the_exported_network_is_the_slow_mean_of_the_students() -> None:
    nets = {role: torch.nn.Linear(1, 1, bias=False) for role in (MODEL, LOW, HIGH)}
    with torch.no_grad():
        for role, value in ((MODEL, 0.0), (LOW, 1.0), (HIGH, 3.0)):
            nets[role].weight.fill_(value)
    objective = CfcNet({"liver": (1,)}, decay=0.5)
    for step in (50, 51, 52):
        objective.after_step(nets, State(step, 100, np.random.default_rng(0)))
    assert float(nets[MODEL].weight.detach()) == pytest.approx(2 * (1 - 0.5**3))
