"""Spec §13 of DuPLUS: facts of the published network; `ostensor eval parity` compares it with the official code."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ostensor.imaging.errors import BadCall
from ostensor.models.language.duplus.network import (
    HEAD_PARTS,
    HEAD_SIZE,
    TINY,
    Duplus,
    DuplusConfig,
    Film,
    Gate,
    Modulation,
    cleaned,
    dynamic_heads,
    load_duplus,
    masked_averages,
)
from ostensor.models.parity import Fixture

PARITY = Path(os.environ.get("OSTENSOR_PARITY", Path(__file__).resolve().parents[5] / "shared" / "parity"))
HEAD_MODULES = ("controller", "gap", "text_to_vision", "precls_conv")


def random(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def net() -> Duplus:
    torch.manual_seed(5)
    return Duplus(TINY).eval()


@pytest.mark.parametrize("variant", ["duplus_film", "duplus_gate"])
def test_the_official_code_has_as_many_parameters(variant: str) -> None:
    """Counted by the fixture's makers."""
    if not (PARITY / variant).is_dir():
        pytest.skip(f"needs the parity fixture {variant} (set OSTENSOR_PARITY)")
    fixture = Fixture(PARITY / variant)
    made = load_duplus(fixture.state())
    assert sum(value.numel() for value in made.parameters()) == fixture.config["parameters"]


@pytest.mark.parametrize(
    ("modulation", "base", "millions"),
    [("film", 32, 43.76), ("gate", 32, 43.14), ("film", 16, 12.63), ("film", 8, 4.69)],
)
def test_published_sizes_of_the_trunk(modulation: Modulation, base: int, millions: float) -> None:
    """Spec §3 counts trunk and modulation, without the heads (0.29 M at base 32)."""
    with torch.device("meta"):
        made = Duplus(DuplusConfig(base=base, modulation=modulation))
    trunk = sum(v.numel() for name, v in made.named_parameters() if name.split(".")[0] not in HEAD_MODULES)
    assert abs(trunk / 1e6 - millions) < 0.006


def test_the_controller_gives_153_values_and_grouped_heads_equal_a_loop_over_classes() -> None:
    """Spec §13.1: 64 + 64 + 8 weights, 8 + 8 + 1 biases; the loop is plain matrix products."""
    assert HEAD_SIZE == 153
    voxels, parameters = random(2, 8, 3, 5, 7), random(2, 3, 153, seed=4)
    found = dynamic_heads(voxels, parameters)
    for b in range(2):
        for n in range(3):
            w1, w2, w3, b1, b2, b3 = parameters[b, n].split(HEAD_PARTS)
            x = voxels[b].flatten(1)
            x = F.elu(w1.reshape(8, 8) @ x + b1[:, None])
            x = F.elu(w2.reshape(8, 8) @ x + b2[:, None])
            x = w3.reshape(1, 8) @ x + b3[:, None]
            torch.testing.assert_close(found[b, n].flatten(), x[0], atol=1e-5, rtol=1e-5)


