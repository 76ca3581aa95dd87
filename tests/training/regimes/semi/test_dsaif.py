"""The filter of levels against a slow recursion over parts, its laws, and what two networks learn from each other."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import ndimage

from ostensor.training.regimes.semi.dsaif import cross_loss
from ostensor.training.regimes.semi.levels import Levels, fill_branches, filtered, keep_branches


def picture(seed: int, sides: tuple[int, ...] = (11, 13), levels: int = 9) -> Levels:
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random(sides), 0.8)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return np.round(smooth * levels * 20).astype(np.uint8)


def _slow_tree(image: Levels) -> npt.NDArray[np.int64]:
    """By recursion over components: a part keeps the level of its darkest voxel where it has a sibling or is the whole."""
    found = np.zeros(image.shape, dtype=np.int64)

    def visit(part: npt.NDArray[np.bool_], level: int) -> None:
        found[part] = level
        own = int(image[part].min())
        inner, count = ndimage.label(part & (image > own))
        for n in range(1, count + 1):
            child = inner == n
            visit(child, int(image[child].min()) if count >= 2 else level)

    visit(np.ones(image.shape, dtype=bool), int(image.min()))
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sides", [(11, 13), (5, 6, 7), (2, 9), (1, 9), (2, 2, 2)])
def test_parts_without_siblings_take_the_level_of_what_is_kept_below(seed: int, sides: tuple[int, ...]) -> None:
    image = picture(seed, sides, 2)
    assert np.array_equal(keep_branches(image), _slow_tree(image))


@pytest.mark.parametrize("filter_of", [keep_branches, fill_branches])
def test_filtering_again_changes_nothing(filter_of: object) -> None:
    assert callable(filter_of)
    once = filter_of(picture(0, (17, 19)))
    assert np.array_equal(filter_of(once), once)
    assert not np.array_equal(once, picture(0, (17, 19)))


def test_the_bright_only_falls_and_the_dark_only_rises() -> None:
    image = picture(1, (17, 19))
    assert bool((keep_branches(image) <= image).all())
    assert bool((fill_branches(image) >= image).all())


def test_a_constant_image_stays() -> None:
    flat = np.full((5, 7), 31, dtype=np.uint8)
    assert np.array_equal(keep_branches(flat), flat)
    assert torch.equal(filtered(torch.full((1, 1, 5, 7), -2.5), bright=True), torch.full((1, 1, 5, 7), -2.5))


def test_a_monotone_change_of_contrast_commutes() -> None:
    image = picture(2, (17, 19))
    table = np.sort(np.random.default_rng(0).choice(256, int(image.max()) + 1, replace=False)).astype(np.uint8)
    assert np.array_equal(keep_branches(table[image]), table[keep_branches(image)])


def test_two_peaks_on_a_hill_stay_and_a_single_one_goes() -> None:
    line = np.array([[0, 2, 5, 9, 5, 7, 3, 0, 0]], dtype=np.uint8)
    assert keep_branches(line).tolist() == [[0, 0, 0, 9, 0, 7, 0, 0, 0]]
    assert keep_branches(np.array([[0, 1, 4, 8, 2, 0]], dtype=np.uint8)).tolist() == [[0] * 6]


def test_images_are_filtered_one_by_one_on_their_own_scale() -> None:
    image = torch.from_numpy(picture(3).astype(np.float32))[None, None]
    both = torch.cat([image, image * 7 - 300])
    found = filtered(both, bright=False)
    assert torch.allclose(found[1], found[0] * 7 - 300, atol=2e-3)
    assert found.shape == both.shape


def test_twins_lose_alike_and_only_the_learner_gets_gradient() -> None:
    own = torch.randn(2, 3, 5, 7, requires_grad=True)
    peer = own.detach().clone().requires_grad_()
    one, other = cross_loss(own, peer), cross_loss(peer, own)
    assert float(one.detach()) == float(other.detach())
    assert torch.autograd.grad(one, peer, allow_unused=True)[0] is None


def test_what_the_peer_says_is_what_is_learned() -> None:
    """Less is lost by who says the same than by who says the opposite."""
    peer = torch.randn(1, 1, 5, 7, generator=torch.Generator().manual_seed(0))
    assert float(cross_loss(peer * 3, peer)) < float(cross_loss(-peer * 3, peer)) - 1
