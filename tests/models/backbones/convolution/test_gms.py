"""GMS: what a codec can carry, gradient through one that rests, a latent for each class, and the published layout."""

import pytest
import torch
import torch.nn.functional as F

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.convolution import gms
from ostensor.models.backbones.table import backbone


def built(**options: object) -> gms.Gms:
    torch.manual_seed(3)
    net = backbone("gms").build(2, 2, 3, {"codec": [4, 8], **options})
    assert isinstance(net, gms.Gms)
    return net


def masks(batch: int = 1) -> torch.Tensor:
    """Three unlike bodies (b 3 20 28)."""
    made = torch.zeros(batch, 3, 20, 28)
    made[:, 0, 3:15, 5:12], made[:, 1, 6:18, 14:25], made[:, 2, 1:5, 16:27] = 1, 1, 1
    return made


def test_a_codec_learns_to_carry_masks() -> None:
    """The ceiling of every mapper: after a moment of training, masks come back from their latents with Dice above 0.98."""
    torch.manual_seed(0)
    codec = gms.Codec(1, 4, [8, 16])
    pictures = masks().reshape(3, 1, 20, 28)
    steps = torch.optim.Adam(codec.parameters(), lr=1e-2)
    for _ in range(60):
        steps.zero_grad()
        F.binary_cross_entropy_with_logits(codec(pictures), pictures).backward()
        steps.step()
    back = (codec(pictures) > 0).float()
    assert 2 * (back * pictures).sum() / (back.sum() + pictures.sum()) > 0.98


def test_a_resting_codec_stays_bit_for_bit_and_passes_the_gradient_to_the_mapper() -> None:
    net = built(frozen=True).train()
    kept = {key: value.clone() for key, value in net.codec.state_dict().items()}
    steps = torch.optim.SGD([value for value in net.parameters() if value.requires_grad], lr=0.1)
    said = net(torch.randn(1, 2, 20, 28, generator=torch.Generator().manual_seed(1)))
    F.binary_cross_entropy_with_logits(said.logits, masks()).backward()
    assert net.mapper.stem.weight.grad is not None
    assert net.mapper.stem.weight.grad.abs().sum() > 0
    steps.step()
    assert all(torch.equal(kept[key], value) for key, value in net.codec.state_dict().items())


def test_each_class_is_decoded_from_its_own_latent() -> None:
    net = built().eval()
    latents = torch.randn(2, 12, 10, 14, generator=torch.Generator().manual_seed(1))
    changed = latents.clone()
    changed[1, 4:8] += 1
    with torch.no_grad():
        before, after = net.decode(latents), net.decode(changed)
    moved = [(b, c) for b in range(2) for c in range(3) if not torch.allclose(before[b, c], after[b, c], atol=1e-5)]
    assert moved == [(1, 1)]
    with torch.no_grad():
        assert torch.allclose(before[1, 2], net.codec.decoder(latents[1:, 8:])[0].mean(0), atol=1e-6), "of all channels"


def test_the_latent_loss_is_zero_for_the_masks_own_latents_and_counts_each_taught_level() -> None:
    net = built()
    wanted = net.encode_masks(masks(2))
    assert wanted.shape == (2, 12, 10, 14)
    extra = {f"latent.{n}": wanted for n in range(3)}
    assert float(gms.latent_loss(net, extra, masks(2))) == 0
    assert float(gms.latent_loss(net, {**extra, "latent.2": wanted + 3}, masks(2))) == pytest.approx(9, rel=1e-5)
    one = net.codec.encoder(masks()[:, 1:2].repeat(1, 2, 1, 1))
    assert torch.allclose(one, wanted[:1, 4:8], atol=1e-6), "a mask is shown in every channel"


def test_side_answers_are_of_training_and_no_level_changes_the_sides() -> None:
    net, image = built(), torch.randn(1, 2, 21, 30, generator=torch.Generator().manual_seed(1))
    assert [one.tag for one in net.train()(image).aux] == ["level.1", "level.2"]
    said = net.eval()(image)
    assert said.aux == ()
    assert {tuple(x.shape[2:]) for x in said.features.values()} == {(11, 15)}


def test_the_mapper_has_the_published_size() -> None:
    """1.565 million in the authors' class at widths 32, 64, 128, 128, which counts each slope once."""
    with torch.device("meta"):
        net = gms.Mapper(4, 4, 32, [32, 64, 128, 128])
    assert sum(value.numel() for value in net.parameters()) / 1e6 == pytest.approx(1.565, abs=0.0006)


def named_officially(net: gms.Mapper) -> dict[str, torch.Tensor]:
    """The authors' keys, as the notes of the fixture spell them, slopes under both their names."""
    levels, found = len(net.down), {}
    layers = {"out": "attention.proj_out", "shortcut": "resblock.skip_connection"}
    layers |= {one: f"attention.{one}" for one in ("norm", "q", "k", "v")}
    layers |= {one: f"resblock.{one}" for one in ("conv1", "conv2")}
    for key, value in net.state_dict().items():
        part, *rest = key.split(".")
        if part == "stem":
            theirs = f"input_blocks.{rest[0]}"
        elif part == "heads":
            theirs = f"convds{'.'.join(rest)}"
        else:
            n = int(rest[0])
            home = f"conv{n + 1}_0" if part == "down" else f"conv{n}_{levels - n}"
            theirs = f"{home}.{layers[rest[1]]}.{'.'.join(rest[2:])}"
            if rest[1].startswith("conv") and rest[2] == "1":
                found[f"{home}.resblock.act{rest[1][-1]}.weight"] = value
        found[theirs] = value
    return found


def test_published_files_are_read() -> None:
    torch.manual_seed(2)
    net = gms.Mapper(4, 6, 16, [32, 16, 48]).eval()
    theirs = named_officially(net)
    assert {"conv0_3.resblock.act2.weight", "conv3_0.attention.proj_out.bias", "convds2.0.weight"} <= set(theirs)
    ours = gms.convert(theirs)
    again = gms.Mapper(**gms.mapper_sizes_of(ours))
    again.load_state_dict(ours)
    x = torch.randn(1, 4, 5, 7, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(again.eval()(x)[0], net(x)[0], strict=True))


def test_other_files_and_widths_that_make_no_groups_are_refused() -> None:
    with pytest.raises(BadCall, match=r"'vae\.0\.weight', which is unknown"):
        gms.convert({"vae.0.weight": torch.zeros(1)})
    with pytest.raises(BadCall, match="0 levels"):
        gms.mapper_sizes_of({})
    with pytest.raises(BadCall, match="multiples of 16, not 16 and 24"):
        built(widths=[24, 24, 24])
    with pytest.raises(BadCall, match="multiples of 4"):
        built(codec=[3, 6])
