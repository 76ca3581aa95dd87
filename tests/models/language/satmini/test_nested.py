"""A fine network in the boxes a coarse one finds, on a head nobody here was trained on."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall, Failed, Unavailable
from ostensor.imaging.volume import Volume
from ostensor.models.catalogue import WEIGHTS_FOLDER, card, models_for
from ostensor.models.interface import Decoded
from ostensor.models.language.satmini.nested import NestedPredictor
from ostensor.models.load import load_predictor
from ostensor.training.data.mni_template import read_template

# OpenVINO traces the network through torch.jit, which torch calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
NAME = "hippocampus-in-head"


@pytest.fixture(scope="module")
def head() -> Volume:
    scan, grid = read_template("t1")
    return Volume(scan, grid, "mr")


@pytest.fixture(scope="module")
def nested() -> NestedPredictor:
    loaded = load_predictor(NAME, threads=1)
    assert isinstance(loaded, NestedPredictor)
    return loaded


def answers(nested: NestedPredictor, head: Volume) -> dict[str, Decoded]:
    shares: list[float] = []
    features = nested.encode(head, progress=shares.append, cancelled=lambda: False)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    return {one.structure: one for one in nested.decode(features, list(nested.card.vocabulary))}


def test_both_hippocampi_lie_on_their_sides_and_make_the_pair(nested: NestedPredictor, head: Volume) -> None:
    """The template is centred on x = 0 with the left at negative x; a hippocampus of an adult has 2 to 5 ml."""
    found = answers(nested, head)
    left, right, both = (found[name].array for name in ("left hippocampus", "right hippocampus", "hippocampi"))
    x = head.grid.affine[0, 3] + head.grid.affine[0, 0] * np.arange(head.grid.shape[0])
    for mask, side in ((left, -1), (right, 1)):
        assert 2 < mask.sum() * head.grid.voxel_ml < 5
        assert np.all(np.sign(x[np.flatnonzero(mask.any(axis=(1, 2)))]) == side)
    assert np.array_equal(both, left | right)
    assert not (found["anterior hippocampus"].array & ~both).sum() > 0.1 * both.sum()
    assert 0.5 < (found["hippocampi"].confidence or 0) <= (found["hippocampi"].peak or 0) <= 1


def test_the_same_scan_gives_the_same_masks_and_far_fewer_fine_voxels(nested: NestedPredictor, head: Volume) -> None:
    one = nested.encode(head, progress=lambda share: None, cancelled=lambda: False)
    two = nested.encode(head, progress=lambda share: None, cancelled=lambda: False)
    for first, second in zip(nested.decode(one, ["hippocampi"]), nested.decode(two, ["hippocampi"]), strict=True):
        assert np.array_equal(first.array, second.array)
    fine = sum(int(np.prod(seen.prepared.array.shape)) for _box, seen in one.boxes.values())
    assert fine < 0.05 * np.prod(head.grid.shape)
    with pytest.raises(BadCall, match="not taught 'liver'"):
        nested.decode(one, ["liver"])


def test_it_is_asked_before_the_network_that_only_finds_the_place() -> None:
    heads = [entry.name for entry in models_for("left hippocampus", "mr", 3, extent_mm=230)]
    assert heads[:2] == [NAME, "sat-mini-brain"]
    assert [entry.name for entry in models_for("hippocampi", "mr", 3, extent_mm=50)] == ["sat-mini-hippocampus"]


def test_other_weights_of_the_coarse_network_are_refused(tmp_path: Path) -> None:
    for name in (NAME, "sat-mini-hippocampus", "sat-mini-brain"):
        for path in WEIGHTS_FOLDER.glob(f"{name}.*"):
            shutil.copy(path, tmp_path)
    coarse = tmp_path / "sat-mini-brain.safetensors"
    content = coarse.read_bytes()
    coarse.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(Failed, match="other weights of 'sat-mini-brain'"):
        load_predictor(NAME, folder=tmp_path)
    coarse.unlink()
    with pytest.raises(Unavailable, match="needs 'sat-mini-brain'"):
        load_predictor(NAME, folder=tmp_path)


@pytest.mark.data
def test_heads_with_labels_give_what_the_card_says(shared_data: Path) -> None:
    """Tolerance: half precision of the processor."""
    from ostensor.training.segmenting.nested import facts_of, measure

    entry = card(NAME)
    rows = measure(shared_data, replace(entry, facts=facts_of(WEIGHTS_FOLDER)), WEIGHTS_FOLDER)
    for name in entry.claimed:
        assert np.mean(rows[name]["dice"]) == pytest.approx(entry.measured[name].dice, abs=0.01)
        assert np.mean(rows[name]["dice"]) > np.mean(rows[name]["coarse"]) + 0.05
