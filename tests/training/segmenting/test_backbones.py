"""Backbones in runs: with words and without, exported under a name of the user's own, and asked as any other model."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from nibabel import orientations

from ostensor.imaging.errors import BadCall, Failed
from ostensor.imaging.volume import Grid
from ostensor.models import catalogue
from ostensor.models.inference.sliding import run_windows
from ostensor.models.language.satmini.fixed_classes import (
    ClassesConfig,
    FixedClasses,
    against_others,
    laid_back,
    laid_out,
)
from ostensor.models.language.satmini.peak import measured_memory
from ostensor.models.language.satmini.queried import QueriedConfig
from ostensor.models.load import load_predictor
from ostensor.models.memory import request_mb
from ostensor.training.configuration import read_configuration
from ostensor.training.folders import Folders
from ostensor.training.kinds import How
from ostensor.training.runs import read_run
from ostensor.training.segmenting.config import RunConfig
from ostensor.training.segmenting.evaluate import evaluate
from ostensor.training.segmenting.export import write
from ostensor.training.segmenting.fit import fit

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
SIZES = {"features": [8, 16], "finest": 8}


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(catalogue, "USER_FOLDER", tmp_path / "user")
    catalogue.forget_cards()
    yield tmp_path / "user" / "trained"
    catalogue.forget_cards()


def of_backbone(plan: RunConfig, *, words: bool) -> RunConfig:
    if words:
        return replace(plan, name="mine-by-words", network=QueriedConfig(3, "unet", SIZES, embed=8, hidden=32))
    return replace(plan, name="mine", objective="supervised", options={}, network=ClassesConfig(3, "unet", SIZES))


@pytest.mark.parametrize("words", [False, True])
def test_a_trained_backbone_answers_by_its_own_name(
    folders: Folders, tiny: ModuleType, tmp_path: Path, shelf: Path, words: bool
) -> None:
    plan = of_backbone(tiny.plan(steps=150), words=words)
    own = replace(folders, shelf=shelf)
    fit(plan, own, How())
    scores = evaluate(plan, own, threads=1)
    assert all(score.dice > 0.7 for score in scores), "boxes of clear contrast"
    assert write(plan, scores, own).parent == shelf
    entry = catalogue.card(plan.name)
    assert entry.is_ready
    assert set(entry.claimed) == {score.structure for score in scores if score.may_be_claimed}
    assert entry.text_encoder == ("MiniLM" if words else "none; a fixed list of structures")
    assert any("U-Net" in text for text in entry.deviations)
    grid = Grid((64, 64, 64), np.eye(4))
    assert entry.memory_mb < request_mb(entry, grid) < 6000
    loaded = load_predictor(plan.name, threads=1)
    case = tiny.DATASET.cases(tmp_path, "test")[0]
    features = loaded.encode(case.volume, progress=lambda s: None, cancelled=lambda: False)
    masks = {one.structure: one.array for one in loaded.decode(features, ["liver", "spleen"])}
    for number, name in ((1, "liver"), (2, "spleen")):
        truth = case.labels == number
        assert 2 * (masks[name] & truth).sum() / (masks[name].sum() + truth.sum()) > 0.7
    beside = shelf / f"{plan.name}.json"
    beside.write_text(json.dumps({"name": plan.name}))
    with pytest.raises(Failed, match="beside trained weights is damaged"):
        catalogue.catalogue()
    beside.unlink()
    with pytest.raises(BadCall, match="Unknown model"):
        catalogue.card(plan.name)


def test_a_configuration_that_names_a_backbone_leaves_the_old_sizes_behind(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'extends = "hippocampus"\nname = "mine"\nobjective = "supervised"\n[network]\ndims = 3\nbackbone = "unet"\n'
        "features = [4, 8]\n"
    )
    assert read_configuration(file).values["network"] == {"dims": 3, "backbone": "unet", "features": [4, 8]}
    plan = read_run(str(file))[1]
    assert plan.network == ClassesConfig(3, "unet", {"features": [4, 8]})
    words = tmp_path / "words.toml"
    words.write_text('extends = "hippocampus"\n[network]\ndims = 3\nbackbone = "unet"\nembed = 12\n')
    assert read_run(str(words))[1].network == QueriedConfig(3, "unet", embed=12)
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('extends = "hippocampus"\n[network]\ndims = 3\nbackbone = "unett"\n')
    with pytest.raises(BadCall, match=r"Unknown backbone 'unett'. Closest: 'unet'"):
        read_run(str(wrong))


def test_classes_that_exclude_each_other_are_told_by_the_likeliest() -> None:
    """The reference is numpy's argmax."""
    logits = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    found = against_others(logits) > 0
    likeliest = logits.numpy().argmax(axis=1)
    for number in (1, 2, 3):
        assert np.array_equal(found[:, number - 1].numpy(), likeliest == number)
    torch.manual_seed(0)
    net = FixedClasses(ClassesConfig(2, "unet", SIZES, exclusive=True), ("liver", "spleen")).eval()
    image = torch.randn(1, 1, 8, 8)
    with torch.no_grad():
        raw = net.net(image).logits
        assert raw.shape[1] == 3
        assert torch.equal(net(image) > 0, (raw.argmax(1)[:, None] == torch.tensor([1, 2]).reshape(1, 2, 1, 1)))


