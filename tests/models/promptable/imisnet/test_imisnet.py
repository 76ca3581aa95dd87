"""IMIS-Net: every mix of prompts, the name's own term, what is chosen, position tables of another size, its file."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue, importing
from ostensor.models.blocks.sam.decoder import DecoderConfig
from ostensor.models.blocks.sam.sam import Given
from ostensor.models.blocks.sam.sizes import select_part
from ostensor.models.blocks.sam.vit import EncoderConfig
from ostensor.models.inference.prompts import check_prompts
from ostensor.models.interface import Features, Prompt, Promptable, Running
from ostensor.models.language.flans.text import TextTower, TowerConfig
from ostensor.models.load import load_card
from ostensor.models.promptable.imisnet import weights as imisnet
from ostensor.models.promptable.imisnet.network import Drawn, ImisConfig, ImisNet
from ostensor.models.promptable.imisnet.weights import load_imisnet
from ostensor.models.promptable.imisnet.words import FOLDER, NameReader, load_tower, put_in_sentence, select_tower

SMALL = ImisConfig(
    EncoderConfig(64, 8, 24, 3, 3, 2.0, (1,), 3, 32, eps=1e-5), DecoderConfig(32, 2, 8, 40, 16, 8), 20, (32, 16, 18)
)
GIVEN = {
    "points": torch.tensor([[[20.0, 30.0]]]),
    "labels": torch.tensor([[1]]),
    "boxes": torch.tensor([[[5.0, 9.0, 40.0, 50.0]]]),
    "mask": torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(2)),
}
PIECES = [
    *dict.fromkeys(f"{one}{end}" for one in "aseglmntiorfkdyv." for end in ("", "</w>")),
    "<|startoftext|>",
    "<|endoftext|>",
]
TOWER = TowerConfig(len(PIECES), 20, 24, 2, 1, 48)
NAME = torch.randn(1, 20, generator=torch.Generator().manual_seed(3))


def _net() -> ImisNet:
    torch.manual_seed(0)
    net = ImisNet(SMALL)
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.2)
    return net.eval()


def _tower() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {key: 0.3 * torch.randn_like(value) for key, value in TextTower(TOWER).state_dict().items()}


def _published(net: ImisNet) -> dict[str, torch.Tensor]:
    found = {"image_encoder.sam_encoder.neck.0.weight": torch.zeros(4, 24, 1, 1)}
    found |= {f"text_model.text_model.{key}": value for key, value in select_part(_tower(), "text_model.").items()}
    found["text_model.text_model.embeddings.position_ids"] = torch.arange(30)[None]
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


def _tokenizer(folder: Path) -> Path:
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({piece: n for n, piece in enumerate(PIECES)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return folder


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Promptable]:
    """The network out of a file that was imported."""
    monkeypatch.setattr(catalogue, "USER_FOLDER", tmp_path)
    monkeypatch.setattr(imisnet.load_imisnet, "__defaults__", (64, 8))
    torch.save(_published(_net()), tmp_path / "IMISNet-B.pth")
    try:
        importing.import_weights("imis-net", [tmp_path / "IMISNet-B.pth"], accept_licence=True, folder=tmp_path)
        yield load_card(catalogue.card("imis-net"), Running())
    finally:
        catalogue.forget_cards()


def _scan() -> Volume:
    array = np.random.default_rng(0).normal(50, 30, (31, 37, 3)).astype(np.float32)
    return Volume(array, Grid(array.shape, np.eye(4)), "ct")


def _seen(made: Promptable) -> Features:
    return made.encode(_scan(), progress=lambda share: None, cancelled=lambda: False)


def test_from_a_file_to_a_mask(made: Promptable) -> None:
    found = made.decode(_seen(made), [Prompt("point", at=(20, 18, 1))])
    assert found.array.shape == (31, 37, 3)
    assert not found.array[:, :, 0].any()


def test_the_tower_is_clip_s(tmp_path: Path) -> None:
    """Against our own tower of FLanS: the state of the last token, which ends the sentence; two names of unequal length."""
    assert put_in_sentence("Left_kidney -  vein") == "A segmentation area of a left kidney vein."
    reader = NameReader(load_tower(select_tower(_published(_net())), "it"), _tokenizer(tmp_path / FOLDER))
    ours = TextTower(TOWER)
    ours.load_state_dict(_tower())
    for name in ("liver", "left kidney"):
        words = put_in_sentence(name).lower().replace(".", " .").split()
        pieces = [f"{one}{'</w>' if n == len(word) - 1 else ''}" for word in words for n, one in enumerate(word)]
        numbers = [PIECES.index(one) for one in ("<|startoftext|>", *pieces, "<|endoftext|>")]
        assert torch.allclose(reader.read([name])[0], ours(torch.tensor([numbers]))[0, -1], atol=1e-5)


def test_a_name_draws_alone_in_every_slice_and_changes_what_a_point_draws(made: Promptable, tmp_path: Path) -> None:
    seen, name = _seen(made), Prompt("text", words="liver")
    assert "text" in made.takes
    with pytest.raises(Unavailable, match="tokenizer of CLIP"):
        made.decode(seen, [name])
    _tokenizer(tmp_path / FOLDER)
    alone, again, other = (made.decode(seen, [one]) for one in (name, name, Prompt("text", words="left kidney")))
    assert set(alone.logits) == {0, 1, 2}
    assert all(torch.equal(alone.logits[n], again.logits[n]) for n in range(3))
    assert not torch.equal(alone.logits[1], other.logits[1])
    point = Prompt("point", at=(20, 18, 1))
    both, bare = made.decode(seen, [point, name]).logits, made.decode(seen, [point]).logits
    assert set(both) == set(bare) == {1}
    assert not torch.equal(both[1], bare[1])


def test_names_that_say_nothing_or_contradict_are_refused(made: Promptable) -> None:
    seen, name = _seen(made), Prompt("text", words="liver")
    with pytest.raises(BadCall, match="A text of 0 characters names nothing"):
        made.decode(seen, [Prompt("text")])
    with pytest.raises(BadCall, match="One structure has one name, here are 2"):
        made.decode(seen, [name, name])
    with pytest.raises(BadCall, match="does not understand a text that says what is not meant"):
        made.decode(seen, [Prompt("text", positive=False, words="liver")])


def test_a_network_without_names_refuses_them() -> None:
    with pytest.raises(BadCall, match=r"'sam' does not understand a text\. It takes box, point"):
        check_prompts([Prompt("text", words="liver")], _scan().grid, frozenset({"point", "box"}), "sam")
