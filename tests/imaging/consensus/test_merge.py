"""One mask out of several: STAPLE against the equations of Warfield 2004 written out here, votes and weights by hand."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from ostensor.imaging.consensus.merge import by_staple, by_vote, by_weight, weights_by_agreement
from ostensor.imaging.consensus.votes import Votes
from ostensor.imaging.errors import BadCall
from ostensor.imaging.masks.dice import dice
from ostensor.imaging.region import Region
from ostensor.imaging.volume import Mask

from .test_votes import GRID, SHAPE, blobs, body, region

Float = npt.NDArray[np.float64]


def votes_of(masks: list[np.ndarray]) -> Votes:
    return Votes.of([Region.of(Mask(mask, GRID)) for mask in masks])


def expectation_maximisation(marks: np.ndarray, prior: float, rounds: int = 3000) -> tuple[Float, Float, Float]:
    """Chances (v), sensitivities and specificities (n): Warfield 2004, equations 14 to 19, voxel by voxel in logarithms.

    It starts from p = q = 0.99999 as in the paper, not from the mean vote as ITK does.
    """
    p, q = np.full(len(marks), 0.99999), np.full(len(marks), 0.99999)
    chance = np.zeros(marks.shape[1])
    for _ in range(rounds):
        for v in range(marks.shape[1]):
            yes, no = math.log(prior), math.log(1 - prior)
            for mark, sensitivity, specificity in zip(marks[:, v], p, q, strict=True):
                yes += math.log(max(sensitivity if mark else 1 - sensitivity, 1e-300))
                no += math.log(max(1 - specificity if mark else specificity, 1e-300))
            chance[v] = 1 / (1 + math.exp(min(no - yes, 700)))
        before = np.concatenate([p, q])
        p = (marks * chance).sum(1) / chance.sum()
        q = (~marks * (1 - chance)).sum(1) / (1 - chance).sum()
        if np.abs(np.concatenate([p, q]) - before).max() < 1e-9:
            break
    return chance, p, q


@pytest.mark.parametrize("count", [3, 5])
def test_staple_is_warfields(count: int) -> None:
    """The prior is the mean vote of the neighbourhood; ITK stops a little earlier, so p and q agree to 1e-4."""
    masks = blobs(7, count)
    masks[-1] = masks[-1] ^ (np.random.default_rng(1).random(SHAPE) < 0.2)  # a careless one
    votes = votes_of(masks)
    found = by_staple(votes)
    assert found is not None
    chance, p, q = expectation_maximisation(votes.marks, float(votes.marks.mean()))
    np.testing.assert_allclose(found.sensitivity, p, atol=1e-4)
    np.testing.assert_allclose(found.specificity, q, atol=1e-4)
    clear = np.abs(chance - 0.5) > 0.01
    assert (found.marked[clear] == (chance > 0.5)[clear]).all()
    assert found.has_settled
    assert found.sensitivity[-1] == min(found.sensitivity)


def test_the_order_of_the_masks_changes_nothing_but_the_order() -> None:
    masks = blobs(11, 4)
    turned = [masks[n] for n in (2, 0, 3, 1)]
    one, other = by_staple(votes_of(masks)), by_staple(votes_of(turned))
    assert one is not None
    assert other is not None
    assert (one.marked == other.marked).all()
    np.testing.assert_allclose([one.sensitivity[n] for n in (2, 0, 3, 1)], other.sensitivity, atol=1e-6)


def test_a_mask_turned_inside_out_is_found_out_and_does_not_turn_the_others() -> None:
    votes = votes_of([*blobs(5, 4), ~body()])
    found = by_staple(votes)
    assert found is not None
    assert found.sensitivity[4] < 0.5
    assert found.specificity[4] < 0.5
    assert min(found.sensitivity[:4]) > 0.9
    assert dice(votes.on_grid(found.marked), body()) > 0.95


def test_equal_and_empty_masks_leave_staple_nothing_to_estimate() -> None:
    assert by_staple(Votes.of([region(3, 4)] * 3)) is None
    assert by_staple(Votes.of([region()] * 3)) is None


def test_no_small_masks_make_staple_stumble() -> None:
    """Every way of three masks on three voxels of a row, 512 of them, empty and disjoint ones, too: numbers, never NaN."""
    rows = [[n for n in range(3) if bits >> n & 1] for bits in range(8)]
    for one in rows:
        for two in rows:
            for three in rows:
                votes = Votes.of([region(*one), region(*two), region(*three)])
                found = by_staple(votes)
                if found is not None:
                    assert np.isfinite([*found.sensitivity, *found.specificity]).all(), (one, two, three)
                    assert not (found.marked & ~votes.marks.any(axis=0)).any(), "what nobody marks is marked"


def test_votes_need_more_than_half() -> None:
    """Of three two; of four three, for two are a tie; of two both."""
    masks = [region(3, 4, 5), region(4, 5, 6), region(5, 6), region(5)]
    assert marked(Votes.of(masks[:3]), by_vote) == [4, 5, 6]
    assert marked(Votes.of(masks), by_vote) == [5]
    assert marked(Votes.of(masks[:2]), by_vote) == [4, 5]


def marked(votes: Votes, merge: object, *arguments: object) -> list[int]:
    """Along x."""
    found = votes.on_grid(merge(votes, *arguments))  # type: ignore[operator]  # a function of the module under test
    return [int(index) for index in np.flatnonzero(found[:, 4, 5])]


def test_weights_decide_and_a_tie_of_weights_is_background() -> None:
    """0.1 + 1.3 is a little more than half of 0.1 + 1.3 + 1.4 in binary fractions; here they tie."""
    masks = [region(3, 4), region(4, 5), region(6)]
    votes = Votes.of(masks)
    assert marked(votes, by_weight, [0.5, 0.6, 2.0]) == [6]
    assert marked(votes, by_weight, [3, 1, 1]) == [3, 4]
    assert marked(votes, by_weight, [0.1, 1.3, 1.4]) == []
    assert marked(votes, by_weight, [1, 0, 0]) == [3, 4]


def test_estimated_weights_are_the_dice_with_the_others() -> None:
    """3 4 5 against the mean of 3 4 5 and 9: shares 1/2 each, 2 (3/2) / (3 + 2); 9 against twice 3 4 5: nothing."""
    votes = Votes.of([region(3, 4, 5), region(3, 4, 5), region(9)])
    assert weights_by_agreement(votes) == pytest.approx((3 / 5, 3 / 5, 0.0))
    assert weights_by_agreement(Votes.of([region(3), region(5), region(7)])) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("weights", "fact"),
    [([1.0], "1 weights were given for 2"), ([1.0, -1.0], "impossible"), ([0.0, 0.0], "impossible"), ([1.0, math.nan], "impossible")],
)  # fmt: skip
def test_impossible_weights_are_refused(weights: list[float], fact: str) -> None:
    with pytest.raises(BadCall, match=fact):
        by_weight(Votes.of([region(3), region(4)]), weights)


def test_two_masks_are_too_few_for_estimates() -> None:
    two = Votes.of([region(3, 4), region(4, 5)])
    with pytest.raises(BadCall, match="cannot tell which is wrong"):
        by_staple(two)
    with pytest.raises(BadCall, match="no weights can be estimated"):
        weights_by_agreement(two)
