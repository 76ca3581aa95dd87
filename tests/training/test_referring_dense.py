"""The head that is thrown away: what it is taught is in the labels, and it reaches the encoder only."""

import numpy as np
import pytest
import torch

from ostensor.models.flans import MINI, Flans
from ostensor.models.flans_symmetry import ELEMENTS, undo_element
from ostensor.models.sentences import States
from ostensor.training.objective import LABELLED, MODEL, Batch, State
from ostensor.training.referring import LESION, every_sentence
from ostensor.training.referring_dense import CLASSES, dense_loss, dense_shares
from ostensor.training.referring_objective import HEAD, FlansObjective, Vocabulary


def test_shares_are_how_much_of_a_cell_a_class_covers() -> None:
    """By hand on four cells of 2 x 2 pixels; classes count structures in the order of their values."""
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[0, :2, :2] = torch.tensor([[6, 6], [6, 23]])  # liver 6th, left ventricle 16th
    labels[0, 2, 2] = LESION + 1  # dark
    labels[0, 3, 3] = LESION + 20 + 10  # bright, in another organ
    shares = dense_shares(labels, 2)
    assert shares.shape == (1, CLASSES, 2, 2)
    assert shares[0, 6, 0, 0] == 0.75
    assert shares[0, 16, 0, 0] == 0.25
    assert (shares[0, 17, 1, 1], shares[0, 18, 1, 1], shares[0, 0, 1, 1]) == (0.25, 0.25, 0.5)
    assert shares[0, 0, 0, 1] == 1
    assert torch.equal(shares.sum(1), torch.ones(1, 2, 2))


def test_the_loss_is_least_for_the_truth() -> None:
    torch.manual_seed(0)
    shares = dense_shares(torch.randint(0, 4, (2, 12, 12)), 12)
    right, wrong = 20 * shares, 20 * shares.roll(1, 1)
    assert dense_loss(right, shares) < 0.02 < 1 < dense_loss(wrong, shares)
    nothing = torch.zeros_like(shares)
    assert dense_loss(nothing, shares) == pytest.approx(np.log(CLASSES) + 1, abs=0.15), "cross-entropy plus no overlap"


def _vocabulary() -> Vocabulary:
    sentences = every_sentence("train")
    values = np.random.default_rng(0).standard_normal((len(sentences), 2, 384)).astype(np.float32)
    return Vocabulary(sentences, States(values, np.ones(values.shape[:2], bool), np.zeros(len(sentences), bool)))


def test_it_is_trained_beside_the_network_but_not_exported() -> None:
    torch.manual_seed(0)
    net = Flans(MINI)
    objective = FlansObjective(_vocabulary(), sentences=3, moved=1.0, dense=5.0)
    roles = objective.roles(net)
    assert set(roles) == {MODEL, HEAD}
    assert objective.exported(roles) is net
    assert len(objective.groups(roles)["main"]) == sum(len(list(one.parameters())) for one in roles.values())
    assert FlansObjective(_vocabulary()).roles(net) == {MODEL: net}
    labels = torch.zeros(2, 128, 128, dtype=torch.long)
    labels[:, 20:60, 20:70], labels[:, 80:100, 80:110] = 6, 1
    batch = Batch((labels > 0).float()[:, None], labels)
    terms = objective.terms(net, batch, np.random.default_rng(3), roles[HEAD])
    assert set(terms) == {"dice", "cross_entropy", "prior", "dense"}
    terms["dense"].backward()
    assert all(value.grad is not None for value in roles[HEAD].parameters())
    assert net.image_encoder.pos_embed.grad is not None
    assert net.prompt_encoder.text_encoder_head.weight.grad is None, "no word takes part"


def test_a_moved_picture_is_taught_its_moved_labels() -> None:
    """A canonicaliser that is always right and a head that knows the upright picture leave nothing to learn.

    The first number an objective draws decides whether the picture is set upright: below 0.55 it is.
    """
    labels = torch.zeros(1, 128, 128, dtype=torch.long)
    labels[0, 8:64, 16:48], labels[0, 72:120, 64:80] = 6, 1
    picture = (labels > 0).float()[:, None]
    answer = 20 * dense_shares(labels, 64)

    class Knows(torch.nn.Module):
        def forward(self, features: object) -> torch.Tensor:
            del features
            return answer

    net = Flans(MINI)
    net.scores = (
        lambda seen: (
            -torch.stack(  # type: ignore[method-assign]
                [(undo_element(g, seen[:, :1]) - picture).abs().sum((1, 2, 3)) for g in range(ELEMENTS)], dim=1
            )
        )
    )
    objective = FlansObjective(_vocabulary(), sentences=1, moved=1.0, dense=1.0)
    upright, moved = [], []
    for seed in range(12):
        first = np.random.default_rng(seed).random()
        terms = objective.terms(net, Batch(picture, labels), np.random.default_rng(seed), Knows())
        (upright if first < 0.55 else moved).append(float(terms["dense"]))
    assert upright
    assert max(upright) < 0.02
    assert max(moved) > 0.3, "seen as given, the upright answer is wrong"


def test_the_encoder_learns_alone_before_any_words() -> None:
    objective = FlansObjective(_vocabulary(), sentences=1, dense=2.0, alone=0.25)
    roles = objective.roles(Flans(MINI))
    labels = torch.zeros(1, 128, 128, dtype=torch.long)
    labels[0, 20:60, 20:70] = 6
    batches = {LABELLED: Batch((labels > 0).float()[:, None], labels)}
    before = objective.losses("main", roles, batches, State(9, 40, np.random.default_rng(0)))
    after = objective.losses("main", roles, batches, State(10, 40, np.random.default_rng(0)))
    assert set(before) == {"dense"}
    assert set(after) == {"dice", "cross_entropy", "prior", "dense"}
    before["dense"].backward()
    net = roles[MODEL]
    assert isinstance(net, Flans)
    assert net.image_encoder.pos_embed.grad is not None
    assert all(value.grad is None for value in net.mask_decoder.parameters())
