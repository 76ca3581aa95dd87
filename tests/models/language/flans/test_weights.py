"""The authors' file loads to the same function; anything else is refused by name."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.models.checkpoints import read_checkpoint
from ostensor.models.language.flans.decoder import DecoderConfig
from ostensor.models.language.flans.image import EncoderConfig
from ostensor.models.language.flans.network import OFFICIAL, Flans, FlansConfig
from ostensor.models.language.flans.text import TowerConfig
from ostensor.models.language.flans.weights import cleaned, flans_config, load_flans
from ostensor.models.parity import Fixture

ROOT = Path(__file__).resolve().parents[4]
SMALL = FlansConfig(
    encoder=EncoderConfig(40, 8, 16, 3, 2, 2.0, (1,), 2, 24),
    decoder=DecoderConfig(24, 2, 2, 20, 16, 8),
    tower=TowerConfig(31, 20, 24, 2, 2, 7),
    text=20,
    tokens=7,
    intentions=5,
)
LIKE = dataclasses.replace(
    OFFICIAL,
    decoder=dataclasses.replace(OFFICIAL.decoder, heads=2),
    tower=TowerConfig(heads=2),
)


@pytest.fixture
def net() -> Flans:
    torch.manual_seed(0)
    made = Flans(SMALL)
    for value in made.parameters():
        torch.nn.init.normal_(value, std=0.2)
    return made.eval()


@pytest.fixture
def checkpoint(net: Flans, tmp_path: Path) -> Path:
    """As the released code saves it: canonicaliser of another library, counters, optimiser, best loss."""
    state = dict(net.state_dict())
    prefix = "canonicalization_network.canonicalization_network.eqv_network"
    state |= {f"{prefix}.0.weights": torch.ones(3), f"{prefix}.2.filter": torch.ones(2, 2)}
    state["prompt_encoder.text_encoder.text_model.embeddings.position_ids"] = torch.arange(7)[None]
    path = tmp_path / "flans.pth"
    torch.save({"model": state, "epoch": 12, "optimizer": {"state": {}}, "best_loss": 0.2}, path)
    return path


def test_a_published_layout_loads_with_every_weight(checkpoint: Path, net: Flans) -> None:
    state = read_checkpoint(checkpoint)
    loaded = load_flans(state, LIKE)
    assert loaded.set_aside == 2
    assert loaded.net.config == SMALL
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in loaded.net.state_dict().items())
    generator = torch.Generator().manual_seed(1)
    picture = torch.rand(1, 3, 40, 40, generator=generator)
    states = net.read(torch.tensor([[3, 1, 4, 1, 5, 9, 2]]))[:, None]
    with torch.no_grad():
        assert torch.equal(loaded.net(picture, states)[0], net(picture, states)[0])


def test_wrapper_prefixes_and_newer_tower_names_are_understood(checkpoint: Path) -> None:
    state = read_checkpoint(checkpoint)
    renamed = {f"module.{key.replace('text_encoder.text_model.', 'text_encoder.')}": v for key, v in state.items()}
    assert set(cleaned(renamed)) == set(cleaned(state))


def test_a_file_without_the_position_matrix_is_refused(checkpoint: Path) -> None:
    """Spec §10.1: it was never SAM's, so it cannot be filled in."""
    state = read_checkpoint(checkpoint)
    del state["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"]
    with pytest.raises(BadCall, match=r"positional_encoding_gaussian_matrix.*cannot"):
        load_flans(state, LIKE)


def test_missing_unexpected_and_misshapen_weights_are_refused(checkpoint: Path) -> None:
    state = read_checkpoint(checkpoint)
    with pytest.raises(BadCall, match="no FLanS checkpoint"):
        load_flans({"layer.weight": torch.zeros(2)}, LIKE)
    odd = dict(state)
    odd["mask_decoder.strange.bias"] = odd.pop("mask_decoder.transformer.norm_final_attn.bias")
    with pytest.raises(BadCall, match=r"1 missing \(first: mask_decoder.transformer.norm_final_attn.bias\).*strange"):
        load_flans(odd, LIKE)
    with pytest.raises(BadCall, match=r"'image_encoder.neck.0.weight' has the shape \[24, 17, 1, 1\]"):
        load_flans(state | {"image_encoder.neck.0.weight": torch.zeros(24, 17, 1, 1)}, LIKE)


