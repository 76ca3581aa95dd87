"""Windows against einops, MONAI and what a crop of the map gives."""

import itertools

import pytest
import torch
from einops import rearrange
from monai.networks.nets import swin_unetr

from ostensor.models.blocks.swin import PatchExpand, PatchMerging, SwinEncoder
from ostensor.models.blocks.windows import (
    Layout,
    WindowAttention,
    WindowBlock,
    cut_tokens,
    join,
    pad_tokens,
    partition,
    relative_index,
)

LOCAL = "b (d g) (h i) (w j) c -> (b d h w) (g i j) c"
DILATED = "b (g d) (i h) (j w) c -> (b d h w) (g i j) c"


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("dilated", "pattern"), [(False, LOCAL), (True, DILATED)])
def test_windows_are_those_of_the_einops_pattern_and_come_back(dilated: bool, pattern: str) -> None:
    x, window = noise(2, 4, 9, 10, 3), (2, 3, 5)
    windows = partition(x, window, dilated=dilated)
    assert torch.equal(windows, rearrange(x, pattern, g=2, i=3, j=5))
    assert torch.equal(join(windows, window, (4, 9, 10), dilated=dilated), x)


@pytest.mark.parametrize("dilated", [False, True])
def test_windows_of_an_image_come_back(dilated: bool) -> None:
    x = noise(2, 6, 35, 2)
    windows = partition(x, (3, 7), dilated=dilated)
    assert windows.shape == (2 * 2 * 5, 21, 2)
    assert torch.equal(join(windows, (3, 7), (6, 35), dilated=dilated), x)
    second = x[0, 1::2, 0::5] if dilated else x[0, 3:6, 0:7]
    assert torch.equal(windows[5], second.reshape(21, 2))


def test_padding_is_at_the_ends_and_cut_off_again() -> None:
    x = noise(1, 2, 3, 5, 4)
    grown = pad_tokens(x, (4, 3, 7))
    assert grown.shape == (1, 4, 3, 7, 4)
    assert torch.equal(cut_tokens(grown, (2, 3, 5)), x)
    assert torch.count_nonzero(grown) == x.numel()


def test_each_offset_has_a_row_of_its_own() -> None:
    """By brute force over pairs; MONAI's index for the same window is the same."""
    window = (2, 3, 4)
    index = relative_index(window, window)
    rows: dict[tuple[int, ...], int] = {}
    for (a, one), (b, other) in itertools.product(enumerate(itertools.product(*map(range, window))), repeat=2):
        offset = tuple(p - q for p, q in zip(one, other, strict=True))
        assert rows.setdefault(offset, int(index[a, b])) == index[a, b]
    assert sorted(rows.values()) == list(range(3 * 5 * 7))
    theirs = swin_unetr.WindowAttention(4, 1, window)
    assert torch.equal(index, theirs.relative_position_index)


def test_a_smaller_window_reads_the_same_rows_for_the_same_offsets() -> None:
    whole, part = relative_index((3, 5), (3, 5)), relative_index((2, 4), (3, 5))
    places = torch.arange(15).reshape(3, 5)[:2, :4].flatten()
    assert torch.equal(part, whole[places][:, places])


def test_colliding_rows_are_those_of_the_strides_3w_1_and_2w_1() -> None:
    """Computed by hand for w = 2: rows 0..2 of the first axis weigh 5, of the second 3, of the third 1."""
    index = relative_index((2, 2, 2), (2, 2, 2), colliding=True)
    assert index[0, 0] == 5 + 3 + 1
    assert index[0, 7] == 0
    assert index[7, 0] == 2 * (5 + 3 + 1)
    assert index[4, 3] == 10  # offset (1, -1, -1)
    assert index[1, 4] == 0 * 5 + 1 * 3 + 2  # offset (-1, 0, 1)
    assert len(index.unique()) < 27


def test_attention_equals_that_of_monai() -> None:
    torch.manual_seed(0)
    theirs, ours = swin_unetr.WindowAttention(12, 3, (2, 3), qkv_bias=True).eval(), WindowAttention(12, 3, (2, 3))
    state = theirs.state_dict()
    state.pop("relative_position_index")
    state["table"] = state.pop("relative_position_bias_table")
    ours.load_state_dict(state)
    x = noise(8, 6, 12)
    mask = torch.tensor([[0, 0, 1, 1, 2, 2], [0] * 6, [0, 1] * 3, [3] * 6])
    apart = (mask[:, :, None] != mask[:, None]).float() * -1000
    same = Layout((2, 3), (4, 6), (0, 0))
    assert torch.allclose(ours(x, same, None), theirs(x, None), atol=1e-5)
    assert torch.allclose(ours(x, same, mask), theirs(x, apart), atol=1e-5)


