"""A tiny network of each family learns two shapes by heart, through the objective that trains it."""

import numpy as np
import pytest
import torch

from ostensor.models.backbones.table import backbone
from ostensor.training.objective import LABELLED, MODEL, Batch, State
from ostensor.training.regimes.by_words import Supervised


@pytest.mark.parametrize("name", ["stunet", "paratranscnn", "msvmunet", "xlstmunet"])
def test_sixty_steps_are_enough_for_two_shapes(name: str) -> None:
    """Noise of 0.3 round values 0, 1, 2; Dice above 0.8 is asked for, about 1 is reached."""
    torch.manual_seed(0)
    net = backbone(name).build(2, 1, 2, {}).train()
    labels = torch.zeros(2, 48, 64, dtype=torch.long)
    labels[0, 6:24, 16:32], labels[0, 30:42, 8:48] = 1, 2
    labels[1, 16:36, 32:56], labels[1, 4:12, 8:30] = 1, 2
    noise = torch.randn(labels.shape, generator=torch.Generator().manual_seed(1))
    batch = Batch((labels + 0.3 * noise)[:, None], labels)
    objective = Supervised(structures={"liver": (1,), "spleen": (2,)}, balance=0.5)
    steps = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for step in range(60):
        state = State(step, 60, np.random.default_rng(0))
        terms = objective.losses("main", {MODEL: net}, {LABELLED: batch}, state)
        steps.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        steps.step()
    with torch.no_grad():
        found = net.eval()(batch.images).logits > 0
    for n, label in enumerate((1, 2)):
        wanted = labels == label
        assert 2 * (found[:, n] & wanted).sum() / (found[:, n].sum() + wanted.sum()) > 0.8
