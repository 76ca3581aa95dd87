"""I-MedSAM: published sizes, what starts at nothing, the spectrum's law, what is refined and when nothing is unsure."""

import math

import pytest
import torch

from ostensor.models.blocks.sam.decoder import DecoderConfig
from ostensor.models.blocks.sam.sam import Given
from ostensor.models.blocks.sam.vit import EncoderConfig, ImageEncoder
from ostensor.models.promptable.imedsam.encoder import SHARE, SpectralEncoder, compute_spectrum
from ostensor.models.promptable.imedsam.field import FOURIER, Field, FieldConfig, encode_fourier
from ostensor.models.promptable.imedsam.network import ImplicitConfig, ImplicitSam, lay_out_places

ENCODER = EncoderConfig(48, 8, 24, 2, 3, 2.0, (1,), 3, 16)
SMALL = ImplicitConfig(ENCODER, DecoderConfig(16, 2, 8, 20, 12, 8), FieldConfig(2, 16, (12, 8), (8, 8, 4), 6), 2)
BOX = Given(boxes=torch.tensor([[5.0, 9.0, 40.0, 30.0]]))


def _net() -> ImplicitSam:
    torch.manual_seed(0)
    net = ImplicitSam(SMALL)
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.3)
    return net.eval()


def test_the_published_sizes() -> None:
    """interactive.md 3.5: the field alone has 1.28 M weights; 1.6 M learn."""
    with torch.device("meta"):
        net = ImplicitSam(ImplicitConfig())
    net.freeze()
    assert sum(value.numel() for value in net.field.parameters()) / 1e6 == pytest.approx(1.28, abs=0.01)
    assert sum(value.numel() for value in net.parameters() if value.requires_grad) / 1e6 == pytest.approx(1.6, abs=0.1)
    assert FOURIER == 63
    assert net.field.coarse.layers[0].in_features == 351
    assert net.field.fine.layers[0].in_features == 607


def test_lora_starts_as_nothing_and_only_the_spectrum_is_added() -> None:
    torch.manual_seed(0)
    ours, plain = SpectralEncoder(ENCODER, 2).eval(), ImageEncoder(ENCODER).eval()
    state = {key.replace(".attn.qkv.qkv.", ".attn.qkv."): value for key, value in ours.state_dict().items()}
    plain.load_state_dict({key: value for key, value in state.items() if key in plain.state_dict()})
    picture = torch.randn(1, 3, 48, 48)
    with torch.no_grad():
        x, f = plain.tokens(picture), plain.tokens(compute_spectrum(picture))
        for block, adapter in zip(plain.blocks, ours.frequency, strict=True):
            f = adapter(f)
            x = block(x) + SHARE * f
        assert torch.allclose(ours(picture), plain.finish(x), atol=1e-5)


def test_the_gate_has_no_bounds() -> None:
    """Twice the gate's weights, twice the low-rank term."""
    net = _net()
    lora, tokens = net.image_encoder.blocks[0].attn.qkv, torch.randn(2, 3, 3, 24)
    with torch.no_grad():
        base, first = lora.qkv(tokens), lora(tokens)
        for gate in (lora.gate_q, lora.gate_v):
            gate.weight.mul_(20)
            gate.bias.mul_(20)
        second = lora(tokens)
    assert torch.allclose(second - base, 20 * (first - base), rtol=1e-3, atol=1e-4)
    assert torch.equal(first[..., 24:48], base[..., 24:48]), "keys are left alone"


def test_a_moved_picture_has_the_same_spectrum() -> None:
    """Fourier's shift law, and the lowest frequency is the strongest and in the middle."""
    picture = torch.rand(1, 3, 12, 14)
    found = compute_spectrum(picture)
    assert torch.allclose(found, compute_spectrum(picture.roll((3, 5), (2, 3))), atol=1e-5)
    assert float(found[0, 0, 6, 7]) == 1
    assert torch.equal(found[:, 0], found[:, 2])


def test_the_fourier_code_by_hand_and_coarse_to_fine() -> None:
    code = encode_fourier(torch.tensor([0.25, -0.5]))
    assert code[:3].tolist() == [0.25, -0.5, 0.0]
    assert float(code[3]) == pytest.approx(math.sin(0.25), abs=1e-6)
    assert float(code[6]) == pytest.approx(math.cos(0.25), abs=1e-6)
    last = 2**10 * 0.25
    assert float(code[-6]) == pytest.approx(math.sin(last), abs=1e-4)
    half = encode_fourier(torch.tensor([0.25, -0.5]), 0.5)
    assert torch.equal(half[: 31 + 3], code[: 31 + 3])
    assert not half[31 + 3 :].any()


def test_only_the_unsurest_eighth_is_refined_and_as_released_nothing_is_unsure() -> None:
    torch.manual_seed(0)
    net = Field(SMALL.field).eval()
    known = torch.randn(2, 96, SMALL.field.known)
    with torch.no_grad():
        ours, again, released = net(known), net(known), net(known, legacy=True)
    assert torch.equal(ours.logits, again.logits), "what is dropped is the same each time"
    assert ours.refined.shape == (2, 12)
    changed = ours.logits != ours.rough
    for row in range(2):
        assert set(changed[row].nonzero().flatten().tolist()) <= set(ours.refined[row].tolist())
        rest = [n for n in range(96) if n not in ours.refined[row].tolist()]
        assert ours.unsure[row, ours.refined[row]].min() >= ours.unsure[row, rest].max()
    assert ours.unsure.max() > 0
    assert released.unsure.max() == 0


def test_a_mask_can_be_asked_at_any_size_and_places_agree() -> None:
    """The rough function at the middle of 7 x 5 pixels is that of 21 x 15 there, whose pixels are thirds of them."""
    net = _net()
    with torch.no_grad():
        embedding = net.encode(torch.randn(1, 3, 48, 48))
        assert net.decode(embedding, BOX, (7, 5)).shape == (1, 1, 7, 5)
        small = net.ask(embedding, BOX, (7, 5), legacy=True).rough.view(7, 5)
        large = net.ask(embedding, BOX, (21, 15), legacy=True).rough.view(21, 15)
    assert torch.allclose(small, large[1::3, 1::3], atol=1e-4)
    assert lay_out_places((2, 4))[0, 3].tolist() == [0.75, -0.5]


def test_what_is_frozen_gets_no_gradient() -> None:
    net = _net()
    net.freeze()
    net.train()
    net.ask(net.encode(torch.randn(1, 3, 48, 48)), BOX, (8, 8)).logits.mean().backward()
    learned = {name for name, value in net.named_parameters() if value.grad is not None}
    assert all(
        "field." in n or ".frequency." in n or any(p in n for p in (".down_", ".up_", ".gate_")) for n in learned
    )
    assert any(".gate_q" in n for n in learned)
    assert any(".frequency." in n for n in learned)
