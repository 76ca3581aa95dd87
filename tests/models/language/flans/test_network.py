"""FLanS: the answer turns with the picture, words steer it, and the loss is the published one."""

import dataclasses
import math

import pytest
import torch

from ostensor.models.blocks.square import ELEMENTS, apply_element
from ostensor.models.language.flans.decoder import DecoderConfig
from ostensor.models.language.flans.image import EncoderConfig
from ostensor.models.language.flans.network import MINI, OFFICIAL, Flans, FlansConfig, mask_losses
from ostensor.models.language.flans.symmetry import ScorerConfig
from ostensor.models.language.flans.text import TowerConfig

TINY = FlansConfig(
    encoder=EncoderConfig(64, 8, 24, 2, 2, 2.0, (1,), 3, 32),
    decoder=DecoderConfig(32, 2, 2, 24, 16, 8),
    tower=TowerConfig(31, 20, 24, 2, 2, 7),
    text=20,
    tokens=7,
    intentions=5,
    scorer=ScorerConfig(channels=4, pool=2, grid=4),
)


def _net(config: FlansConfig = TINY, seed: int = 0) -> Flans:
    """Random weights everywhere, position tables and biases included, and strong enough to differ."""
    torch.manual_seed(seed)
    net = Flans(config)
    for value in net.parameters():
        if value.requires_grad:
            torch.nn.init.normal_(value, std=0.3)
    return net.eval()


