"""pix2pix pieces: what the judge sees, and what the absolute error alone learns."""

import torch

from ostensor.models.synthesis.networks.gan import Generator, discriminator, logits
from ostensor.training.objective import LABELLED, MODEL, Batch, State
from ostensor.training.synthesis.objectives import JUDGE, Pix2pix


def test_a_patch_of_the_judge_sees_seventy_pixels() -> None:
    """Impulse test: with 3 layers of stride 2 the receptive field is 70 x 70 (Isola et al. 2017)."""
    judge = discriminator(1, channels=4).eval()
    for module in judge.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.constant_(module.weight, 0.05)
    picture = torch.zeros(1, 1, 128, 128, requires_grad=True)
    scores = logits(judge, picture)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    assert picture.grad is not None
    seen = picture.grad[0, 0].nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [70, 70]


def test_the_generator_keeps_the_grid() -> None:
    net = Generator(3, (4, 8, 8)).eval()
    assert net(torch.zeros(2, 3, 40, 56)).shape == (2, 1, 40, 56)
    assert net.stride == 8


def test_absolute_error_alone_learns_the_median() -> None:
    """Targets -1, -1 and 0.8 for one condition: the median is -1, the mean -0.4."""
    import numpy as np

    torch.manual_seed(0)
    net = Generator(1, (4, 8))
    objective = Pix2pix(maps=1, adversary=0.0)
    state = State(0, 1, np.random.default_rng(0))
    assert objective.phases(state) == ("main",)
    images = torch.full((3, 2, 8, 8), 1.0)
    images[:, 0] = torch.tensor([-1.0, -1.0, 0.8])[:, None, None]
    batch = {LABELLED: Batch(images, torch.zeros(3, 1, 1, dtype=torch.int64))}
    roles = {MODEL: net, JUDGE: torch.nn.Identity()}
    optimizer = objective.optimizer("main", list(net.parameters()), 1e-2, 0.0)
    for _ in range(120):
        loss = objective.losses("main", roles, batch, state)["pixel"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    made = net(images[:, 1:])
    assert float(made.detach().median()) < -0.8


def test_the_judge_and_the_generator_are_stepped_in_turn() -> None:
    import numpy as np

    objective = Pix2pix(maps=1)
    assert objective.phases(State(0, 1, np.random.default_rng(0))) == (JUDGE, "main")
    roles = objective.roles(Generator(1, (4, 8)))
    groups = objective.groups(roles)
    assert {id(p) for p in groups["main"]}.isdisjoint({id(p) for p in groups[JUDGE]})
