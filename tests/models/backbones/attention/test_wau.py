"""WAU: who asks whom, padding, the places of the bias."""

import itertools

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.attention.rows import ROWS
from ostensor.models.backbones.attention.wau import WindowUpsample, cross_index

ROW = next(row for row in ROWS if row.name == "wau")


def upsample(dims: int = 2, window: int = 4) -> WindowUpsample:
    torch.manual_seed(0)
    up = WindowUpsample(dims, 6, 4, 2, window).eval()
    with torch.no_grad():
        up.table.normal_()
    return up


@pytest.mark.parametrize(("sides", "dims"), [((14, 10), 2), ((5, 3, 6), 3), ((2, 3), 2)])
def test_the_answer_has_twice_the_sides_of_any_map(sides: tuple[int, ...], dims: int) -> None:
    up = upsample(dims)
    out = up(torch.randn(2, 6, *sides), torch.randn(2, 4, *(2 * side for side in sides)))
    assert out.shape == (2, 4, *(2 * side for side in sides))


def test_each_offset_between_a_fine_and_a_coarse_token_has_a_row_of_its_own() -> None:
    """By brute force: the offset on every axis is i - 2j, and rows are numbered with the last axis fastest."""
    table = (2, 3)
    index = cross_index(table, table)
    assert index.shape == (4 * 6, 2 * 3)
    fine, coarse = list(itertools.product(range(4), range(6))), list(itertools.product(range(2), range(3)))
    for (a, one), (b, other) in itertools.product(enumerate(fine), enumerate(coarse)):
        row, column = (i - 2 * j + 2 * (most - 1) for i, j, most in zip(one, other, table, strict=True))
        assert index[a, b] == row * 10 + column
    small = cross_index((1, 2), table)
    kept = [n for n, (i, j) in enumerate(fine) if i < 2 and j < 4]
    assert torch.equal(small, index[kept][:, [0, 1]])


def test_a_window_sees_its_own_place_only() -> None:
    """A change of a coarse token reaches the fine tokens of its window, and the resized map's neighbours, no further."""
    up = upsample(window=2)
    with torch.no_grad():
        up.residual.weight.zero_()
        up.residual.bias.zero_()
    x, skip = torch.randn(1, 6, 6, 6), torch.randn(1, 4, 12, 12)
    changed = x.clone()
    changed[0, 0, 2, 3] += 1
    moved = (up(changed, skip) - up(x, skip)).abs().amax(dim=(0, 1)) > 1e-7
    expected = torch.zeros(12, 12, dtype=torch.bool)
    expected[4:8, 4:8] = True
    assert torch.equal(moved, expected)


def test_what_pads_a_window_has_no_influence() -> None:
    """The last window of the map, taken by itself, gives the same."""
    up = upsample()
    x, skip = torch.randn(2, 6, 6, 5), torch.randn(2, 4, 12, 10)
    with torch.no_grad():
        up.residual.weight.zero_()
        whole, alone = up(x, skip), up(x[:, :, 4:, 4:], skip[:, :, 8:, 8:])
    assert torch.allclose(whole[:, :, 8:, 8:], alone, atol=1e-5)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(BadCall, match="3 heads do not divide 16 channels"):
        ROW.build(2, 1, 2, {"heads": [3, 2]})
    with pytest.raises(BadCall, match="heads one number less"):
        ROW.build(2, 1, 2, {"heads": [1]})
    with pytest.raises(BadCall, match="window is 1 or more, not 0"):
        ROW.build(2, 1, 2, {"window": 0})