def _inputs(net: Flans, batch: int = 2, sentences: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    side = net.config.encoder.size
    return (
        torch.rand(batch, 3, side, side, generator=generator),
        torch.randn(batch, sentences, net.config.tokens, net.config.text, generator=generator),
    )


def test_the_prediction_turns_and_mirrors_with_the_picture() -> None:
    net = _net()
    picture, states = _inputs(net)
    with torch.no_grad():
        plain, _ = net(picture, states, canonical=True)
        assert plain.std() > 0.05
        for h in range(ELEMENTS):
            moved, _ = net(apply_element(h, picture), states, canonical=True)
            assert torch.allclose(moved, apply_element(h, plain), atol=1e-4), h


def test_the_published_inverse_order_breaks_mirrored_odd_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mirroring back before turning back is right for everything but elements 5 and 7 (spec §10)."""
    from ostensor.models.blocks import square

    def wrong(element: int, picture: torch.Tensor) -> torch.Tensor:
        moved = picture.flip(-1) if element >= 4 else picture
        return moved.rot90(-(element % 4), (-2, -1))

    picture = torch.rand(1, 1, 6, 6)
    broken = [h for h in range(8) if not torch.equal(wrong(h, apply_element(h, picture)), picture)]
    assert broken == [5, 7]
    net = _net()
    picture, states = _inputs(net)
    errors = []
    monkeypatch.setattr(square, "undo_element", wrong)
    with torch.no_grad():
        for h in range(ELEMENTS):
            weights = torch.zeros(2, 8)
            weights[:, h] = 1
            upright = net.decode(net.encode(picture), states[:, 0])
            given = net.decode(net.encode(apply_element(h, picture), weights), states[:, 0])
            errors.append(float((given - apply_element(h, upright)).abs().max()))
    assert min(errors[5], errors[7]) > 0.01 > 1e-4 > max(errors[:5] + errors[6:7])


def test_without_the_canonicaliser_nothing_turns_with_the_picture() -> None:
    net = _net()
    picture, states = _inputs(net)
    with torch.no_grad():
        plain, scores = net(picture, states)
        moved, _ = net(apply_element(3, picture), states)
    assert scores is None
    assert (moved - apply_element(3, plain)).abs().max() > 0.05


def test_each_picture_may_have_the_canonicaliser_on_or_off() -> None:
    net = _net()
    picture, states = _inputs(net)
    with torch.no_grad():
        mixed, _ = net(picture, states, canonical=torch.tensor([True, False]))
        on, _ = net(picture, states, canonical=True)
        off, _ = net(picture, states)
    assert torch.allclose(mixed[0], on[0], atol=1e-5)
    assert torch.allclose(mixed[1], off[1], atol=1e-5)


def test_the_mask_loss_reaches_the_scorer() -> None:
    net = _net()
    picture, states = _inputs(net)
    logits, _ = net(picture, states, canonical=True)
    sum(mask_losses(logits, torch.zeros_like(logits)).values()).backward()  # type: ignore[union-attr]
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in net.canonicaliser.parameters())


def test_the_language_model_is_frozen_and_the_head_learns() -> None:
    net = _net()
    picture, _ = _inputs(net)
    states = net.read(torch.randint(0, 31, (2, 7)))
    logits, _ = net(picture, states[:, None])
    logits.square().mean().backward()
    assert all(value.grad is None for value in net.prompt_encoder.text_encoder.parameters())
    assert net.prompt_encoder.text_encoder_head.weight.grad.abs().sum() > 0


def test_every_token_enters_the_decoder_padding_included() -> None:
    """77 x 256 in the original: as many prompts as tokens, and each one, the last too, changes the mask."""
    net = _net()
    picture, states = _inputs(net)
    seen = []
    net.mask_decoder.register_forward_pre_hook(lambda _module, args: seen.append(args[2].shape))
    with torch.no_grad():
        plain, _ = net(picture, states)
        for token in range(TINY.tokens):
            other = states.clone()
            other[:, :, token] += 1
            assert (net(picture, other)[0] - plain).abs().max() > 1e-3
    assert seen[0] == (6, TINY.tokens, TINY.decoder.width)


def test_sentences_are_answered_independently() -> None:
    net = _net()
    picture, states = _inputs(net)
    with torch.no_grad():
        together, _ = net(picture, states)
        alone, _ = net(picture, states[:, 1:2])
    assert torch.allclose(together[:, 1:2], alone, atol=1e-5)
    assert (together[:, 0] - together[:, 1]).abs().max() > 0.01


def test_the_loss_is_ten_dice_and_cross_entropy() -> None:
    """By hand: two of four pixels right at probability 1/2 each, then an empty target."""
    logits = torch.zeros(1, 1, 2, 2)
    target = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    terms = mask_losses(logits, target)
    assert float(terms["dice"]) == pytest.approx(10 * (1 - (2 * 1 + 1) / (4 * 0.25 + 2 + 1)))
    assert float(terms["cross_entropy"]) == pytest.approx(math.log(2))
    empty = mask_losses(torch.full((1, 1, 2, 2), -30.0), torch.zeros(1, 1, 2, 2))
    assert float(empty["dice"]) == pytest.approx(0, abs=1e-6)
    assert all(bool(torch.isfinite(value)) for value in mask_losses(logits, torch.zeros(1, 1, 2, 2)).values())


def test_wrong_pictures_and_missing_parts_are_refused() -> None:
    net = _net(dataclasses.replace(TINY, scorer=None))
    with pytest.raises(ValueError, match="no canonicaliser"):
        net(*_inputs(net), canonical=True)
    with pytest.raises(ValueError, match="3 x 64 x 64"):
        net.encode(torch.zeros(1, 3, 64, 72))
    with pytest.raises(ValueError, match="8 tokens"):
        net.read(torch.zeros(1, 8, dtype=torch.long))
    with pytest.raises(ValueError, match="8 pixels"):
        Flans(dataclasses.replace(TINY, encoder=dataclasses.replace(TINY.encoder, patch=16, trunk=(8, 8, 16, 24, 24))))


def test_the_official_sizes_have_the_published_number_of_parameters() -> None:
    """SAM ViT-B: 89,670,912 + 4,058,340 + 6,220 = 93,735,472; CLIP ViT-B/16 text side: 63,165,952."""
    with torch.device("meta"):
        net = Flans(OFFICIAL)
    count = {
        name: sum(value.numel() for value in part.parameters())
        for name, part in (("image", net.image_encoder), ("mask", net.mask_decoder), ("prompt", net.prompt_encoder))
    }
    tower = sum(value.numel() for value in net.prompt_encoder.text_encoder.parameters())
    head = sum(value.numel() for value in net.prompt_encoder.text_encoder_head.parameters())
    assert count["image"] + count["mask"] + count["prompt"] - tower - head == 93_735_472
    assert tower == 63_165_952
    assert head == 512 * 256 + 256


def test_the_small_one_is_within_the_specs_size_and_survives_json() -> None:
    with torch.device("meta"):
        assert sum(value.numel() for value in Flans(MINI).parameters()) < 2.5e6
    assert FlansConfig.from_json(MINI.to_json()) == MINI
    assert FlansConfig.from_json(OFFICIAL.to_json()) == OFFICIAL
