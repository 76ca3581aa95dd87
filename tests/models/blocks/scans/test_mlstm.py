"""Three forms of the matrix LSTM against each other in double precision, and the block's laws."""

import pytest
import torch
import torch.nn.functional as F

from ostensor.models.blocks.scans.mlstm import (
    BlockDiagonal,
    OffsetNorm,
    ViLBlock,
    mlstm,
    mlstm_by_steps,
    mlstm_in_parallel,
)


def given(length: int, gates: float, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(length)
    q, k, v = (torch.randn(2, 3, length, 5, generator=g, dtype=dtype) for _ in range(3))
    i, f = (torch.randn(2, 3, length, generator=g, dtype=dtype) * gates for _ in range(2))
    return [q, k, v, i, f]


@pytest.mark.parametrize("gates", [0.1, 3.0, 10.0])
@pytest.mark.parametrize("length", [1, 7, 64, 150])
def test_three_forms_say_the_same(length: int, gates: float) -> None:
    """Expected: the recurrence as it is written; chunks of 64 and of a length that does not divide."""
    values = given(length, gates)
    slow = mlstm_by_steps(*values)
    assert torch.allclose(mlstm_in_parallel(*values), slow, atol=1e-8, rtol=1e-6)
    assert torch.allclose(mlstm(*values), slow, atol=1e-8, rtol=1e-6)
    assert torch.allclose(mlstm(*values, chunk=11), slow, atol=1e-8, rtol=1e-6)


def test_the_recurrence_is_that_of_the_equations_without_their_scaling() -> None:
    """Expected: C, n and h with small gates, where nothing needs scaling; max(|n.q|, 1) is 1/exp(-m) of the scaled form."""
    q, k, v, i, f = given(9, 0.1)
    k = k / 5**0.5
    memory, seen, said = torch.zeros(2, 3, 5, 5, dtype=q.dtype), torch.zeros(2, 3, 5, dtype=q.dtype), []
    for t in range(9):
        keep, write = torch.sigmoid(f[:, :, t, None]), torch.exp(i[:, :, t, None])
        memory = keep[..., None] * memory + write[..., None] * v[:, :, t, :, None] * k[:, :, t, None, :]
        seen = keep * seen + write * k[:, :, t]
        mass = (seen * q[:, :, t]).sum(-1, keepdim=True).abs().clamp(min=1.0)
        said.append((memory @ q[:, :, t, :, None]).squeeze(-1) / mass)
    expected = torch.stack(said, dim=2)
    assert torch.allclose(mlstm(*given(9, 0.1)), expected, rtol=1e-5, atol=1e-6)


def test_gradients_agree_with_finite_differences() -> None:
    values = [x[:1, :2, :, :3].contiguous() if x.dim() == 4 else x[:1, :2].contiguous() for x in given(7, 1.0)]
    assert torch.autograd.gradcheck(lambda *x: mlstm(*x, chunk=3), [x.requires_grad_() for x in values])


def test_extreme_gates_stay_finite_with_their_gradients() -> None:
    for sign in (1.0, -1.0):
        values = [x.requires_grad_() for x in given(130, 0.0, torch.float32)]
        with torch.no_grad():
            values[3].fill_(sign * 200)
            values[4].fill_(-sign * 200)
        said = mlstm(*values)
        said.sum().backward()
        assert torch.isfinite(said).all()
        assert all(x.grad is not None and torch.isfinite(x.grad).all() for x in values)


def test_cell_is_in_single_precision_under_autocast() -> None:
    values = given(70, 1.0, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(mlstm(*values), mlstm(*[x.float() for x in values]))


def test_norm_is_a_layer_norm_whose_weight_is_stored_from_one() -> None:
    x = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(1))
    norm = OffsetNorm(12, groups=3)
    with torch.no_grad():
        norm.weight.copy_(torch.arange(12.0))
    per_head = F.group_norm(x.flatten(0, 1), 3, torch.arange(12.0) + 1, eps=1e-5).reshape(2, 5, 12)
    assert torch.allclose(norm(x), per_head, atol=1e-4)


def test_block_diagonal_map_mixes_neighbours_only() -> None:
    layer = BlockDiagonal(8, 4)
    dense = torch.block_diag(*layer.weight.detach())
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(layer(x), x @ dense.T, atol=1e-6)


def test_a_block_reads_from_either_end() -> None:
    torch.manual_seed(3)
    down = ViLBlock(12)
    up = ViLBlock(12, backwards=True)
    up.load_state_dict(down.state_dict())
    x = torch.randn(2, 9, 12)
    changed = x.clone()
    changed[:, 5:] = torch.randn(2, 4, 12)
    assert torch.allclose(down(x)[:, :5], down(changed)[:, :5], atol=1e-6)
    assert not torch.allclose(up(x)[:, :5], up(changed)[:, :5], atol=1e-4)
    assert torch.allclose(up(x.flip(1)).flip(1), down(x), atol=1e-6)


def test_heads_are_two_where_four_does_not_divide_and_odd_widths_are_refused() -> None:
    assert ViLBlock(14).layer.mlstm_cell.heads == 2
    assert ViLBlock(16).layer.mlstm_cell.heads == 4
    with pytest.raises(ValueError, match="even number of channels wide, not 15"):
        ViLBlock(15)
