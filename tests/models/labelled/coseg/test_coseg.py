"""Co-Seg++: prompts cross between the tasks, rotary positions are relative, and the released form is one form of two."""

import pytest
import torch
import torch.nn.functional as F

from ostensor.imaging.errors import BadCall
from ostensor.models.blocks.sam.decoder import DecoderConfig
from ostensor.models.blocks.scans.selective import scan_by_steps
from ostensor.models.labelled.coseg.network import CoSeg, Seen
from ostensor.models.labelled.coseg.prompts import MutualPrompts, TokenScan, rotate, rotations
from ostensor.models.labelled.coseg.weights import load_task

CONFIG = DecoderConfig(width=16, depth=1, heads=2, hidden=24, mask_channels=8)


def made() -> tuple[CoSeg, Seen]:
    torch.manual_seed(0)
    net = CoSeg(CONFIG, 64, 7, 3, hidden=20, state=4).eval()
    seen = Seen(torch.randn(2, 16, 8, 8), torch.randn(2, 4, 16, 16), torch.randn(2, 2, 32, 32))
    return net, seen


def test_two_rounds_draw_coarse_masks_and_then_those_of_the_task() -> None:
    net, seen = made()
    with torch.no_grad():
        first, second = net(seen, seen)
    assert first.instance.masks.shape == first.semantic.masks.shape == (2, 1, 32, 32)
    assert second.instance.masks.shape == (2, 7, 32, 32)
    assert second.semantic.masks.shape == (2, 3, 32, 32)
    assert first.instance.regions.shape == (2, 2, 8, 8)


@pytest.mark.parametrize("changed", ["semantic", "instance"])
def test_a_coarse_mask_prompts_the_other_task_alone(changed: str) -> None:
    """The head of one task's coarse mask is changed: its own second answer stays, the other's does not."""
    net, seen = made()
    with torch.no_grad():
        before = net(seen, seen)[1]
        getattr(net, changed).output_hypernetworks_mlps[0].layers[2].bias.add_(1.0)
        after = net(seen, seen)[1]
    other = {"semantic": "instance", "instance": "semantic"}[changed]
    assert torch.equal(getattr(before, changed).masks, getattr(after, changed).masks)
    assert not torch.allclose(getattr(before, other).masks, getattr(after, other).masks, atol=1e-4)


def test_products_of_turned_vectors_depend_on_the_way_between_their_places_alone() -> None:
    g = torch.Generator().manual_seed(1)
    q, k = (torch.randn(8, generator=g).expand(1, 15, 8) for _ in range(2))
    turns = rotations(8, (3, 5), torch.device("cpu"))
    products = (rotate(q, turns) @ rotate(k, turns).transpose(1, 2))[0].reshape(3, 5, 3, 5)
    assert products[0, 0, 1, 2] == pytest.approx(float(products[1, 2, 2, 4]), abs=1e-5)
    assert products[0, 1, 2, 1] == pytest.approx(float(products[0, 4, 2, 4]), abs=1e-5)
    assert abs(float(products[0, 0, 1, 2] - products[0, 0, 2, 1])) > 1e-3, "rows are not columns"
    assert torch.allclose(rotate(q, turns).norm(dim=-1), q.norm(dim=-1))


def test_released_scan_looks_one_way_and_counts_the_bias_of_steps_twice() -> None:
    """Expected: the layer written out with the slow recurrence."""
    torch.manual_seed(2)
    layer = TokenScan(16, 16, 3, 3, released=True)
    x = torch.randn(2, 7, 16)
    with torch.no_grad():
        inner = layer.in_proj(x).transpose(1, 2)
        u = F.silu(F.conv1d(inner, layer.conv1d_x.weight, layer.conv1d_x.bias, padding=1, groups=16))
        low, b, c = layer.x_proj(u.transpose(1, 2)).split([1, 3, 3], dim=-1)
        steps = F.softplus(low @ layer.dt_proj.weight.T + 2 * layer.dt_proj.bias).transpose(1, 2)
        b, c = (part.transpose(1, 2)[:, None] for part in (b, c))
        said = scan_by_steps(u, steps, -layer.A_log.exp(), b, c, layer.D)
        assert torch.allclose(layer(x), layer.out_proj(said.transpose(1, 2)), atol=1e-5)


def test_ours_scans_from_both_ends() -> None:
    torch.manual_seed(3)
    layer = TokenScan(16, 32, 3, 3)
    with torch.no_grad():
        layer.conv1d_x.weight.copy_(layer.conv1d_x.weight.flip(2) + layer.conv1d_x.weight)
        x = torch.randn(1, 6, 16)
        assert torch.allclose(layer(x.flip(1)).flip(1), layer(x), atol=1e-5)


def test_released_form_scans_the_image_without_the_mask() -> None:
    """The mask changes what is asked and not what is scanned; ours adds it to the image first."""
    torch.manual_seed(4)
    sizes = {"width": 16, "size": 32, "mask_channels": 8, "hidden": 20, "inner": 16, "state": 4, "kernel": 3}
    image, mask = torch.randn(1, 16, 4, 4), torch.randn(1, 1, 16, 16)
    for released in (True, False):
        prompts = MutualPrompts(**sizes, released=released).eval()
        scanned: list[torch.Tensor] = []
        prompts.mixer.register_forward_hook(lambda _, given, __, kept=scanned: kept.append(given[0]))
        prompts.of_mask(mask, image)
        prompts.of_mask(mask + 1, image)
        assert torch.equal(scanned[0], scanned[1]) == released


def test_a_square_embedding_is_needed_and_other_weights_are_refused() -> None:
    net, _ = made()
    long = Seen(torch.randn(1, 16, 8, 4), torch.randn(1, 4, 16, 8), torch.randn(1, 2, 32, 16))
    with pytest.raises(ValueError, match="a square embedding, not 8 x 4"):
        net(long, long)
    with pytest.raises(BadCall, match=r"This is no Co-Seg\+\+: 'mask_downscaling\.3\.bias' is missing"):
        load_task({"prompt_encoder.x": torch.zeros(1)}, 8)
