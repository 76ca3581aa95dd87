"""DuPLUS on whole scans, and checkpoints as the user brings them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue
from ostensor.models.catalogue import card, forget_cards
from ostensor.models.importing import import_weights
from ostensor.models.interface import Cancelled
from ostensor.models.language.duplus.network import TINY, Duplus
from ostensor.models.language.duplus.predictor import DuplusPredictor, default_context
from ostensor.models.language.duplus.weights import ClipTextEncoder, tower_state
from ostensor.models.text.encoders import HashedWords

WINDOW = (32, 32, 32)


@pytest.fixture(scope="module")
def made() -> DuplusPredictor:
    torch.manual_seed(3)
    net = Duplus(TINY)
    with torch.no_grad():  # so that a new network's answer differs from voxel to voxel
        net.precls_conv[2].weight.mul_(30)
        net.controller.weight.mul_(3)
    return DuplusPredictor(net, HashedWords(64), card("duplus"), window=WINDOW, spacing_mm=(1.5, 1.5, 1.5))


def scan(shape: tuple[int, int, int], modality: str = "ct") -> Volume:
    array = np.random.default_rng(1).normal(0, 100, shape).astype(np.float32)
    return Volume(array, Grid(shape, np.diag([1.5, 1.5, 1.5, 1.0])), modality)  # type: ignore[arg-type]


def encoded(predictor: DuplusPredictor, volume: Volume, context: str = "") -> object:
    return predictor.encode(volume, progress=lambda share: None, cancelled=lambda: False, context=context)


def test_one_window_equals_a_single_pass_and_the_sigmoid_is_taken_once(made: DuplusPredictor) -> None:
    """Spec §13.10: the reference is the network called by hand; a second sigmoid would put everything above 0.5."""
    volume = scan(WINDOW)
    features = encoded(made, volume)
    blended = made._blended(features, torch.from_numpy(HashedWords(64).encode(["liver"]))[None])  # type: ignore[arg-type]
    array = np.clip(volume.array, *np.percentile(volume.array, (0.5, 99.5)))
    image = torch.from_numpy(((array - array.mean()) / array.std()).astype(np.float32))[None, None]
    first, target = (torch.from_numpy(HashedWords(64).encode([text])) for text in ("A CT scan of the body", "liver"))
    with torch.no_grad():
        expected = torch.sigmoid(made._net(image, [0], first, target[None]))[0, 0].numpy()
    np.testing.assert_allclose(blended, np.clip(expected, 1e-6, 1 - 1e-6), atol=1e-4)
    mask = made.decode(features, ["liver"])[0].array  # type: ignore[arg-type]
    assert (mask == (expected > 0.5)).mean() > 0.999
    assert 0 < mask.mean() < 1


def test_the_context_changes_masks_and_an_empty_one_names_modality_and_region(made: DuplusPredictor) -> None:
    volume = scan((33, 20, 17))
    found = [
        made.decode(encoded(made, volume, text), ["tumour of the left kidney"])[0]  # type: ignore[arg-type]
        for text in ("", default_context("ct", made.card), "A PET scan of the neck")
    ]
    assert found[0].array.shape == (33, 20, 17)
    assert (found[0].array == found[1].array).all()
    assert found[0].peak == found[1].peak
    assert found[0].peak != found[2].peak


def test_what_it_cannot_take_is_refused(made: DuplusPredictor) -> None:
    with pytest.raises(BadCall, match="this one is 'us'"):
        encoded(made, scan((33, 20, 17), "us"))
    with pytest.raises(BadCall, match="2-D image"):
        encoded(made, scan((33, 20, 1)))
    with pytest.raises(BadCall, match="gives 32 numbers, this DuPLUS takes 64"):
        DuplusPredictor(Duplus(TINY), HashedWords(32), card("duplus"))
    with pytest.raises(Cancelled):
        made.encode(scan(WINDOW), progress=lambda share: None, cancelled=lambda: True)


def test_a_checkpoint_is_imported_with_its_adapters_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published key layout (spec §8); the merged weight is W + alpha / r B A, alpha 128."""
    monkeypatch.setattr(catalogue, "USER_FOLDER", tmp_path)
    net = Duplus(TINY)
    base, down, up = torch.randn(5, 7), torch.randn(4, 7), torch.randn(5, 4)
    stem = "text_encoder.base_model.model.text_model.encoder.layers.0.mlp.fc1"
    state = {f"module.{name}": value for name, value in net.state_dict().items()}
    state |= {
        f"module.{stem}.base_layer.weight": base,
        f"module.{stem}.lora_A.default.weight": down,
        f"module.{stem}.lora_B.default.weight": up,
    }
    merged = tower_state(state)
    assert set(merged) == {"text_model.encoder.layers.0.mlp.fc1.weight"}
    torch.testing.assert_close(next(iter(merged.values())), base + 32 * up @ down)
    file = tmp_path / "mine.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, file)
    try:
        made = import_weights("duplus", [file], accept_licence=True, folder=tmp_path)
        assert made.is_ready
        assert json.loads((tmp_path / "duplus.json").read_text(encoding="utf-8"))["sources"] == ["mine.safetensors"]
        from ostensor.models.load import load_predictor

        with pytest.raises(Unavailable, match="CLIP text tower is not here"):
            load_predictor("duplus")
    finally:
        monkeypatch.undo()
        forget_cards()
    with pytest.raises(BadCall, match="needs one file"):
        import_weights("duplus", [file, file], accept_licence=True, folder=tmp_path)


def test_a_missing_text_tower_names_its_folder(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="folder 'clipmd'"):
        ClipTextEncoder(tmp_path / "clipmd")
