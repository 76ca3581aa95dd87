"""IMIS-Net: every mix of prompts, the name's own term, what is chosen, position tables of another size, its file."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue, importing
from ostensor.models.blocks.sam.decoder import DecoderConfig
from ostensor.models.blocks.sam.sam import Given
from ostensor.models.blocks.sam.vit import EncoderConfig
from ostensor.models.interface import Prompt, Running
from ostensor.models.load import load_card
from ostensor.models.promptable.imisnet import weights as imisnet
from ostensor.models.promptable.imisnet.network import Drawn, ImisConfig, ImisNet
from ostensor.models.promptable.imisnet.weights import load_imisnet

SMALL = ImisConfig(
    EncoderConfig(64, 8, 24, 3, 3, 2.0, (1,), 3, 32, eps=1e-5), DecoderConfig(32, 2, 8, 40, 16, 8), 20, (32, 16, 18)
)
GIVEN = {
    "points": torch.tensor([[[20.0, 30.0]]]),
    "labels": torch.tensor([[1]]),
    "boxes": torch.tensor([[[5.0, 9.0, 40.0, 50.0]]]),
    "mask": torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(2)),
}
NAME = torch.randn(1, 20, generator=torch.Generator().manual_seed(3))


def _net() -> ImisNet:
    torch.manual_seed(0)
    net = ImisNet(SMALL)
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.2)
    return net.eval()


def _published(net: ImisNet) -> dict[str, torch.Tensor]:
    found = {"image_encoder.sam_encoder.neck.0.weight": torch.zeros(4, 24, 1, 1), "text_model.x": torch.zeros(2)}
    for key, value in net.state_dict().items():
        if key.startswith("image_encoder.") and not key.startswith("image_encoder.neck."):
            key = key.replace("image_encoder.", "image_encoder.sam_encoder.", 1)
            key = key.replace(".mlp.lin1.", ".mlp.fc1.").replace(".mlp.lin2.", ".mlp.fc2.")
        found[key] = value
    return found


def test_every_mix_of_prompts_draws_another_mask_and_none_at_all_is_refused() -> None:
    net, kinds = _net(), ("points", "boxes", "mask", "name")
    with torch.no_grad():
        embedding = net.encode(torch.randn(1, 3, 64, 64))
        masks = []
        for count in range(1, 5):
            for chosen in itertools.combinations(kinds, count):
                shapes = {kind: GIVEN[kind] for kind in chosen if kind != "name"}
                if "points" in chosen:
                    shapes["labels"] = GIVEN["labels"]
                masks.append(net.decode(embedding, Given(**shapes), NAME if "name" in chosen else None).logits)
        for one, other in itertools.combinations(masks, 2):
            assert not torch.allclose(one, other)
        with pytest.raises(ValueError, match="needs a point, a box, a name or a mask"):
            net.decode(embedding, Given())


def test_a_name_adds_its_own_term_to_every_mask_alike_and_still_speaks_through_attention() -> None:
    net = _net()
    with torch.no_grad():
        embedding = net.encode(torch.randn(1, 3, 64, 64))
        whole = net.decode(embedding, Given(), NAME).logits
        net.mask_decoder.text_output.weight.zero_()
        net.mask_decoder.text_output.bias.zero_()
        bare, other = (net.decode(embedding, Given(), one).logits for one in (NAME, NAME + 1))
    added = whole - bare
    assert added.abs().max() > 0.01
    assert torch.allclose(added[:, :1].expand_as(added), added, atol=1e-5)
    assert (bare - other).abs().max() > 1e-3


def test_the_best_mask_comes_with_its_own_iou_and_meaning() -> None:
    iou = torch.tensor([[0.1, 0.9, 0.3], [0.5, 0.2, 0.8]])
    maps = torch.arange(6.0).view(2, 3, 1, 1)
    best = Drawn(maps, iou, maps[..., 0]).best()
    assert best.logits.flatten().tolist() == [1, 5]
    assert best.iou.flatten().tolist() == pytest.approx([0.9, 0.8])
    assert best.semantic.flatten().tolist() == [1, 5]


def test_a_vector_is_most_like_its_own_category() -> None:
    """With orthonormal categories the index is recovered, whatever the vector's length."""
    categories = torch.linalg.qr(torch.randn(18, 5, generator=torch.Generator().manual_seed(0)))[0]
    semantic = torch.stack([7 * categories[:, 3], 0.01 * categories[:, 0], categories[:, 4]])[None]
    found = Drawn(torch.zeros(1, 3, 1, 1), torch.zeros(1, 3), semantic).likeness(categories)
    assert found.argmax(-1).tolist() == [[3, 0, 4]]
    assert torch.allclose(found.amax(-1), torch.ones(1, 3), atol=1e-5)


def test_a_frozen_encoder_learns_nothing_and_projection_and_decoder_do() -> None:
    net = _net()
    embedding = net.encode(torch.randn(1, 3, 64, 64)).detach()
    found = net.decode(embedding, Given(**GIVEN), NAME)
    (found.logits.mean() + found.iou.mean() + found.semantic.mean()).backward()
    assert all(value.grad is None for value in net.image_encoder.parameters())
    assert net.text_out_dim.weight.grad is not None
    assert net.mask_decoder.semantic_tokens.weight.grad is not None


def test_position_tables_are_brought_to_another_size() -> None:
    """A table that is constant stays so; one that is linear along the rows stays linear between its ends; windows keep theirs."""
    state = _published(_net())
    rows = torch.arange(8.0).view(1, 8, 1, 1).expand(1, 8, 8, 24)
    state["image_encoder.sam_encoder.pos_embed"] = rows
    larger = load_imisnet(state, 128)
    assert larger.image_encoder.pos_embed.shape == (1, 16, 16, 24)
    middle = larger.image_encoder.pos_embed[0, 4:12, 0, 0]
    assert torch.allclose(middle, (torch.arange(4.0, 12.0) + 0.5) / 2 - 0.5, atol=0.02)
    shapes = [tuple(block.attn.rel_pos_h.shape) for block in larger.image_encoder.blocks]
    assert shapes == [(5, 8), (31, 8), (5, 8)]


def test_other_files_are_refused() -> None:
    state = _published(_net())
    with pytest.raises(BadCall, match="no semantic tokens"):
        load_imisnet({key: value for key, value in state.items() if "semantic_tokens" not in key})
    with pytest.raises(BadCall, match=r"'text_out_dim.weight' is missing"):
        load_imisnet({key: value for key, value in state.items() if key != "text_out_dim.weight"}, 64)
    with pytest.raises(BadCall, match="1 missing"):
        load_imisnet({key: value for key, value in state.items() if key != "mask_decoder.text_output.bias"}, 64)


def test_from_a_file_to_a_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "USER_FOLDER", tmp_path)
    monkeypatch.setattr(imisnet.load_imisnet, "__defaults__", (64, 8))
    torch.save(_published(_net()), tmp_path / "IMISNet-B.pth")
    try:
        importing.import_weights("imis-net", [tmp_path / "IMISNet-B.pth"], accept_licence=True, folder=tmp_path)
        made = load_card(catalogue.card("imis-net"), Running())
    finally:
        catalogue.forget_cards()
    array = np.random.default_rng(0).normal(50, 30, (31, 37, 3)).astype(np.float32)
    scan = Volume(array, Grid(array.shape, np.eye(4)), "ct")
    seen = made.encode(scan, progress=lambda share: None, cancelled=lambda: False)
    found = made.decode(seen, [Prompt("point", at=(20, 18, 1))])
    assert found.array.shape == (31, 37, 3)
    assert not found.array[:, :, 0].any()
