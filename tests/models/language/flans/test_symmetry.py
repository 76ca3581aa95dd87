"""The group of the square is the group of the square, and the scorer moves with the picture."""

import itertools

import pytest
import torch

from ostensor.models.blocks.square import (
    ELEMENTS,
    apply_element,
    blend_applied,
    blend_undone,
    undo_element,
)
from ostensor.models.language.flans.symmetry import Canonicaliser, ScorerConfig, chosen, prior_loss

PICTURE = torch.arange(5 * 5).reshape(1, 1, 5, 5).float()


def test_the_eight_elements_are_different_and_undone_to_the_bit() -> None:
    moved = [apply_element(g, PICTURE) for g in range(ELEMENTS)]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(moved, 2))
    for g in range(ELEMENTS):
        assert torch.equal(undo_element(g, moved[g]), PICTURE)
        assert torch.equal(apply_element(g, undo_element(g, PICTURE)), PICTURE)


def _product(first: int, then: int) -> int:
    """The one element that does `first`, then `then`, found by trying all on a picture."""
    twice = apply_element(then, apply_element(first, PICTURE))
    (found,) = (g for g in range(ELEMENTS) if torch.equal(apply_element(g, PICTURE), twice))
    return found


def test_the_elements_are_a_group_as_the_symmetries_of_a_square_are() -> None:
    """Closed, every row and column of the table holds each element once, and not commutative."""
    table = [[_product(first, then) for then in range(ELEMENTS)] for first in range(ELEMENTS)]
    for line in (*table, *zip(*table, strict=True)):
        assert sorted(line) == list(range(ELEMENTS))
    assert table[1][4] != table[4][1]


def test_an_element_means_what_it_says() -> None:
    """On a corner: 1 turns against the clock, 4 mirrors left and right, 5 mirrors first."""
    corner = torch.zeros(3, 3)
    corner[0, 0] = 1
    spots = {1: (2, 0), 4: (0, 2), 5: (0, 0), 2: (2, 2)}
    for element, spot in spots.items():
        assert apply_element(element, corner)[spot] == 1


@pytest.fixture
def scorer() -> Canonicaliser:
    torch.manual_seed(3)
    return Canonicaliser(ScorerConfig())


def test_scores_of_a_moved_picture_are_the_moved_scores(scorer: Canonicaliser) -> None:
    """s(h x)(h g) = s(x)(g): doing g and then h is one element."""
    torch.manual_seed(0)
    picture = torch.rand(2, 1, 64, 64)
    scores = scorer(picture)
    for h in range(ELEMENTS):
        moved = scorer(apply_element(h, picture))
        for g in range(ELEMENTS):
            assert torch.allclose(moved[:, _product(g, h)], scores[:, g], atol=1e-5)


def test_the_canonical_picture_is_the_same_for_every_symmetry(scorer: Canonicaliser) -> None:
    torch.manual_seed(1)
    picture = torch.rand(1, 1, 64, 64)
    found = [
        blend_undone(chosen(scorer(moved)), moved) for moved in (apply_element(h, picture) for h in range(ELEMENTS))
    ]
    assert all(torch.allclose(one, found[0], atol=1e-6) for one in found)
    assert not torch.equal(found[0], blend_applied(chosen(scorer(picture)), found[0])) or chosen(scorer(picture))[0, 0]


def test_the_choice_is_one_hot_and_lets_the_gradient_through(scorer: Canonicaliser) -> None:
    torch.manual_seed(2)
    picture = torch.rand(3, 1, 64, 64)
    weights = chosen(scorer(picture))
    assert torch.equal(weights.detach().round(), torch.nn.functional.one_hot(weights.argmax(1), 8).float())
    blend_undone(weights, picture)[:, :, :20, :30].square().mean().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in scorer.parameters())


def test_forbidden_elements_are_never_chosen(scorer: Canonicaliser) -> None:
    picture = torch.rand(9, 1, 64, 64, generator=torch.Generator().manual_seed(5))
    turns = torch.tensor([True] * 4 + [False] * 4)
    assert (scorer(picture).argmax(1) >= 4).any(), "otherwise the next line proves nothing"
    assert (chosen(scorer(picture), turns).argmax(1) < 4).all()


def test_the_prior_learns_upright_pictures(scorer: Canonicaliser) -> None:
    """Pictures with a bright left upper corner are upright; 60 steps suffice (spec: below 0.05)."""
    torch.manual_seed(4)
    optimizer = torch.optim.Adam(scorer.parameters(), lr=5e-3)
    for _ in range(60):
        picture = 0.2 * torch.rand(4, 1, 32, 32)
        picture[:, :, 3:11, 2:19] += 0.8
        loss = prior_loss(scorer(picture), torch.zeros(4, dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.05
    assert scorer(apply_element(6, picture)).argmax(1).tolist() == [6] * 4
