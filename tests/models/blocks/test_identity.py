"""Fair identity attention: whom it asks for, what it may depend on, and what it refuses."""

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.blocks.identity import UNKNOWN, IdentityAttention


def made(depth: int = 1, unknown: float = 0.2) -> IdentityAttention:
    torch.manual_seed(0)
    return IdentityAttention(15, 8, 2, attributes=3, depth=depth, unknown=unknown).eval()


def maps() -> torch.Tensor:
    return torch.randn(3, 8, 5, 3, generator=torch.Generator().manual_seed(1))


def test_an_attribute_changes_its_own_sample_only() -> None:
    block, x = made(2), maps()
    with torch.no_grad():
        one, other = block(x, torch.tensor([0, 1, 2])), block(x, torch.tensor([0, 2, 2]))
    assert torch.equal(one[[0, 2]], other[[0, 2]])
    assert not torch.allclose(one[1], other[1], atol=1e-3)


def test_one_layer_is_torchs_attention_with_the_attribute_as_its_query() -> None:
    """Against `nn.MultiheadAttention` with our weights, written out around it."""
    block, x = made(), maps()
    layer = block.layers[0]
    whole = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    weights = {
        "in_proj_weight": torch.cat([layer.q.weight, layer.kv.weight]),
        "in_proj_bias": torch.cat([layer.q.bias, layer.kv.bias]),
        "out_proj.weight": layer.out.weight, "out_proj.bias": layer.out.bias,
    }  # fmt: skip
    whole.load_state_dict(weights)
    with torch.no_grad():
        tokens = x.flatten(2).mT + block.place
        asking = layer.norm_asked(block.attribute.weight[[2, 0, 1]][:, None] + block.place_asking)
        keys = layer.norm(tokens)
        y = whole(asking, keys, keys)[0] + tokens
        expected = block.norm(y + layer.mlp(layer.norm_mlp(y))).mT.reshape(x.shape)
        assert torch.allclose(block(x, torch.tensor([2, 0, 1])), expected, atol=1e-6)


def test_keys_are_a_set() -> None:
    """Tokens put elsewhere together with their positions change no answer to a query."""
    layer = made().layers[0]
    generator = torch.Generator().manual_seed(5)
    tokens, asking = torch.randn(2, 15, 8, generator=generator), torch.randn(2, 15, 8, generator=generator)
    order = torch.randperm(15, generator=generator)
    with torch.no_grad():
        layer.mlp[2].weight.zero_()
        layer.mlp[2].bias.zero_()  # the attention alone
        plain = layer(tokens, asking) - tokens
        moved = layer(tokens[:, order], asking) - tokens[:, order]
    assert torch.allclose(plain, moved, atol=1e-6)


def test_hidden_ids_teach_the_unknown_one() -> None:
    block = made(unknown=1.0).train()
    block(maps(), torch.tensor([0, 1, 2])).square().sum().backward()
    grad = block.attribute.weight.grad
    assert grad is not None
    assert grad[:3].abs().sum() == 0
    assert grad[3].abs().sum() > 0
    with torch.no_grad():
        unknown = block.eval()(maps(), torch.full((3,), UNKNOWN))
        assert not torch.allclose(unknown, block(maps(), torch.zeros(3, dtype=torch.long)), atol=1e-3)


def test_other_places_and_ids_are_refused() -> None:
    with pytest.raises(BadCall, match="16 places, and the block's tables 15"):
        made()(torch.zeros(1, 8, 4, 4), torch.zeros(1, dtype=torch.long))
    with pytest.raises(BadCall, match="run from -1 to 2"):
        made()(maps(), torch.tensor([0, 3, 1]))
    with pytest.raises(BadCall, match="run from 0 to 2"):
        made(unknown=0.0)(maps(), torch.tensor([0, UNKNOWN, 1]))
