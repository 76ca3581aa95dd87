"""LSMS: scopes of the strips, words in every block, all four stages in the answer, and no traps of its ancestor."""

import dataclasses
import itertools

import pytest
import torch
import torch.nn.functional as F

from ostensor.models.language.lsms.network import (
    MINI,
    Factorisation,
    Lsms,
    LsmsConfig,
    LsmsOutput,
    ScaleAwareAttention,
    contrastive_loss,
    segmentation_losses,
)

TINY = LsmsConfig((8, 12, 16, 20), (1, 1, 2, 1), (2, 2, 2, 2), text=13, squeeze=32, rank=4, embed=11, drop=0.1)


def _net(config: LsmsConfig = TINY, seed: int = 0) -> Lsms:
    """Random weights with the layer scales open, so that every part can be seen at the output."""
    torch.manual_seed(seed)
    net = Lsms(config)
    for name, value in net.named_parameters():
        if ".scale" in name:
            torch.nn.init.constant_(value, 0.5)
    return net.eval()


def _inputs(size: int = 64, words: int = 5, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return (
        torch.rand(batch, 3, size, size, generator=generator),
        torch.randn(batch, words, TINY.text, generator=generator),
        torch.ones(batch, words, dtype=torch.bool),
    )


def test_strips_see_squares_of_5_11_15_and_25_pixels() -> None:
    """5 + k - 1 for k = 7, 11, 21: the support of an impulse, with all weights set to one."""
    attention = ScaleAwareAttention(1, TINY)
    with torch.no_grad():
        for value in attention.parameters():
            value.fill_(1.0)
        for name, value in attention.named_parameters():
            if name.endswith("bias"):
                value.zero_()
        impulse = torch.zeros(1, 1, 41, 41)
        impulse[..., 20, 20] = 1
        a0 = attention.local(impulse)
        seen = [a0, *(strip(a0) for strip in attention.strips)]
    for found, side in zip(seen, (5, 11, 15, 25), strict=True):
        rows, columns = found[0, 0].nonzero(as_tuple=True)
        assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (side, side)
        assert len(rows) == side**2


def test_the_kernel_list_comes_from_the_configuration() -> None:
    attention = ScaleAwareAttention(4, dataclasses.replace(TINY, kernels=(3, 9)))
    assert [strip[0].kernel_size for strip in attention.strips] == [(1, 3), (1, 9)]


def test_words_shape_the_features_of_every_stage_through_the_gates_alone() -> None:
    net = _net()
    picture, states, valid = _inputs()
    with torch.no_grad():
        one, other = net.encode(picture, states, valid), net.encode(picture, states.flip(0), valid)
        assert len(one) == 4
        assert all((a - b).abs().max() > 1e-3 for a, b in zip(one, other, strict=True))
        for name, value in net.named_parameters():
            if "gate_out" in name:
                value.zero_()
        one, other = net.encode(picture, states, valid), net.encode(picture, states.flip(0), valid)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_every_block_of_every_stage_has_a_language_branch() -> None:
    net = _net()
    blocks = [block for stage in net.stages for block in stage.blocks]
    assert len(blocks) == sum(TINY.depths)
    assert all(block.attention.language is not None for block in blocks)
    silent = _net(dataclasses.replace(TINY, gated=False))
    picture, states, valid = _inputs()
    with torch.no_grad():
        assert torch.equal(silent(picture, states, valid).logits, silent(picture, -states, valid).logits)


def test_padded_words_change_nothing_and_order_of_states_is_no_secret() -> None:
    net = _net()
    picture, states, valid = _inputs()
    noise = torch.randn(2, 3, TINY.text, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        plain = net(picture, states, valid)
        padded = net(picture, torch.cat([states, noise], 1), F.pad(valid, (0, 3), value=False))
    assert torch.allclose(plain.logits, padded.logits, atol=1e-6)
    assert torch.allclose(plain.sentence, padded.sentence, atol=1e-6)


def test_a_sentence_of_one_token_is_refused_and_the_norm_is_why() -> None:
    net = _net()
    picture, states, valid = _inputs()
    valid[1, 1:] = False
    with pytest.raises(ValueError, match="fewer than two valid tokens"):
        net(picture, states, valid)
    branch = net.stages[0].blocks[0].attention.language
    one = torch.zeros(1, 1, 5)
    one[..., 0] = 1
    with torch.no_grad():
        found = [
            branch(torch.rand(1, 8, 6, 6, generator=torch.Generator().manual_seed(1)), words[None], one)
            for words in (torch.ones(13, 5), torch.randn(13, 5))
        ]
    assert torch.allclose(found[0], found[1], atol=1e-2), "all pixels get one vector, which the norm erases"


def test_the_language_branch_reads_the_shared_map_and_the_strips_do_not_hear_it() -> None:
    """Hooks: what goes into language and strips is the output of the 5 x 5 convolution itself."""
    net = _net()
    attention = net.stages[1].blocks[0].attention
    seen: dict[str, torch.Tensor] = {}
    attention.local.register_forward_hook(lambda _m, _i, out: seen.__setitem__("local", out))
    attention.language.register_forward_pre_hook(lambda _m, args: seen.__setitem__("language", args[0]))
    for number, strip in enumerate(attention.strips):
        strip.register_forward_pre_hook(lambda _m, args, n=number: seen.__setitem__(f"strip{n}", args[0]))
        strip.register_forward_hook(lambda _m, _i, out, n=number: seen.__setitem__(f"out{n}", out))
    generator = torch.Generator().manual_seed(2)
    x, words, valid = (
        torch.rand(1, 12, 9, 9, generator=generator),
        torch.randn(1, 13, 4, generator=generator),
        torch.ones(1, 1, 4),
    )
    with torch.no_grad():
        first = attention(x, words, valid)
        strips = [seen[f"out{n}"].clone() for n in range(3)]
        assert all(seen[name] is seen["local"] for name in ("language", "strip0", "strip1", "strip2"))
        second = attention(x, -2 * words, valid)
        assert all(torch.equal(strips[n], seen[f"out{n}"]) for n in range(3))
    assert (first - second).abs().max() > 1e-4


def test_each_of_the_four_stages_reaches_the_logits() -> None:
    net = _net()
    picture, states, valid = _inputs()
    stages = [x.detach().requires_grad_() for x in net.encode(picture, states, valid)]
    plain = net.decode(stages, states, valid).logits
    plain.square().mean().backward()
    for number in range(4):
        assert stages[number].grad is not None
        assert stages[number].grad.abs().sum() > 0
        without = [torch.zeros_like(x) if n == number else x for n, x in enumerate(stages)]
        assert (net.decode(without, states, valid).logits - plain).abs().max() > 1e-4


def test_a_far_pixel_is_heard_through_the_factorisation() -> None:
    """Without it the decoder is pointwise apart from the norms; with it a corner moves the opposite corner."""
    ham = Factorisation(6, 3, 6, 7).eval()
    x = torch.rand(1, 6, 16, 16, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[..., 0, 0] += 3
    assert (ham(x) - ham(other))[..., 15, 15].abs().max() > 1e-4


def test_the_factorisation_approaches_a_matrix_of_its_rank() -> None:
    """A product of two non-negative factors of rank 2 is explained far better than by chance."""
    generator = torch.Generator().manual_seed(1)
    exact = (torch.rand(9, 2, generator=generator) @ torch.rand(2, 49, generator=generator)).view(1, 9, 7, 7)
    error = (Factorisation(9, 4, 6, 60).eval()(exact) - exact).norm() / exact.norm()
    mean = (exact.mean() - exact).norm() / exact.norm()
    assert error < 0.05 < mean


def test_masks_repeat_exactly() -> None:
    """The ancestor draws new bases at every call, also in evaluation."""
    picture, states, valid = _inputs()
    with torch.no_grad():
        first = _net()(picture, states, valid).logits
        assert torch.equal(first, _net()(picture, states, valid).logits)
    net = _net()
    assert "decoder.ham.basis" in net.state_dict()


@pytest.mark.parametrize("size", [96, 128, 160, 224])
def test_any_multiple_of_32_is_taken(size: int) -> None:
    net = _net()
    picture, states, valid = _inputs(size)
    valid[0, 3:] = False
    with torch.no_grad():
        found = net(picture, states, valid)
    assert found.logits.shape == (2, size, size)
    assert found.pixels.shape == (2, TINY.embed, size // 4, size // 4)
    assert torch.allclose(found.pixels.norm(dim=1), torch.ones(1), atol=1e-5)
    assert found.match().shape == (2,)
    with pytest.raises(ValueError, match="multiples of 32"):
        net(picture[..., :-1], states, valid)


def test_cost_grows_linearly_with_the_pixels() -> None:
    """Counted floating point operations: no matrix of pixels times pixels."""
    from torch.utils.flop_counter import FlopCounterMode

    net = _net()
    counted = []
    for size in (64, 128, 256):
        picture, states, valid = _inputs(size, batch=1)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net.encode(picture, states, valid)
        counted.append(counter.get_total_flops())
    assert counted[1] / counted[0] == pytest.approx(4, rel=0.05)
    assert counted[2] / counted[1] == pytest.approx(4, rel=0.05)


def test_segmentation_losses_by_hand() -> None:
    """Logits 0 everywhere: cross-entropy log 2 whatever the weights, Dice from p = 1/2."""
    output = LsmsOutput(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2, 2), torch.zeros(1), torch.zeros(1))
    terms = segmentation_losses(output, torch.tensor([[[1.0, 1.0], [0.0, 0.0]]]))
    assert float(terms["cross_entropy"]) == pytest.approx(0.693147, abs=1e-5)
    assert float(terms["dice"]) == pytest.approx(1 - (2 * 1 + 1) / (4 * 0.25 + 2 + 1))
    empty = segmentation_losses(output, torch.zeros(1, 2, 2))
    assert all(bool(torch.isfinite(value)) for value in empty.values())


def test_the_contrastive_head_learns_which_sentence_is_whose() -> None:
    """50 steps on four pictures: matched pairs then cost less than shuffled ones, which they did not before."""
    net = _net()
    generator = torch.Generator().manual_seed(4)
    picture = torch.rand(4, 3, 64, 64, generator=generator)
    states = torch.randn(4, 5, 13, generator=generator)
    valid = torch.ones(4, 5, dtype=torch.bool)
    targets = torch.zeros(4, 64, 64)
    for n, (row, column) in enumerate(itertools.product((4, 36), (8, 40))):
        targets[n, row : row + 16, column : column + 20] = 1
        picture[n, :, row : row + 16, column : column + 20] += n
    same = torch.eye(4, dtype=torch.bool)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(50):
        loss = contrastive_loss(net(picture, states, valid), targets, same)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        output = net(picture, states, valid)
        shuffled = dataclasses.replace(output, sentence=output.sentence.roll(1, 0))
        assert contrastive_loss(output, targets, same) < 0.5 * contrastive_loss(shuffled, targets, same)
        assert bool(torch.isfinite(contrastive_loss(output, torch.zeros_like(targets), same)))


def test_sizes_and_json() -> None:
    """Spec §12: the larger of its two small configurations has 5.7 M parameters; ours stays below."""
    with torch.device("meta"):
        count = sum(value.numel() for value in Lsms(MINI).parameters())
    assert 0.4e6 < count < 5.7e6
    assert LsmsConfig.from_json(MINI.to_json()) == MINI