def test_other_targets_leave_a_mask_as_it_is(net: Duplus) -> None:
    """Spec §13.2: adding, removing and permuting T2 sentences."""
    with torch.no_grad():
        seen = net.encode(random(1, 1, 32, 16, 48), [0], random(1, 64, seed=6))
        targets = random(1, 4, 64, seed=7)
        all_four = net.decode(seen, targets)
        alone = net.decode(seen, targets[:, 2:3])
        turned = net.decode(seen, targets.flip(1))
    torch.testing.assert_close(alone[:, 0], all_four[:, 2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(turned.flip(1), all_four, atol=1e-5, rtol=1e-5)
    assert (all_four[:, 0] - all_four[:, 1]).abs().max() > 1e-3


def test_the_context_reaches_seven_levels_but_not_the_stem_and_not_up4_s_own_blocks(net: Duplus) -> None:
    """Spec §13.3."""
    seen: dict[str, list[torch.Tensor]] = {}
    names = ["inc_ct", "down1", "down2", "down3", "down4", "up1", "up2", "up3"]
    hooks = [
        getattr(net, name).register_forward_hook(lambda _m, _i, out, name=name: seen.setdefault(name, []).append(out))
        for name in names
    ]
    with torch.no_grad():
        for seed in (6, 8):
            net.encode(random(1, 1, 32, 16, 48), [0], random(1, 64, seed=seed))
    for hook in hooks:
        hook.remove()
    changed = {name: bool((a - b).abs().max() > 1e-4) for name, (a, b) in seen.items()}
    assert changed == {name: name != "inc_ct" for name in names}
    assert not [name for name, _ in net.up4.named_parameters() if "film" in name or "dynamic_conv" in name]


def test_film_with_unit_gamma_is_the_identity_and_a_gate_is_one_map_between_0_and_1() -> None:
    """Spec §13.3; the identity is set by hand: all weights 0, gamma's bias 1."""
    x, context = random(2, 5, 3, 4, 7), random(2, 64, seed=2)
    film, gate = Film(5, TINY), Gate(5, replace(TINY, modulation="gate"))
    with torch.no_grad():
        film.prompt_proj[2].weight.zero_()
        film.prompt_proj[2].bias.copy_(torch.tensor([1.0] * 5 + [0.0] * 5))
    torch.testing.assert_close(film(x, context), x)
    made = gate.map(x, context)
    assert made.shape == (2, 1, 3, 4, 7)
    assert 0 < made.min() < made.max() < 1
    torch.testing.assert_close(gate(x, context) / x, made.expand_as(x), atol=1e-4, rtol=1e-4)


def test_only_the_chosen_stem_gets_a_gradient_and_a_mixed_batch_equals_single_ones() -> None:
    """Spec §13.4."""
    torch.manual_seed(2)
    made = Duplus(TINY)
    image, context, target = random(2, 1, 32, 16, 32), random(2, 64), random(2, 1, 64)
    mixed = made(image, [1, 2], context, target)
    apart = [made(image[n : n + 1], [1 + n], context[n : n + 1], target[n : n + 1]) for n in range(2)]
    torch.testing.assert_close(mixed, torch.cat(apart), atol=1e-4, rtol=1e-4)
    made(image[:1], [1], context[:1], target[:1]).sum().backward()
    assert all(value.grad is None for stem in (made.inc_ct, made.inc_pet) for value in stem.parameters())
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in made.inc_mr.parameters())


def test_masked_averages_are_the_means_inside_each_mask() -> None:
    """Against numpy's mean; an empty mask gives 0."""
    decoded, masks = random(1, 3, 5, 7, 11), random(1, 2, 5, 7, 11, seed=9) > 0.5
    masks[:, 1] = False
    found = masked_averages(decoded, masks)
    np.testing.assert_allclose(
        found[0, 0].numpy(), decoded[0].numpy()[:, masks[0, 0].numpy()].mean(axis=1), rtol=1e-5, atol=1e-6
    )
    assert not found[0, 1].any()


def test_bad_sides_and_foreign_checkpoints_are_refused(net: Duplus) -> None:
    with pytest.raises(ValueError, match=r"\(32, 16, 40\) must be multiples of 16"):
        net.encode(random(1, 1, 32, 16, 40), [0], random(1, 64))
    with pytest.raises(BadCall, match=r"no DuPLUS checkpoint: 'inc_ct.conv1.weight' is missing"):
        load_duplus({"liver": torch.zeros(3)})
    state = dict(net.state_dict())
    state.pop("gap.0.bias")
    with pytest.raises(BadCall, match="does not fit DuPLUS"):
        load_duplus(state)


def test_wrapper_prefix_text_tower_and_unused_buffer_are_dropped_on_loading(net: Duplus) -> None:
    """The published layout (spec §8)."""
    state = {f"module.{name}": value for name, value in net.state_dict().items()}
    state |= {"module.organ_embedding": torch.zeros(1, 64), "module.text_encoder.x": torch.zeros(2)}
    assert set(cleaned(state)) == set(net.state_dict())
    assert load_duplus(state).config == TINY


BRIGHT = ("the liver", "liver parenchyma", "hepatic tissue", "the patient's liver", "hepatic parenchyma")
DARK = ("the left kidney", "kidney on the left", "left-sided kidney", "the patient's left kidney", "left renal tissue")


@pytest.mark.slow
def test_the_text_alone_switches_the_mask_and_a_paraphrase_keeps_it() -> None:
    """Spec §13.5: a bright and a dark ball; T2 says which, in wordings drawn anew each step; the last one is never taught."""
    from ostensor.models.text.encoders import MiniLmEncoder
    from ostensor.training.regimes.losses import soft_dice_loss

    torch.manual_seed(1)
    made = Duplus(replace(TINY, pooled=16, text_dim=384))
    index = torch.stack(torch.meshgrid(*(torch.arange(n) for n in (32, 16, 32)), indexing="ij"), -1).float()
    balls = torch.stack([((index - torch.tensor(c)) ** 2).sum(-1) < 25 for c in ([9.0, 8, 9], [22.0, 8, 20])])
    image = (balls[0].float() - balls[1].float())[None, None] + 0.05 * random(1, 1, 32, 16, 32)
    encoder = MiniLmEncoder()
    context = torch.from_numpy(encoder.encode(["A CT scan of the abdomen"]))
    wordings = torch.stack([torch.from_numpy(encoder.encode(texts)) for texts in (BRIGHT, DARK)], 1)  # (5 2 384)
    optimizer = torch.optim.Adam(made.parameters(), lr=3e-3)
    for step in range(60):
        targets = wordings[step % 4][None]
        logits, truth = made(image, [0], context, targets), balls[None].float()
        loss = soft_dice_loss(logits, truth) + F.binary_cross_entropy_with_logits(logits, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        taught, new = (made(image, [0], context, wordings[n][None].flip(1))[0] > 0 for n in (0, 4))
    for masks, other in ((taught, balls.flip(0)), (new, balls.flip(0)), (new, taught)):
        for mask, truth in zip(masks, other, strict=True):
            assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9