@pytest.mark.parametrize("shape", [(20, 33, 17), (5, 9, 70)])
def test_windows_blend_to_what_the_network_says_of_each_voxel(shape: tuple[int, int, int]) -> None:
    """A network that only looks at the voxel itself answers the same in windows; every window has the size asked for."""
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    seen = []

    def network(image: np.ndarray) -> np.ndarray:
        seen.append(image.shape)
        return np.concatenate([image * 2, image + 1], axis=1)

    told: list[float] = []
    found = run_windows(
        array, network, window=(16, 16, 16), channels=2, stride=4, progress=told.append, cancelled=lambda: False,
        views=("x",),
    )  # fmt: skip
    assert set(seen) == {(1, 1, 16, 16, 16)}
    assert np.allclose(found[0], array * 2, atol=5e-3)
    assert np.allclose(found[1], array + 1, atol=5e-3)
    assert told[-1] == 1.0


@pytest.mark.parametrize("layout", ["SPL", "SAR", "LIA", "RAS"])
def test_a_network_of_others_sees_axes_as_it_was_taught(layout: str) -> None:
    """The reference is nibabel's turning of an array whose axes run to the right, front and head."""
    array = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    wanted = orientations.axcodes2ornt(tuple(layout))
    turned = orientations.apply_orientation(
        array, orientations.ornt_transform(orientations.io_orientation(np.eye(4)), wanted)
    )
    ours = torch.from_numpy(array)[None, None]
    assert np.array_equal(laid_out(ours, layout)[0, 0].numpy(), turned)
    assert torch.equal(laid_back(laid_out(ours, layout), layout), ours)


def test_a_slice_is_turned_too_and_a_layout_that_says_nothing_is_refused() -> None:
    picture = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert torch.equal(laid_out(picture, "PL")[0, 0], picture[0, 0].T.flip(0, 1))
    assert torch.equal(laid_back(laid_out(picture, "PL"), "PL"), picture)
    for wrong in ("SPP", "SPL", "XY"):
        with pytest.raises(BadCall, match="does not say where 2 axes run to"):
            laid_out(picture, wrong)


def test_memory_is_measured_without_what_this_process_holds() -> None:
    """A network's activations: more than its answer of 4 bytes a voxel and class."""
    held = np.ones(100_000_000)
    network = ClassesConfig(3, "unet", SIZES).to_json()
    found = measured_memory(network, ["liver", "spleen"], [32, 32, 32])
    assert found["memory_mb"] < held.nbytes / 1e6
    assert found["tile_bytes"] > 8
