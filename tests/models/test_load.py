"""Every bundled model loads, is what its card says, and refuses damage."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import Failed, Unavailable
from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue
from ostensor.models.catalogue import WEIGHTS_FOLDER
from ostensor.models.language.satmini.nested import NestedPredictor
from ostensor.models.language.satmini.predictor import SatMiniPredictor
from ostensor.models.load import load_predictor

BUNDLED = [card for card in catalogue.catalogue() if card.weights == "bundled"]
READY = [card.name for card in BUNDLED if card.system == "ostensor"]
REFERRING = [card.name for card in BUNDLED if card.task == "refer"]


def test_there_are_bundled_models_and_they_stay_small() -> None:
    files = list(WEIGHTS_FOLDER.glob("*.safetensors"))
    named = {card.weights_file for card in BUNDLED}
    assert {path.name for path in files if not path.name.startswith("prognosis-")} == named
    assert len(named) >= 3
    assert max(file.stat().st_size for file in files) <= 16e6
    assert sum(file.stat().st_size for file in files) <= 80e6


@pytest.mark.parametrize("name", READY)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_bundled_model_answers_on_the_scans_grid(name: str) -> None:
    card = catalogue.card(name)
    assert card.claimed
    loaded = load_predictor(name, threads=1)
    assert isinstance(loaded, SatMiniPredictor | NestedPredictor)
    shape = (70, 64, 6) if 2 in card.dimensions else (40, 48, 44)
    array = np.random.default_rng(0).normal(40, 60, shape).astype(np.int16)
    volume = Volume(array, Grid(shape, np.diag([1.5, 1.5, 2.0, 1.0])), card.modalities[0])  # type: ignore[arg-type]
    features = loaded.encode(volume, progress=lambda share: None, cancelled=lambda: False)
    assert features.nbytes > 0 or isinstance(loaded, NestedPredictor), "in noise nobody finds a place to look at"
    found = loaded.decode(features, list(card.claimed))
    assert [one.structure for one in found] == list(card.claimed)
    for one in found:
        assert one.array.shape == shape
        assert one.array.dtype == np.bool_
        assert 0 <= one.confidence <= 1
    again = loaded.decode(features, [card.claimed[-1]])[0]
    assert np.array_equal(again.array, found[-1].array), "asked alone or together"


def test_damaged_and_missing_weights(tmp_path: Path) -> None:
    name = READY[0]
    for ending in (".safetensors", ".json"):
        shutil.copy(WEIGHTS_FOLDER / f"{name}{ending}", tmp_path)
    content = bytearray((tmp_path / f"{name}.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / f"{name}.safetensors").write_bytes(bytes(content))
    with pytest.raises(Failed, match="damaged"):
        load_predictor(name, folder=tmp_path)
    with pytest.raises(Unavailable, match="ostensor fit"):
        load_predictor(name, folder=tmp_path / "none")
    with pytest.raises(Unavailable, match="models import sat-nano"):
        load_predictor("sat-nano")


@pytest.mark.data
@pytest.mark.parametrize("name", REFERRING)
def test_a_bundled_referring_model_finds_a_real_heart_chamber_and_nothing_where_nothing_is_meant(
    name: str, shared_data: Path
) -> None:
    """Held-out stacks of ACDC, middle slice, against the expert's outline; far from good, but far from chance."""
    from ostensor.models.interface import Pointing
    from ostensor.models.language.referring.predictor import ReferringPredictor
    from ostensor.training.data import acdc

    loaded = load_predictor(name, threads=1)
    assert isinstance(loaded, ReferringPredictor)
    assert loaded.card.purpose == "research-only"
    both = found = truth = 0
    for case in acdc.DATASET.cases(shared_data, "test")[:6:2]:
        assert case.volume is not None
        scan = loaded.encode(case.volume, progress=lambda share: None, cancelled=lambda: False)
        middle = case.grid.shape[2] // 2
        how = Pointing("slice", middle)
        chamber, nothing = loaded.refer(scan, ["the left ventricle", "what is the weather today"], how)
        assert chamber.array.shape == case.grid.shape
        assert not nothing.array.any()
        drawn = case.labels[:, :, middle] == 3
        both += int((chamber.array[:, :, middle] & drawn).sum())
        found += int(chamber.array.sum())
        truth += int(drawn.sum())
    assert 2 * both / (found + truth) > 0.35
