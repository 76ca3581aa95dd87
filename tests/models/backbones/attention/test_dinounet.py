"""Dino U-Net: its frozen transformer, what is read of it, and weights by the authors' names."""

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.attention.dinounet.network import (
    DinoHead,
    DinoUNet,
    Fapm,
    convert_head,
    head_options_of,
    load_tower,
)
from ostensor.models.backbones.table import backbone

SMALL = {
    "inner": 4,
    "heads": 2,
    "points": 3,
    "ffn": 4,
    "value": 8,
    "rank": 6,
    "widths": [4, 6, 8, 10],
    "convs": [1, 2, 1],
}


def net(channels: int = 1, **options: object) -> DinoUNet:
    torch.manual_seed(0)
    made = backbone("dinounet").build(2, channels, 2, options)
    assert isinstance(made, DinoUNet)
    return made


def test_the_transformer_learns_nothing_and_stays_in_evaluation() -> None:
    made = net().train()
    assert not any(module.training for module in made.tower.modules())
    assert made.head.training
    made(torch.randn(2, 1, 64, 64)).logits.square().mean().backward()
    assert all(value.grad is None for value in made.tower.parameters())


def test_tokens_without_a_place_are_left_out_and_the_last_layer_is_what_the_transformer_answers() -> None:
    """Expected: transformers' own last state, without the class token and four registers."""
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4}
    made = net(tower={**tower, "num_register_tokens": 4}).eval()
    picture = torch.randn(1, 3, 64, 96)
    seen = made.look(picture)
    assert [tuple(one.shape) for one in seen] == [(1, 24, 32)] * 4
    with torch.no_grad():
        assert torch.allclose(seen[3], made.tower(picture).last_hidden_state[:, 5:], atol=1e-5)


def test_one_channel_is_repeated_and_other_numbers_pass_a_map() -> None:
    grey, colour, four = net(1).eval(), net(3).eval(), net(4)
    colour.load_state_dict(grey.state_dict())
    image = torch.randn(1, 1, 64, 64)
    assert torch.allclose(grey(image).logits, colour(image.expand(-1, 3, -1, -1)).logits, atol=1e-6)
    assert [name for name, _ in four.named_parameters() if name.startswith("colours")] == [
        "colours.weight",
        "colours.bias",
    ]


def test_users_transformer_takes_the_place_of_the_random_one() -> None:
    ours, theirs = net(), net()
    for value in theirs.tower.parameters():
        value.data.normal_()
    load_tower(ours, {key.removeprefix("model."): value for key, value in theirs.tower.state_dict().items()})
    assert all(torch.equal(a, b) for a, b in zip(ours.tower.parameters(), theirs.tower.parameters(), strict=True))
    assert not any(value.requires_grad for value in ours.tower.parameters())
    with pytest.raises(BadCall, match="Give a DINOv3 ViT in the layout of transformers"):
        load_tower(ours, {"norm.weight": torch.zeros(64)})


def test_shortcut_is_of_the_modulated_map() -> None:
    torch.manual_seed(1)
    layer = Fapm(8, 6, [4])
    x = torch.randn(1, 8, 5, 7)
    factor, shift = layer.film_generators[0](layer.shared_basis(x)).chunk(2, dim=1)
    own = factor * layer.specific_bases[0](x) + shift
    expected = layer.refinement_blocks[0](own) + layer.shortcut_projections[0](own)
    assert torch.allclose(layer([x])[0], expected)
    assert isinstance(Fapm(8, 6, [6]).shortcut_projections[0], torch.nn.Identity)


def test_options_are_read_from_weights_and_the_heads_that_are_given() -> None:
    head = DinoHead(16, 3, **SMALL)  # type: ignore[arg-type]  # options of any kind
    named = {}
    for key, value in head.state_dict().items():
        inside = key.startswith(("adapter.", "fapm.", "ups."))
        key = key.replace("adapter.", "dinov3_adapter.")
        key = f"decoder.{'encoder.' if inside else ''}{key}"
        for n in range(3):
            key = key.replace(f"decoder.stages.{n}.", f"decoder.stages.{n}.convs.")
        named[f"module.{key}"] = value[..., None, None] if ".fc." in key and value.dim() == 2 else value
    named["module.encoder.ups.0.up2.weight"] = torch.zeros(1)  # an alias
    named["module.decoder.encoder.dinov3_adapter.backbone.norm.weight"] = torch.zeros(1)
    own = convert_head(named)
    assert set(own) == set(head.state_dict())
    assert head_options_of(own, 2) == {"width": 16, "classes": 3, **SMALL}


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(BadCall, match=r"hold 'decoder\.stem', which is unknown here"):
        convert_head({"decoder.stem": torch.zeros(1)})
    with pytest.raises(BadCall, match=r"This is no Dino U-Net: 'adapter\.interactions\.0"):
        head_options_of({}, 16)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"taps": [0, 1, 2, 4]}, "taps: 4 layers from 0 to 3"),
        ({"widths": [8, 16, 32]}, "widths: 4 numbers"),
        ({"tower": {"patch_size": 14, "num_hidden_layers": 4}}, "patches that divide 32 pixels"),
        ({"heads": 3}, "heads: a divisor of the 32 channels"),
    ],
)
def test_options_that_make_no_network_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(BadCall, match=said):
        backbone("dinounet").build(2, 1, 2, wrong)
