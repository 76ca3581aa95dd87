"""SAM-Med3D: its exchanged axes, its published size, its windows by brute force, and a file that holds more than tensors."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue
from ostensor.models.blocks.sam.decoder import DecoderConfig
from ostensor.models.blocks.sam.prompts import PositionCode
from ostensor.models.blocks.sam.sam import Given, Sam
from ostensor.models.blocks.sam.vit import Attention, EncoderConfig, cut_in_windows, join_windows
from ostensor.models.checkpoints import read_checkpoint
from ostensor.models.interface import Prompt
from ostensor.models.promptable.deep import DeepMarks, DeepPredictor
from ostensor.models.promptable.sammed3d.hand import MedHand
from ostensor.models.promptable.sammed3d.weights import load_sammed3d

TURBO = EncoderConfig(128, 16, 768, 12, 12, 4.0, (2, 5, 8, 11), 14, 384, 3, 1)
ENCODER = EncoderConfig(32, 8, 24, 3, 3, 2.0, (1,), 3, 48, 3, 1)
DECODER = DecoderConfig(48, 2, 8, 40, 20, 8, 3)


def _net() -> Sam:
    torch.manual_seed(0)
    net = Sam(ENCODER, DECODER)
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.2)
    return net.eval()


def test_the_published_network_has_the_published_number_of_weights() -> None:
    """interactive.md 3.3: 100.51 M, of which 92.92, 0.009 and 7.58 are in its three parts."""
    with torch.device("meta"):
        net = Sam(TURBO, DecoderConfig(width=384, dims=3))
    parts = (net.image_encoder, net.prompt_encoder, net.mask_decoder)
    counts = [sum(value.numel() for value in part.parameters()) / 1e6 for part in parts]
    assert counts == pytest.approx([92.92, 0.009, 7.58], abs=0.006)
    assert sum(counts) == pytest.approx(100.51, abs=0.01)


def test_the_codes_of_grid_and_clicks_have_their_first_two_axes_exchanged() -> None:
    """Its weights were taught so: the grid's code at (i, j, k) is a click's at (j, i, k)."""
    code = PositionCode(48, 3)
    grid = code.of_grid(5)[0]
    for i, j, k in ((0, 1, 2), (4, 2, 0), (3, 3, 1)):
        click = code((torch.tensor([j, i, k]) + 0.5) / 5)
        assert torch.allclose(grid[:, i, j, k], click, atol=1e-6)
    assert not torch.allclose(grid[:, 0, 1, 2], code((torch.tensor([0, 1, 2]) + 0.5) / 5), atol=0.1)


@pytest.mark.parametrize("grid", [(8, 5), (5, 8, 3)])
def test_windows_are_the_slices_they_stand_for(grid: tuple[int, ...]) -> None:
    """By slices of the array filled up with zeros; and back."""
    x = torch.randn(2, *grid, 4)
    windows, counts = cut_in_windows(x, 3)
    assert counts == [-(-n // 3) for n in grid]
    full = torch.zeros(2, *(3 * n for n in counts), 4)
    full[(slice(None), *(slice(n) for n in grid))] = x
    number = 0
    for row in range(2):
        for at in np.ndindex(*counts):
            assert torch.equal(windows[number], full[(row, *(slice(3 * n, 3 * n + 3) for n in at))])
            number += 1
    assert torch.equal(join_windows(windows, counts, grid), x)


@pytest.mark.parametrize("crossed", [False, True])
def test_relative_positions_by_brute_force(crossed: bool) -> None:
    """Term by term in a loop; as released, distances run along the last key axis and the query's last place picks a key's slab."""
    torch.manual_seed(1)
    n, attention = 3, Attention(8, 2, [3] * 3, "dhw", crossed=crossed)
    tables = [torch.nn.init.normal_(getattr(attention, f"rel_pos_{axis}")).detach() for axis in "dhw"]
    q = torch.randn(1, 2, 27, 4)
    with torch.no_grad():
        found = attention._positions(q, [3, 3, 3])[0, 1].view(3, 3, 3, 3, 3, 3)
    for query in ((0, 1, 2), (2, 0, 1)):
        for key in ((1, 1, 0), (2, 0, 2), (0, 2, 1)):
            vector = q[0, 1].view(3, 3, 3, 4)
            wanted = 0.0
            for axis, table in enumerate(tables):
                if not crossed:
                    wanted += float(vector[query] @ table[query[axis] - key[axis] + n - 1])
                elif axis == 0:
                    wanted += float(vector[query] @ table[query[0] - key[2] + n - 1])
                else:
                    slab = (query[0], query[1], key[axis - 1])
                    wanted += float(vector[slab] @ table[slab[axis] - key[2] + n - 1])
            assert float(found[query][key]) == pytest.approx(wanted, abs=1e-5)


def test_an_empty_mask_is_not_no_mask_and_the_hand_begins_with_the_empty_one() -> None:
    net = _net()
    hand = MedHand(net)
    points, labels = torch.tensor([[[3.0, 9.0, 20.0]]]), torch.tensor([[1]])
    with torch.no_grad():
        seen = hand.embed(torch.randn(32, 32, 32))
        empty = net.decode(seen.embedding, Given(points, labels, mask=torch.zeros(1, 1, 16, 16, 16)))[0][0, 0]
        without = net.decode(seen.embedding, Given(points, labels))[0][0, 0]
        drawn = hand.draw(seen, DeepMarks(points[0], labels[0], torch.zeros(0, 2, 3)), None).logits
    assert (empty - without).abs().max() > 1e-3
    assert torch.equal(drawn, empty)


def test_a_file_with_the_arguments_of_its_run_is_read_and_one_that_would_run_code_is_not(tmp_path: Path) -> None:
    state = _net().state_dict()
    torch.save({"model_state_dict": state, "args": argparse.Namespace(lr=1e-4), "epoch": 3}, tmp_path / "turbo.pth")
    loaded = load_sammed3d(read_checkpoint(tmp_path / "turbo.pth"))
    assert loaded.encoder.crossed, "the authors' weights were taught with their positions"
    assert not load_sammed3d(state, mode="described").encoder.crossed
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())
    torch.save({"model_state_dict": state, "hook": print}, tmp_path / "bad.pth")
    with pytest.raises(BadCall, match="might run code"):
        read_checkpoint(tmp_path / "bad.pth")
    with pytest.raises(BadCall, match="patches are no cubes"):
        load_sammed3d({"image_encoder.patch_embed.proj.weight": torch.zeros(4, 3, 8, 8)})
    with pytest.raises(BadCall, match="'pos_embed' is missing"):
        load_sammed3d({key: value for key, value in state.items() if not key.endswith("pos_embed")})
    with pytest.raises(BadCall, match="1 unexpected"):
        load_sammed3d(state | {"prompt_encoder.point_embeddings.2.weight": torch.zeros(1, 48)})


def test_a_click_draws_on_a_scan_and_boxes_are_refused() -> None:
    made = DeepPredictor(MedHand(_net()), catalogue.card("sam-med3d"))
    array = np.random.default_rng(0).normal(50, 30, (41, 37, 13)).astype(np.float32)
    scan = Volume(array, Grid(array.shape, np.diag([-0.7, 0.9, 3.0, 1.0])), "ct")
    seen = made.encode(scan, progress=lambda share: None, cancelled=lambda: False)
    found = made.decode(seen, [Prompt("point", at=(20, 18, 6))])
    assert found.array.shape == (41, 37, 13)
    assert found.iou is not None
    with pytest.raises(BadCall, match="'sam-med3d' does not understand a box"):
        made.decode(seen, [Prompt("box", box=((1, 3), (1, 3), (1, 3)))])
