"""The structure loss against its formula place by place, and LossNet as an objective's frozen network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.table import backbone
from ostensor.training.objective import LABELLED, MODEL, Batch, State
from ostensor.training.regimes import lossnet
from ostensor.training.regimes.row import Lesson
from ostensor.training.regimes.table import objective_row
from ostensor.training.trainer import Schedule, Trainer

LESSON = {"liver": (1,), "spleen": (2, 3)}


def state(step: int = 0) -> State:
    return State(step, 10, np.random.default_rng(0))


@pytest.mark.parametrize("sides", [(7, 35), (5, 6, 33)])
def test_the_structure_loss_is_the_formula(sides: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    logits, targets = rng.normal(size=(1, 2, *sides)), (rng.random((1, 2, *sides)) > 0.7).astype(float)
    entropies, overlaps = [], []
    for z, t in zip(logits[0], targets[0], strict=True):
        weights = np.empty(sides)
        for place in np.ndindex(*sides):
            round_it = tuple(slice(max(0, one - 15), one + 16) for one in place)
            weights[place] = 1 + 5 * abs(t[round_it].sum() / 31 ** len(sides) - t[place])
        p = 1 / (1 + np.exp(-z))
        entropies.append((weights * -(t * np.log(p) + (1 - t) * np.log(1 - p))).sum() / weights.sum())
        inside, both = (p * t * weights).sum(), ((p + t) * weights).sum()
        overlaps.append(1 - (inside + 1) / (both - inside + 1))
    found = lossnet.structure_loss(torch.from_numpy(logits), torch.from_numpy(targets))
    assert float(found["cross_entropy"]) == pytest.approx(np.mean(entropies))
    assert float(found["overlap"]) == pytest.approx(np.mean(overlaps))


def test_a_frozen_network_sees_no_difference_between_equal_pictures_and_passes_gradient() -> None:
    net = lossnet.random_lossnet(3)
    mask = torch.zeros(1, 1, 30, 40)
    mask[..., 5:20, 8:30] = 1
    logits = (4 * mask - 2).requires_grad_()
    assert float(net(mask, mask)) == 0
    net(torch.sigmoid(logits), mask).backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0
    assert all(not value.requires_grad for value in net.parameters())


def test_random_weights_are_those_of_the_seed_and_leave_the_generator_alone() -> None:
    torch.manual_seed(11)
    wanted = torch.rand(1)
    torch.manual_seed(11)
    one, same, other = (lossnet.random_lossnet(seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), wanted)
    assert torch.equal(one.taps[0][0].weight, same.taps[0][0].weight)
    assert not torch.equal(one.taps[0][0].weight, other.taps[0][0].weight)


def vgg16(divided: int = 8) -> dict[str, torch.Tensor]:
    """torchvision's layout: features 0 to 28, and a classifier."""
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    widths = [one // divided for one in (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)]
    generator = torch.Generator().manual_seed(2)
    found = {}
    for place, inside, outside in zip(places, [3, *widths], widths, strict=False):
        found[f"features.{place}.weight"] = torch.randn(outside, inside, 3, 3, generator=generator) * 0.1
        found[f"features.{place}.bias"] = torch.randn(outside, generator=generator) * 0.1
    return {**found, "classifier.0.weight": torch.zeros(5, 5), "classifier.0.bias": torch.zeros(5)}


def test_a_file_of_torchvision_is_read_and_runs_as_its_layers_do() -> None:
    """Against a plain sequence of VGG-16's first 23 layers, cut at 4, 9, 16 and 23."""
    weights = vgg16()
    net = lossnet.load_lossnet(weights, resize=False)
    layers: list[torch.nn.Module] = []
    for place in range(23):
        if f"features.{place}.weight" in weights:
            given = weights[f"features.{place}.weight"]
            made: torch.nn.Module = torch.nn.Conv2d(given.shape[1], given.shape[0], 3, padding=1)
            made.load_state_dict({"weight": given, "bias": weights[f"features.{place}.bias"]})
        else:
            made = torch.nn.MaxPool2d(2) if place in (4, 9, 16) else torch.nn.ReLU()
        layers.append(made)
    x = torch.rand(2, 1, 40, 56, generator=torch.Generator().manual_seed(3))
    colours = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    y = (x.repeat(1, 3, 1, 1) - colours[0].view(1, 3, 1, 1)) / colours[1].view(1, 3, 1, 1)
    with torch.no_grad():
        for seen, start, stop in zip(net.see(x), (0, 4, 9, 16), (4, 9, 16, 23), strict=True):
            y = torch.nn.Sequential(*layers[start:stop])(y)
            assert torch.allclose(seen, y, atol=1e-6)


def test_other_files_are_refused() -> None:
    with pytest.raises(BadCall, match=r"'layer1\.0\.weight', which is unknown"):
        lossnet.load_lossnet({"layer1.0.weight": torch.zeros(1)})
    few = {key: value for key, value in vgg16().items() if not key.startswith("features.21")}
    with pytest.raises(BadCall, match="have 9 convolutions, and LossNet 10"):
        lossnet.load_lossnet(few)


@pytest.mark.parametrize(("dims", "seen"), [(2, 0.0), (3, 0.1)])
def test_the_objective_trains_a_backbone_and_says_whose_eyes_it_had(tmp_path: Path, dims: int, seen: float) -> None:
    torch.manual_seed(0)
    net = backbone("unet").build(dims, 1, 2, {"features": [4, 6]})
    objective = objective_row("structure").objective(Lesson(LESSON, (), {"seen": seen}))
    assert objective.name == ("structure, seen by random weights" if seen else "structure")
    sides = [16, 12, 8][:dims]
    labels = torch.randint(0, 4, (2, *sides), generator=torch.Generator().manual_seed(4))
    batch = Batch(labels[:, None].float(), labels)
    trainer = Trainer(net, objective, Schedule(steps=2, warm_up=1), tmp_path)
    before = {name: value.clone() for name, value in trainer.roles[MODEL].state_dict().items()}
    trainer.fit(lambda step, part: batch)
    assert any(not torch.equal(before[name], value) for name, value in trainer.roles[MODEL].state_dict().items())
    if seen:
        frozen = lossnet.random_lossnet(0).state_dict()
        assert all(
            torch.equal(frozen[name], value) for name, value in trainer.roles[lossnet.LOSSNET].state_dict().items()
        )


def test_slices_of_a_volume_are_shown_one_by_one() -> None:
    """A volume of one slice is taught like its slice, and a slice twice like once."""
    torch.manual_seed(0)
    mask = (torch.rand(1, 2, 9, 12) > 0.5).float()
    shown = torch.rand(1, 2, 9, 12)
    net = lossnet.random_lossnet(0)
    twice = [one[..., None].expand(-1, -1, -1, -1, 2) for one in (shown, mask)]
    flat = net(lossnet._pictures(shown), lossnet._pictures(mask))
    assert torch.allclose(net(*(lossnet._pictures(one) for one in twice)), flat, atol=1e-6)


def test_a_network_of_other_channels_is_refused() -> None:
    net = backbone("unet").build(2, 1, 3, {"features": [4, 6]})
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    with pytest.raises(BadCall, match="3 output channels, but 2 structures"):
        lossnet.Structure(LESSON).losses(
            "main", {MODEL: net}, {LABELLED: Batch(labels[:, None].float(), labels)}, state()
        )
