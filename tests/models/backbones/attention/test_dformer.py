"""D-Former: what the released groups do, whom a token sees, the names of the authors' weights."""

import re
from typing import Any

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.attention import dformer
from ostensor.models.backbones.attention.dformer import DFormer, ReleasedBlock, convert, options_of
from ostensor.models.backbones.attention.rows import ROWS
from ostensor.models.blocks.windows import Layout, WindowBlock

ROW = next(row for row in ROWS if row.name == "dformer")


def tiny(**given: Any) -> DFormer:
    torch.manual_seed(0)
    net = ROW.build(3, 1, 3, given).eval()
    assert isinstance(net, DFormer)
    return net


def official(net: DFormer) -> dict[str, torch.Tensor]:
    """Our weights under the names of the released code."""
    found = {}
    for key, value in net.state_dict().items():
        key = re.sub(r"\.position\.", ".pos_block.proj.0.", key)
        key = re.sub(r"^merge\.(\d)", r"layers.\1.downsample", key)
        key = re.sub(r"^expand\.0\.", "layers_up.0.", key)
        key = re.sub(r"^expand\.(\d)", r"layers_up.\1.upsample", key)
        key = re.sub(r"^join\.", "concat_back_dim.", key)
        key = re.sub(r"^embed\.", "patch_embed.proj.", key)
        key = re.sub(r"^embed_norm\.", "patch_embed.norm.", key)
        key = re.sub(r"^heads\.(\d)\.expand\.", r"final.\1.0.", key)
        key = re.sub(r"^heads\.(\d)\.point\.", r"final.\1.1.", key)
        found[key if key.startswith("final") else f"model_down.{key}"] = value
    return found


def released(interval: int, *, dilated: bool = True, group: tuple[int, ...] = (2, 4, 4)) -> ReleasedBlock:
    torch.manual_seed(0)
    return ReleasedBlock(4, 2, group, interval=interval, dilated=dilated).eval()


def test_a_released_group_can_be_larger_than_asked_for() -> None:
    """By hand: a side of 18 is padded to 20 with interval 4; spacing 20 // 8 = 2, so that a group has 10 tokens."""
    cut = released(4, group=(2, 8, 8)).layout((4, 18, 16))
    assert (cut.window, cut.padded) == ((2, 10, 8), (4, 20, 16))


def test_a_released_map_that_is_low_is_one_local_group() -> None:
    for dilated in (False, True):
        cut = released(8, dilated=dilated).layout((1, 3, 9))
        assert cut == Layout((1, 3, 9), (1, 3, 9), (0, 0, 0))


def test_released_groups_that_do_not_divide_the_map_are_refused() -> None:
    with pytest.raises(BadCall, match="A map of 2 x 7 x 4 has no dilated groups"):
        released(1, group=(2, 3, 4)).layout((2, 7, 4))


def test_released_padding_of_the_first_axis_alone_is_seen() -> None:
    """Keys of the padding dilute the attention; elsewhere they do not, as in our groups."""
    block, x = released(4), torch.randn(1, 3, 8, 8, 4, generator=torch.Generator().manual_seed(1))
    masked = WindowBlock(4, 2, (2, 4, 4), dilated=True, biased=False).eval()
    masked.load_state_dict(block.state_dict())
    assert not torch.allclose(block(x), masked(x), atol=1e-5)
    whole = torch.cat([x, x[:, :1]], dim=1)
    assert torch.allclose(block(whole), masked(whole), atol=1e-6), "nothing pads, nothing differs"
    narrow = x[:, :, :, :6]
    assert block.layout(narrow.shape[1:-1]).masked
    assert released(4, dilated=False).layout((3, 8, 8)).masked


@pytest.mark.parametrize(("dilated", "seen"), [(False, {0, 1}), (True, {0, 3})])
def test_a_token_is_seen_next_to_it_or_far_away(dilated: bool, seen: set[int]) -> None:
    """Along an axis of 6 tokens in groups of 2: local neighbours, or one half of the side away."""
    torch.manual_seed(0)
    block = WindowBlock(4, 1, (1, 2, 1), dilated=dilated, biased=False).eval()
    x = torch.randn(1, 1, 6, 1, 4)
    changed = x.clone()
    changed[0, 0, 0, 0, 0] += 1  # one channel, as LayerNorm takes away what all share
    moved = (block(changed) - block(x)).abs().amax(dim=-1).flatten()
    assert set(torch.nonzero(moved > 1e-6).flatten().tolist()) == seen


def test_coarser_maps_answer_at_their_stride() -> None:
    net = tiny(width=8, depths=[1, 1, 1, 1], heads=[1, 1, 2, 2], side=2)
    said = net(torch.randn(1, 1, 16, 32, 16))
    assert [tuple(one.logits.shape[2:]) for one in said.aux] == [(8, 16, 8), (4, 8, 4)]
    assert said.logits.shape == (1, 3, 16, 32, 16)


def test_slabs_of_the_head_make_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    net, image = tiny(), torch.randn(2, 1, 12, 16, 8)
    with torch.no_grad():
        whole = net(image).logits
        monkeypatch.setattr(dformer, "SLAB", 2 * 2 * 8 * 4 * 8 * 24)  # two of six rows of both images
        assert torch.allclose(net(image).logits, whole, atol=1e-6)


def test_the_authors_weights_come_back_under_our_names_with_their_sizes() -> None:
    net = tiny(
        width=8, depths=[2, 1, 2, 1], heads=[1, 1, 2, 2], group=[2, 4, 4], side=2, released=True, intervals=[2, 2, 1, 1]
    )
    state = official(net)
    found = convert(state)
    assert found.keys() == net.state_dict().keys()
    assert all(torch.equal(found[key], value) for key, value in net.state_dict().items())
    sizes = options_of(state, heads=[1, 1, 2, 2], group=[2, 4, 4], intervals=[2, 2, 1, 1])
    assert {"dims", "channels", "classes", *ROW.presets["paper"]} == set(sizes)
    again = dformer.build(**sizes).eval()
    again.load_state_dict(found)
    image = torch.randn(1, 1, 16, 48, 32)
    with torch.no_grad():
        assert torch.equal(again(image).logits, net(image).logits)


def test_other_weights_and_sizes_are_refused() -> None:
    state = official(tiny())
    with pytest.raises(BadCall, match=r"final\.0\.2\.weight"):
        convert({**state, "final.0.2.weight": torch.zeros(1)})
    with pytest.raises(BadCall, match=r"'final\.0\.1\.weight' is missing"):
        options_of({key: value for key, value in state.items() if not key.startswith("final")})
    with pytest.raises(BadCall, match="side is 0 to 0"):
        tiny(side=1)
    with pytest.raises(BadCall, match="two stages or more"):
        tiny(depths=[1])
    with pytest.raises(BadCall, match="have 3 sides"):
        tiny(patch=[2, 2])
