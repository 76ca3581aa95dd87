"""The Mamba layer against transformers' and the laws of its directions."""

import numpy as np
import pytest
import torch
from transformers import MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer

from ostensor.imaging.errors import BadCall
from ostensor.models.blocks.scans.directions import DIRECTIONS, directions_for, visiting_orders
from ostensor.models.blocks.scans.mamba import STEPS, Mamba1D, from_orders, in_orders


def tokens(length: int = 37, width: int = 24) -> torch.Tensor:
    return torch.randn(2, length, width, generator=torch.Generator().manual_seed(5))


def test_layer_is_that_of_transformers() -> None:
    """Same weights by the same names, same answer; 48 wide it has the 19 680 parameters that transformers' has."""
    torch.manual_seed(0)
    theirs = MambaMixer(
        MambaConfig(hidden_size=24, state_size=16, conv_kernel=4, expand=2, use_bias=False, use_conv_bias=True),
        layer_idx=0,
    ).eval()
    ours = Mamba1D(24)
    ours.load_state_dict(theirs.state_dict())
    x = tokens()
    with torch.no_grad():
        assert torch.allclose(ours(x), theirs(x), atol=1e-5, rtol=1e-5)
    assert sum(value.numel() for value in Mamba1D(48).parameters()) == 19_680


def test_a_token_is_not_told_of_later_ones_unless_there_is_a_way_back() -> None:
    x = tokens()
    changed = x.clone()
    changed[:, 20:] += 1
    torch.manual_seed(1)
    one, both = Mamba1D(24), Mamba1D(24, directions="bidir")
    assert torch.allclose(one(x)[:, :20], one(changed)[:, :20], atol=1e-6)
    assert not torch.allclose(both(x)[:, :20], both(changed)[:, :20], atol=1e-3)


def test_bidir_with_equal_weights_commutes_with_turning_the_tokens_round() -> None:
    torch.manual_seed(2)
    layer = Mamba1D(24, directions="bidir")
    turned = Mamba1D(24, directions="bidir")
    turned.load_state_dict(swapped(layer.state_dict(), 2, [1, 0]))
    x = tokens()
    assert torch.allclose(turned(x.flip(1)), layer(x).flip(1), atol=1e-5)


def test_cross2d_commutes_with_transposing_the_image_when_rows_and_columns_swap_their_weights() -> None:
    """The spec's permutation check; sides are unequal, so that swapped axes would be seen."""
    torch.manual_seed(3)
    layer, other = Mamba1D(24, directions="cross2d"), Mamba1D(24, directions="cross2d")
    other.load_state_dict(swapped(layer.state_dict(), 4, [1, 0, 3, 2]))
    image = tokens(35).transpose(1, 2).unflatten(2, (5, 7))
    straight = layer(image.flatten(2).transpose(1, 2), (5, 7)).transpose(1, 2).unflatten(2, (5, 7))
    flat = image.transpose(2, 3).flatten(2).transpose(1, 2)
    crossed = other(flat, (7, 5)).transpose(1, 2).unflatten(2, (7, 5))
    assert torch.allclose(crossed.transpose(2, 3), straight, atol=1e-5)
    assert not torch.allclose(
        layer(flat, (7, 5)).transpose(1, 2).unflatten(2, (7, 5)).transpose(2, 3), straight, atol=1e-3
    )


def swapped(state: dict[str, torch.Tensor], passes: int, order: list[int]) -> dict[str, torch.Tensor]:
    """A layer's weights with those of its passes in another order."""
    shared = ("in_proj", "out_proj")
    return {
        key: value if key.startswith(shared) else value.unflatten(0, (passes, -1))[order].flatten(0, 1)
        for key, value in state.items()
    }


@pytest.mark.parametrize("row", DIRECTIONS, ids=lambda row: row.name)
def test_every_pass_visits_every_token_and_the_orders_are_undone(row: object) -> None:
    for name, dims in [(one.name, dims) for one in DIRECTIONS if one is row for dims in one.dims]:
        sides = (3, 5, 2)[:dims]
        found = directions_for(name, dims)
        orders = visiting_orders(found, sides)
        assert orders.shape == (found.passes, np.prod(sides))
        assert all(sorted(order) == list(range(np.prod(sides))) for order in orders)
        assert len({tuple(order) for order in orders}) == found.passes
        x = torch.arange(np.prod(sides), dtype=torch.float32)[None, None]
        assert torch.equal(from_orders(in_orders(x, name, sides), name, sides), found.passes * x)


def test_orders_are_rows_columns_and_their_ends() -> None:
    """Of the image ((0 1 2) (3 4 5)), by hand."""
    assert visiting_orders(directions_for("cross2d", 2), (2, 3)).tolist() == [
        [0, 1, 2, 3, 4, 5],
        [0, 3, 1, 4, 2, 5],
        [5, 4, 3, 2, 1, 0],
        [5, 2, 4, 1, 3, 0],
    ]


def test_directions_that_are_not_for_these_images_are_refused() -> None:
    with pytest.raises(ValueError, match="'cross2d' is not for 3 dimensions, take one of fwd, bidir, planes3d"):
        Mamba1D(8, directions="cross2d", dims=3)
    with pytest.raises(BadCall, match="Unknown choice of directions 'bidirectional'"):
        Mamba1D(8, directions="bidirectional")


def test_a_fresh_layer_takes_steps_as_the_paper_starts_them_and_marks_what_is_not_decayed() -> None:
    torch.manual_seed(4)
    layer = Mamba1D(64)
    steps = torch.nn.functional.softplus(layer.dt_proj.bias.detach())
    assert STEPS[0] * 0.99 <= float(steps.min()) < 3e-3
    assert 0.03 < float(steps.max()) <= STEPS[1] * 1.01
    assert torch.allclose(-torch.exp(layer.A_log.detach())[0], -torch.arange(1.0, 17.0))
    assert {name for name, value in layer.named_parameters() if getattr(value, "_no_weight_decay", False)} == {
        "A_log",
        "D",
    }


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_an_engine_says_the_same_of_tokens_that_do_not_fill_the_last_chunk() -> None:
    """OpenVINO in float32, of eight tokens in chunks of three."""
    openvino = pytest.importorskip("openvino")
    torch.manual_seed(6)
    layer = Mamba1D(24).eval()
    x = tokens(8)
    with torch.no_grad():
        model = openvino.convert_model(layer, example_input=tokens(8) + 1)
        engine = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        assert torch.allclose(torch.from_numpy(engine(x.numpy())[0]), layer(x), atol=1e-4)
