"""Spec §13 of SAT: facts of the published network; `ostensor eval parity` compares it with its official code."""

import pytest
import torch

from ostensor.models.language.sat.network import (
    NANO,
    PRO,
    TINY,
    VARIANTS,
    Sat,
    SatFeatures,
    SatTextHead,
    position_code,
)
from ostensor.training.regimes.losses import over_scales


@pytest.fixture(scope="module")
def net() -> Sat:
    torch.manual_seed(3)
    made = Sat(TINY)
    with torch.no_grad():  # larger than the usual start, so that differences show
        for value in made.parameters():
            value.add_(0.05 * torch.randn_like(value))
    return made.eval()


@pytest.fixture(scope="module")
def features(net: Sat) -> SatFeatures:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        return net.encode(torch.randn(1, 3, 96, 64, 32, generator=generator))


def queries(count: int, seed: int = 7) -> torch.Tensor:
    return torch.randn(1, count, TINY.query_dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "millions"), [("sat-nano", 110.28), ("sat-pro", 477.09)])
def test_published_sizes(name: str, millions: float) -> None:
    """Parameter counts as the official code gives them (spec §3)."""
    with torch.device("meta"):
        made = Sat(VARIANTS[name])
    assert round(sum(value.numel() for value in made.parameters()) / 1e6, 2) == millions


@pytest.mark.parametrize(("config", "tensors", "widest"), [(NANO, 204, 1792), (PRO, 248, 3584)])
def test_key_set_is_the_published_one_without_aliases(config: object, tensors: int, widest: int) -> None:
    """292 and 380 tensors in the files, of which the convolution blocks' aliases (88 and 132) fall away."""
    with torch.device("meta"):
        state = Sat(config).state_dict()  # type: ignore[arg-type]
    assert len(state) == tensors
    assert state["projection_layer.0.weight"].shape[1] == widest
    for key in (
        "backbone.encoder.stages.5.0.convs.1.norm.weight",
        "backbone.decoder.transpconvs.4.bias",
        "transformer_decoder.layers.5.multihead_attn.in_proj_weight",
        "transformer_decoder.layers.0.norm1.weight",
        "mid_mask_embed_proj.2.2.weight",
        "mask_embed_proj.0.bias",
    ):
        assert key in state


def test_queries_do_not_see_each_other(net: Sat, features: SatFeatures) -> None:
    asked = queries(5)
    order = torch.tensor([3, 1, 4, 0, 2])
    with torch.no_grad():
        joint = net.decode(features, asked)[0]
        single = torch.cat([net.decode(features, asked[:, n : n + 1])[0] for n in range(5)], dim=1)
        permuted = net.decode(features, asked[:, order])[0]
        double = net.decode(features, asked[:, [2, 2]])[0]
    assert torch.allclose(joint, single, atol=1e-5)
    assert torch.allclose(joint[:, order], permuted, atol=1e-5)
    assert torch.equal(double[:, 0], double[:, 1])


def test_many_queries_in_chunks_are_the_same_queries(net: Sat, features: SatFeatures) -> None:
    asked = queries(300)
    with torch.no_grad():
        whole = net.decode(features, asked)[0]
        chunks = [net.decode(features, asked[:, n : n + 128])[0] for n in (0, 128, 256)]
    assert whole.shape == (1, 300, 96, 64, 32)
    assert torch.allclose(whole, torch.cat(chunks, dim=1), atol=1e-5)


def test_modality_adds_its_row_and_nothing_else() -> None:
    torch.manual_seed(1)
    head = SatTextHead(11, 13)
    pooled = torch.randn(2, 11)
    with torch.no_grad():
        ct, pet = head(pooled, torch.tensor([0, 0])), head(pooled, torch.tensor([3, 3]))
        rows = head.modality_embed.weight
    assert torch.allclose(pet - ct, (rows[3] - rows[0]).expand(2, -1), atol=1e-6)


def test_memory_tokens_lie_on_the_stride_32_grid(features: SatFeatures) -> None:
    assert features.grid == (3, 2, 1)
    assert features.memory.shape == (1, 6, TINY.query_dim)
    assert [tuple(found.shape[2:]) for found in features.maps] == [(96, 64, 32), (48, 32, 16), (24, 16, 8), (12, 8, 4)]


def test_position_code_goes_with_its_token_and_only_into_keys(net: Sat, features: SatFeatures) -> None:
    asked, code = queries(2), position_code(features.grid, TINY.query_dim)
    order = torch.tensor([5, 0, 3, 1, 4, 2])
    memory = features.memory
    with torch.no_grad():
        told = net.transformer_decoder(asked, memory + code, memory)
        both = net.transformer_decoder(asked, (memory + code)[:, order], memory[:, order])
        alone = net.transformer_decoder(asked, memory[:, order] + code, memory[:, order])
    assert torch.allclose(told, both, atol=1e-5)
    assert not torch.allclose(told, alone, atol=1e-4)


def test_uniform_attention_does_not_react_to_the_position_code(features: SatFeatures) -> None:
    torch.manual_seed(3)
    blind = Sat(TINY).eval()
    width = TINY.query_dim
    with torch.no_grad():
        for layer in blind.transformer_decoder.layers:
            layer.multihead_attn.in_proj_weight[width : 2 * width] = 0
        asked, memory = queries(2), features.memory
        plain = blind.transformer_decoder(asked, memory, memory)
        coded = blind.transformer_decoder(asked, memory + position_code(features.grid, width), memory)
    assert torch.equal(plain, coded)


def test_position_codes_of_distinct_places_differ() -> None:
    code = position_code((3, 2, 5), 48)
    assert code.shape == (30, 48)
    assert (torch.cdist(code, code) + 9 * torch.eye(30)).min() > 0.01


def test_a_side_that_is_no_multiple_of_32_is_refused(net: Sat) -> None:
    with pytest.raises(ValueError, match="32"):
        net.encode(torch.zeros(1, 3, 64, 40, 32))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_swapping_the_word_swaps_the_mask() -> None:
    """Overfits two shapes named by two query vectors; at most 150 steps, a few minutes."""
    torch.manual_seed(0)
    small = Sat(TINY).train()
    image = torch.zeros(1, 3, 64, 32, 32)
    target = torch.zeros(1, 2, 64, 32, 32)
    target[:, 0, 4:14, 6:18, 5:20] = 1
    target[:, 1, 18:28, 14:28, 10:28] = 1
    image += target[:, :1] * 2.0 - target[:, 1:] * 1.5
    asked = queries(2)
    optimizer = torch.optim.AdamW(small.parameters(), lr=2e-3)
    coarser = [target[:, :, ::step, ::step, ::step] for step in (1, 2, 4, 8)]
    for _ in range(150):
        optimizer.zero_grad()
        loss = torch.stack([*over_scales(small(image, asked), coarser, 0.0).values()]).sum()
        loss.backward()
        optimizer.step()
        if float(loss.detach()) < 0.1:
            break
    small.eval()
    with torch.no_grad():
        found = small.decode(small.encode(image), asked[:, [1, 0]])[0][0] > 0
    for mask, truth in zip(found, target[0, [1, 0]] > 0, strict=True):
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9
