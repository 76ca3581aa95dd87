"""finetune-SAM: how many weights each recipe teaches, which of them get a gradient, what starts as nothing, and what is merged."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from ostensor.models.blocks.sam.decoder import DecoderConfig, TwoWayBlock
from ostensor.models.blocks.sam.sam import Sam
from ostensor.models.blocks.sam.vit import EncoderConfig
from ostensor.models.labelled.finetunesam.network import ClassSam, ClassSamConfig, Recipe, merge
from ostensor.models.labelled.finetunesam.tuning import Lora, adapt_decoder_

SMALL = ClassSamConfig(3, EncoderConfig(48, 8, 24, 5, 3, 2.0, (1,), 4, 16), DecoderConfig(16, 2, 4, 20, 12, 8))
RECIPES = [(part, way) for part in ("decoder", "encoder+decoder") for way in ("vanilla", "adapter", "lora")]
PICTURES = torch.rand(2, 1, 48, 48, generator=torch.Generator().manual_seed(5))


def _net(part: str, way: str) -> ClassSam:
    torch.manual_seed(0)
    net = ClassSam(replace(SMALL, recipe=Recipe(part, way, 2)))  # type: ignore[arg-type]  # one of the table
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.2)
    return net.eval()


def _learned(part: str, way: str) -> int:
    with torch.device("meta"):
        net = ClassSam(ClassSamConfig(1, recipe=Recipe(part, way)))  # type: ignore[arg-type]  # one of the table
    classes = sum(
        value.numel() for name, value in net.named_parameters() if "mask_tokens" in name or "hypernet" in name
    )
    return sum(value.numel() for value in net.parameters() if value.requires_grad) - classes


def test_what_learns_in_sam_vit_b_is_as_many_weights_as_the_description_says() -> None:
    """Counted from the widths: bottlenecks of a quarter, two in each of four blocks of 768 and of two blocks of 256; rank 4 on queries and values.

    SAM ViT-B has 89.67 M weights in its encoder (facebookresearch/segment-anything).
    """

    def bottleneck(width: int) -> int:
        inner = width // 4
        return width * inner + inner + inner * width + width

    assert _learned("decoder", "adapter") == 2 * 2 * bottleneck(256)
    assert _learned("encoder+decoder", "adapter") == 2 * 2 * bottleneck(256) + 4 * 2 * bottleneck(768)
    encoder = 12 * 2 * 4 * (768 + 768)
    decoder = 2 * (2 * 4 * (256 + 256) + 2 * 2 * 4 * (256 + 128)) + 2 * 4 * (256 + 128)
    assert _learned("encoder+decoder", "lora") - _learned("decoder", "lora") == encoder
    outside = _learned("decoder", "lora") - decoder  # prompts, growing, IoU: they learn, too, in the released code
    assert 0 < outside < 0.5e6
    assert (_learned("encoder+decoder", "vanilla") - _learned("decoder", "vanilla")) / 1e6 == pytest.approx(
        89.67, abs=0.01
    )


@pytest.mark.parametrize(("part", "way"), RECIPES)
def test_gradients_come_where_the_recipe_says_and_nowhere_else(part: str, way: str) -> None:
    net = _net(part, way).train()
    net(PICTURES).square().mean().backward()
    learned = {name for name, value in net.named_parameters() if value.grad is not None and bool(value.grad.any())}
    added = (".down.", ".up.", ".adapter.", ".attn.1.", ".norm2.0.", ".norm4.0.")
    encoder = {name for name in learned if name.startswith("sam.image_encoder.")}
    transformer = {name for name in learned if name.startswith("sam.mask_decoder.transformer.")}
    assert bool(encoder) == (part == "encoder+decoder")
    assert transformer
    if way != "vanilla":
        assert all(any(one in name for one in added) for name in encoder | transformer)
    if way == "adapter":
        assert not any("output_upscaling" in name for name in learned)
    assert any("mask_tokens" in name for name in learned)
    if way == "adapter" and part == "encoder+decoder":
        assert {name.split(".")[3] for name in encoder} == {"0", "1", "3", "4"}, "the first two blocks and the last two"


@pytest.mark.parametrize("part", ["decoder", "encoder+decoder"])
def test_low_rank_terms_start_as_nothing_and_merge_into_the_same_function(part: str) -> None:
    torch.manual_seed(0)
    lora = ClassSam(replace(SMALL, recipe=Recipe(part, "lora", 2))).eval()  # type: ignore[arg-type]  # one of two
    plain = ClassSam(replace(SMALL, recipe=Recipe(part, "vanilla"))).eval()  # type: ignore[arg-type]  # one of two
    state = {key.replace(".base.", "."): value for key, value in lora.state_dict().items()}
    plain.load_state_dict({key: value for key, value in state.items() if ".down." not in key and ".up." not in key})
    with torch.no_grad():
        assert torch.allclose(lora(PICTURES), plain(PICTURES), atol=1e-6)
        taught = _net(part, "lora")
        merged = merge(taught)
        assert torch.allclose(merged(PICTURES), taught(PICTURES), atol=1e-4)
        assert not torch.allclose(taught(PICTURES), plain(PICTURES), atol=1e-2)
    assert not any(isinstance(module, Lora) for module in merged.modules())
    assert any(isinstance(module, Lora) for module in taught.modules()), "the taught one is left as it is"
    again = ClassSam(ClassSamConfig.from_json(merged.config.to_json()))
    again.load_state_dict(merged.state_dict())


def test_low_rank_terms_of_the_encoder_leave_keys_alone() -> None:
    """Queries come first, keys in the middle; the term is up times down."""
    one = _net("encoder+decoder", "lora").sam.image_encoder.blocks[2].get_submodule("attn.qkv")
    assert isinstance(one, Lora)
    x = torch.randn(4, 24)
    with torch.no_grad():
        base, found = one.base(x), one(x)
        added = [x @ down.weight.T @ up.weight.T for down, up in zip(one.down, one.up, strict=True)]  # type: ignore[operator, union-attr]  # linear layers
    assert torch.equal(found[:, 24:48], base[:, 24:48])
    assert torch.allclose(found[:, :24], base[:, :24] + added[0], atol=1e-5)
    assert torch.allclose(found[:, 48:], base[:, 48:] + added[1], atol=1e-5)


def test_an_adapter_in_the_decoder_reads_tokens_and_picture_after_each_looked() -> None:
    """The released block written out step by step (mazurowski-lab/finetune-SAM, its two-way block)."""
    torch.manual_seed(0)
    sam = Sam(SMALL.encoder, SMALL.decoder)
    block = sam.mask_decoder.transformer.layers[1]
    assert isinstance(block, TwoWayBlock)
    norm2, norm4, mlp = block.norm2, block.norm4, block.mlp
    adapt_decoder_(sam.mask_decoder, 16)
    both, beside = block.norm2[0], block.mlp.adapter
    tokens, image, asked, code = (torch.randn(2, n, 16) for n in (3, 9, 3, 9))

    def bottleneck(adapter: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        return F.linear(F.gelu(F.linear(x, adapter.down.weight, adapter.down.bias)), adapter.up.weight, adapter.up.bias)

    with torch.no_grad():
        t = block.norm1(tokens + block.self_attn(tokens + asked, tokens + asked, tokens))
        t = t + block.cross_attn_token_to_image(t + asked, image + code, image)
        t = norm2(t + bottleneck(both, t))
        t = block.norm3(t + mlp(t) + 0.5 * bottleneck(beside, t))
        i = image + block.cross_attn_image_to_token(image + code, t + asked, t)
        i = norm4(i + bottleneck(both, i))
        found = block(tokens, image, asked, code)
    assert torch.allclose(found[0], t, atol=1e-5)
    assert torch.allclose(found[1], i, atol=1e-5)


def test_an_adapter_that_says_nothing_changes_nothing() -> None:
    adapted, plain = _net("encoder+decoder", "adapter"), _net("encoder+decoder", "vanilla")
    with torch.no_grad():
        for name, value in adapted.named_parameters():
            if ".up." in name:
                value.zero_()
        adapted.begin_with_(plain.sam.state_dict())
        for name in ("mask_tokens", "output_hypernetworks_mlps"):
            getattr(adapted.sam.mask_decoder, name).load_state_dict(getattr(plain.sam.mask_decoder, name).state_dict())
        assert torch.allclose(adapted(PICTURES), plain(PICTURES), atol=1e-5)


def test_a_published_sam_is_taken_over_whatever_its_size_and_classes_begin_anew() -> None:
    """Its own 64 pixels to our 48: tables are resized, everything else is copied; four masks become three classes and nothing."""
    torch.manual_seed(3)
    sam = Sam(replace(SMALL.encoder, size=64), SMALL.decoder)
    for recipe in (Recipe("encoder+decoder", "lora", 2), Recipe("encoder+decoder", "adapter")):
        net = ClassSam(replace(SMALL, recipe=recipe))
        tokens = net.sam.mask_decoder.mask_tokens.weight.clone()
        net.begin_with_(sam.state_dict())
        qkv = net.sam.image_encoder.blocks[0].get_submodule("attn.qkv.base" if recipe.way == "lora" else "attn.0.qkv")
        assert torch.equal(qkv.weight, sam.image_encoder.blocks[0].attn.qkv.weight)
        assert torch.equal(net.sam.mask_decoder.mask_tokens.weight, tokens)
        assert net(PICTURES).shape == (2, 4, 24, 24)
    with pytest.raises(ValueError, match="other sizes"):
        net.begin_with_(Sam(replace(SMALL.encoder, width=12), SMALL.decoder).state_dict())


def test_what_is_no_recipe_is_refused() -> None:
    with pytest.raises(ValueError, match="'prompts' is not among decoder, encoder"):
        Recipe("prompts")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ValueError, match="'prefix' is not among vanilla, adapter, lora"):
        Recipe("decoder", "prefix")  # type: ignore[arg-type]  # that is the point
