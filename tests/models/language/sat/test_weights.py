"""A checkpoint as the authors saved it loads; everything else is refused with the reason."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models import catalogue, importing
from ostensor.models.language.sat import weights as sat_loader
from ostensor.models.language.sat.network import TINY, Sat, SatTextHead
from ostensor.models.language.sat.weights import language_model_state, load_sat, load_text_head, read_sat, sat_config


def official(net: Sat) -> dict[str, torch.Tensor]:
    """The state dict under the authors' names: prefix, aliases, and the library's copy of the encoder."""
    found = {}
    for key, value in net.state_dict().items():
        found[f"module.{key}"] = value
        for part, number in ((".conv.", "0"), (".norm.", "1")):
            if part in key:
                found[f"module.{key.replace(part, f'.all_modules.{number}.')}"] = value
        if key.startswith("backbone.encoder."):
            found[f"module.backbone.decoder.encoder.{key.removeprefix('backbone.encoder.')}"] = value
    return found


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "nano.pth"
    state = official(Sat(TINY))
    torch.save({"step": 3, "model_state_dict": state, "optimizer_state_dict": {"lr": np.float64(0.1)}}, path)
    return path


def test_an_official_file_loads_with_every_weight(checkpoint: Path) -> None:
    torch.manual_seed(0)
    expected = Sat(TINY).state_dict()
    state = read_sat(checkpoint)
    found = load_sat(state, sat_config(state)).state_dict()
    assert set(found) == set(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_missing_and_unexpected_keys_are_named(checkpoint: Path) -> None:
    state = read_sat(checkpoint)
    config = sat_config(state)
    state["mask_embed_proj.9.bias"] = state.pop("mask_embed_proj.2.bias")
    with pytest.raises(BadCall, match=r"1 missing \(first: mask_embed_proj.2.bias\).*unexpected"):
        load_sat(state, config)


def test_a_wrong_shape_is_refused(checkpoint: Path) -> None:
    state = read_sat(checkpoint)
    config = sat_config(state)
    state["mask_embed_proj.2.bias"] = torch.zeros(3)
    with pytest.raises(BadCall, match="does not fit"):
        load_sat(state, config)


@pytest.mark.parametrize("key", ["module.atlas_tower.conv.weight", "module.text_tower.biolord.x", "module.temperature"])
def test_pre_training_files_are_refused_by_name(tmp_path: Path, key: str) -> None:
    path = tmp_path / "multimodal.pth"
    torch.save({"model_state_dict": {key: torch.zeros(2)}}, path)
    with pytest.raises(BadCall, match="not segmentation weights"):
        sat_config(read_sat(path))


def test_another_variant_is_refused(checkpoint: Path) -> None:
    with pytest.raises(BadCall, match="not sat-nano"):
        sat_config(read_sat(checkpoint), expected="sat-nano")


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"layer.weight": torch.zeros(2)}, path)
    with pytest.raises(BadCall, match="no SAT segmentation checkpoint"):
        sat_config(read_sat(path))


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code ran",))


def test_a_file_that_would_run_code_is_not_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"model_state_dict": _Evil()}, path)
    with pytest.raises(BadCall, match="more than tensors"):
        read_sat(path)
    assert "code ran" not in capsys.readouterr().out


def test_truncated_missing_and_foreign_files(tmp_path: Path, checkpoint: Path) -> None:
    short = tmp_path / "short.pth"
    short.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(BadCall, match="truncated"):
        read_sat(short)
    with pytest.raises(BadCall, match="no file"):
        read_sat(tmp_path / "none.pth")
    numbers = tmp_path / "numbers.pth"
    torch.save([1, 2], numbers)
    with pytest.raises(BadCall, match="no state dict"):
        read_sat(numbers)
    plain = tmp_path / "plain.pth"
    plain.write_bytes(pickle.dumps({"a": 1}, protocol=2))
    with pytest.raises(BadCall):
        read_sat(plain)


def test_a_text_file_gives_head_and_language_model(tmp_path: Path) -> None:
    head = SatTextHead(11, 13)
    state = {f"module.{key}": value for key, value in head.state_dict().items()}
    state["module.text_tower.biolord.embeddings.weight"] = torch.ones(2)
    state["module.temperature"] = torch.ones(1)
    torch.save({"model_state_dict": state}, tmp_path / "text.pth")
    found = read_sat(tmp_path / "text.pth")
    assert torch.equal(load_text_head(found).modality_embed.weight, head.modality_embed.weight)
    assert list(language_model_state(found)) == ["embeddings.weight"]
    with pytest.raises(BadCall, match="text checkpoint"):
        load_text_head({"a": torch.zeros(1)})


def test_import_needs_the_licence_and_the_right_model(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="--accept-licence"):
        importing.import_weights("sat-nano", [checkpoint, checkpoint], accept_licence=False, folder=tmp_path)
    with pytest.raises(BadCall, match="takes no file"):
        importing.import_weights("sat-mini-brain", [checkpoint], accept_licence=True, folder=tmp_path)
    with pytest.raises(BadCall, match="not sat-nano"):
        importing.import_weights("sat-nano", [checkpoint, checkpoint], accept_licence=True, folder=tmp_path)
    with pytest.raises(BadCall, match="needs 2 files"):
        importing.import_weights("sat-nano", [checkpoint], accept_licence=True, folder=tmp_path)


def test_an_imported_model_loads_and_answers(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny network stands in for Nano; everything else is the real path from file to mask."""
    import dataclasses

    from transformers import BertConfig, BertModel, BertTokenizer

    from ostensor.imaging.volume import Grid, Volume
    from ostensor.models.language.sat.predictor import SatPredictor
    from ostensor.models.load import load_predictor

    folder = tmp_path / "weights"
    monkeypatch.setattr(catalogue, "USER_FOLDER", folder)
    monkeypatch.setattr("ostensor.models.language.sat.weights.VARIANTS", {"sat-nano": TINY})
    torch.manual_seed(4)
    words = BertModel(
        BertConfig(vocab_size=40, hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    )
    encoder = folder / sat_loader.ENCODER_FOLDER
    encoder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "left", "kidney", "liver"]
    (encoder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    words.save_pretrained(encoder)
    BertTokenizer(str(encoder / "vocab.txt")).save_pretrained(encoder)
    text = {f"module.{key}": value for key, value in SatTextHead(24, TINY.query_dim).state_dict().items()}
    text |= {f"module.text_tower.biolord.{key}": value for key, value in words.state_dict().items()}
    torch.save({"model_state_dict": text}, tmp_path / "text.pth")
    try:
        card = importing.import_weights(
            "sat-nano", [checkpoint, tmp_path / "text.pth"], accept_licence=True, folder=folder
        )
        assert card.is_ready
        loaded = load_predictor("sat-nano")
        assert isinstance(loaded, SatPredictor)
        loaded.window = (64, 32, 32)
        affine = np.diag([-2.0, 1.5, 3.0, 1.0])
        array = np.random.default_rng(0).normal(40, 30, (21, 37, 33)).astype(np.float32)
        volume = Volume(array, Grid(array.shape, affine), "ct")
        features = loaded.encode(volume, progress=lambda share: None, cancelled=lambda: False)
        found = loaded.decode(features, ["liver", "left kidney"])
        assert [one.array.shape for one in found] == [(21, 37, 33)] * 2
        again = loaded.decode(dataclasses.replace(features, kept={}), ["left kidney"])
        assert np.array_equal(again[0].array, found[1].array), "kept features and fresh ones give one mask"
    finally:
        catalogue.forget_cards()