def test_the_published_sizes_are_read_from_the_weights() -> None:
    """SAM ViT-B and CLIP ViT-B/16 on the meta device: nothing is allocated, everything is inferred."""
    with torch.device("meta"):
        state = Flans(OFFICIAL).state_dict()
    assert flans_config(state) == OFFICIAL
    assert state["image_encoder.blocks.2.attn.rel_pos_h"].shape == (127, 64), "a global block of 64 x 64 tokens"
    assert state["image_encoder.blocks.3.attn.rel_pos_h"].shape == (27, 64), "windows of 14"


def test_import_and_load_ask_for_licence_file_and_tokenizer(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the authors' file to a mask, with a tiny tokenizer in place of CLIP's."""
    from ostensor.imaging.volume import Grid, Volume
    from ostensor.models import catalogue, importing
    from ostensor.models.interface import Pointing
    from ostensor.models.language.flans import weights as flans_loader
    from ostensor.models.language.referring.predictor import ReferringPredictor
    from ostensor.models.load import load_predictor

    folder = tmp_path / "weights"
    monkeypatch.setattr(catalogue, "USER_FOLDER", folder)
    monkeypatch.setattr(flans_loader.load_flans, "__defaults__", (LIKE,))
    with pytest.raises(BadCall, match="--accept-licence"):
        importing.import_weights("flans", [checkpoint], accept_licence=False, folder=folder)
    with pytest.raises(BadCall, match="one file"):
        importing.import_weights("flans", [checkpoint] * 2, accept_licence=True, folder=folder)
    try:
        assert importing.import_weights("flans", [checkpoint], accept_licence=True, folder=folder).is_ready
        with pytest.raises(Unavailable, match="tokenizer of CLIP"):
            load_predictor("flans")
        clip = folder / flans_loader.TOKENIZER_FOLDER
        clip.mkdir()
        pieces = ["l</w>", "i", "v", "e", "r</w>", "<|startoftext|>", "<|endoftext|>"]
        (clip / "vocab.json").write_text(json.dumps({piece: n for n, piece in enumerate(pieces)}))
        (clip / "merges.txt").write_text("#version: 0.2\n")
        loaded = load_predictor("flans")
        assert isinstance(loaded, ReferringPredictor)
        array = np.random.default_rng(0).normal(40, 90, (31, 37, 1)).astype(np.float32)
        volume = Volume(array, Grid(array.shape, np.eye(4)), "ct")
        scan = loaded.encode(volume, progress=lambda share: None, cancelled=lambda: False)
        found = loaded.refer(scan, ["liver"], Pointing())[0]
        assert found.array.shape == (31, 37, 1)
        assert found.element is None, "the published canonicaliser is not loaded"
    finally:
        catalogue.forget_cards()


def test_the_sizes_of_a_checkpoint_of_the_official_code_are_read_from_it() -> None:
    """What `tests/parity/flans` says it was built with."""
    fixture = Fixture(ROOT / "tests" / "parity" / "flans")
    sizes = fixture.sizes
    heads = dataclasses.replace(LIKE, decoder=DecoderConfig(heads=sizes["decoder_num_heads"]))
    encoder = load_flans(fixture.state(), heads).net.config.encoder
    assert encoder.global_blocks == tuple(sizes["global_attn_indexes"])
    assert (encoder.heads, encoder.window) == (sizes["encoder_num_heads"], sizes["window_size"])


def test_points_without_a_box_get_one_that_is_none(net: Flans) -> None:
    """SAM pads the points when no box is given; the padded one is "not a point" alone."""
    prompts = net.prompt_encoder
    with torch.no_grad():
        alone = prompts.points(torch.tensor([[[3.0, 5.0]]]), torch.tensor([[1]]), with_box=False)
        boxed = prompts.points(torch.tensor([[[3.0, 5.0]]]), torch.tensor([[1]]), with_box=True)
    assert alone.shape[1] == 2
    assert torch.equal(alone[:, :1], boxed)
    assert torch.equal(alone[0, 1], prompts.not_a_point_embed.weight[0])