@pytest.mark.parametrize("sides", [(8, 12), (4, 6, 10)])
def test_shifted_windows_are_parted_as_in_monai(sides: tuple[int, ...]) -> None:
    window, shift = (4,) * len(sides), (2,) * len(sides)
    if len(sides) == 3:
        window, shift = (2, 3, 5), (1, 1, 2)
    labels = Layout(window, sides, shift).labels(sides)
    assert labels is not None
    theirs = swin_unetr.compute_mask(list(sides), window, shift, "cpu")
    assert torch.equal(labels[:, None, :] != labels[:, :, None], theirs != 0)


@pytest.mark.parametrize("biased", [False, True])
def test_what_pads_a_window_has_no_influence(biased: bool) -> None:
    """The last window of a map holds (1, 3) tokens; a map of only these gives the same."""
    torch.manual_seed(0)
    block = WindowBlock(8, 2, (4, 4), biased=biased).eval()
    x = noise(2, 5, 7, 8)
    assert torch.allclose(block(x)[:, 4:, 4:], block(x[:, 4:, 4:]), atol=1e-5)
    assert torch.allclose(block(x)[:, :4, :4], block(x[:, :4, :4]), atol=1e-5)
    seen = WindowBlock(8, 2, (4, 4), biased=biased, masked=False).eval()
    seen.load_state_dict(block.state_dict())
    assert not torch.allclose(seen(x)[:, 4:, 4:], block(x)[:, 4:, 4:], atol=1e-4)


def test_a_dilated_window_of_nothing_but_padding_gives_no_nan_and_no_gradient_of_nan() -> None:
    class Wide(WindowBlock):
        def layout(self, sides: tuple[int, ...]) -> Layout:  # type: ignore[override]
            return Layout((4, 4), (8, 8), (0, 0), dilated=True)

    block = Wide(4, 2, (4, 4), biased=False)
    out = block(noise(1, 1, 3, 4))
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(one.grad).all() for one in block.parameters() if one.grad is not None)


def test_a_shifted_block_moves_with_the_map() -> None:
    """Shifted windows of a map are the plain windows of its middle."""
    torch.manual_seed(0)
    shifted, plain = WindowBlock(8, 2, (2, 4), shifted=True).eval(), WindowBlock(8, 2, (2, 4)).eval()
    plain.load_state_dict(shifted.state_dict())
    x = noise(1, 6, 12, 8)
    assert torch.allclose(shifted(x)[:, 1:5, 2:10], plain(x[:, 1:5, 2:10]), atol=1e-5)


@pytest.mark.parametrize("first", [False, True])
def test_merging_orders_neighbours(first: bool) -> None:
    merge = PatchMerging(2, 3, 12, first_fastest=first)
    merge.reduction.weight = torch.nn.Parameter(torch.eye(12))
    merge.norm = torch.nn.Identity()  # type: ignore[assignment]
    x = noise(2, 6, 10, 3)
    pattern = "b (h p) (w q) c -> b h w (q p c)" if first else "b (h p) (w q) c -> b h w (p q c)"
    assert torch.equal(merge(x), rearrange(x, pattern, p=2, q=2))


def test_expanding_is_the_einops_shuffle() -> None:
    expand = PatchExpand(5, 4, (2, 3, 1))
    x = noise(2, 3, 2, 7, 5)
    shuffled = rearrange(expand.expand(x), "b x y z (i j k c) -> b (x i) (y j) (z k) c", i=2, j=3, k=1)
    assert torch.allclose(expand(x), expand.norm(shuffled), atol=1e-6)


def test_the_encoder_has_one_map_for_each_stage() -> None:
    torch.manual_seed(0)
    net = SwinEncoder(3, 2, (8, 16, 24), (1, 2, 1), (1, 2, 3), (2, 2, 2), patch=2)
    assert [tuple(x.shape) for x in net(noise(1, 2, 8, 16, 24))] == [
        (1, 8, 4, 8, 12),
        (1, 16, 2, 4, 6),
        (1, 24, 1, 2, 3),
    ]
    with pytest.raises(ValueError, match="for every stage"):
        SwinEncoder(2, 1, (8, 16), (1,), (1, 1), (2, 2))
    with pytest.raises(ValueError, match="3 heads do not divide 8 channels"):
        SwinEncoder(2, 1, (8,), (1,), (3,), (2,))
