"""From a configuration to weights a user loads: fit, evaluate, export, load, ask."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.models import catalogue
from ostensor.models.language.satmini.fixed_classes import ClassesConfig, FixedClasses
from ostensor.models.language.satmini.network import SatMini, SatMiniConfig
from ostensor.models.load import load_predictor
from ostensor.training.configuration import bundled
from ostensor.training.data.datasets import DATASETS
from ostensor.training.folders import Folders
from ostensor.training.kinds import How
from ostensor.training.runs import read_run
from ostensor.training.scores import patient_interval
from ostensor.training.segmenting.atlas import copied, placed
from ostensor.training.segmenting.cutoffs import best_cutoffs
from ostensor.training.segmenting.evaluate import evaluate, trained_model
from ostensor.training.segmenting.export import write
from ostensor.training.segmenting.fit import fit
from ostensor.training.start import FIRST, widened

# OpenVINO traces the network through torch.jit, which torch calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")


def test_fit_evaluate_export_load_ask(folders: Folders, tiny: ModuleType, tmp_path: Path) -> None:
    plan = tiny.plan()
    fit(plan, folders, How())
    scores = evaluate(plan, folders, threads=1)
    assert [score.structure for score in scores] == ["liver", "spleen"]
    for score in scores:
        assert score.cases == 2
        assert score.low <= score.dice <= score.high
        assert score.dice > 0.7, "boxes of clear contrast"
        assert score.may_be_claimed
    cutoffs = json.loads((folders.runs / "sat-mini-torso" / "cutoffs.json").read_text())
    assert sorted(cutoffs) == ["liver", "spleen"]
    weights = write(plan, scores, folders)
    facts = json.loads(weights.with_suffix(".json").read_text())
    assert facts["claimed"] == ["liver", "spleen"]
    assert facts["cutoffs"] == cutoffs
    assert facts["plausible_ml"]["liver"][0] < 7 * 6 * 8 * 8 / 1000 < facts["plausible_ml"]["liver"][1]
    card_text = (tmp_path / "out" / "CARD.md").read_text()
    assert "| liver | tiny | 2 |" in card_text
    before = weights.read_bytes()
    elsewhere = replace(folders, runs=tmp_path / "none")
    worse = [replace(scores[0], dice=0.1), scores[1]]
    assert write(plan, worse, elsewhere) == weights
    again = json.loads(weights.with_suffix(".json").read_text())
    assert weights.read_bytes() == before, "without a run only the figures are new"
    assert (again["claimed"], again["metrics"]["liver"]["dice"]) == (["spleen"], 0.1)
    assert {k: v for k, v in again.items() if k not in ("claimed", "metrics")} == {
        k: v for k, v in facts.items() if k not in ("claimed", "metrics")
    }
    assert "| 0.100 |" in (tmp_path / "out" / "CARD.md").read_text()
    with pytest.raises(Unavailable, match="neither trained here nor bundled"):
        write(plan, scores, replace(elsewhere, weights=tmp_path / "nothing"))
    write(plan, scores, folders)
    catalogue.forget_cards()
    loaded = load_predictor("sat-mini-torso", folder=tmp_path / "out", threads=1)
    case = tiny.DATASET.cases(tmp_path, "test")[0]
    features = loaded.encode(case.volume, progress=lambda s: None, cancelled=lambda: False)
    words = ["liver", "spleen", "hepar"]
    masks = {one.structure: one.array for one in loaded.decode(features, words[:2])}
    for number, name in ((1, "liver"), (2, "spleen")):
        truth = case.labels == number
        assert 2 * (masks[name] & truth).sum() / (masks[name].sum() + truth.sum()) > 0.7, "the text steers"
    assert not (masks["liver"] & masks["spleen"]).sum() > 0.1 * masks["liver"].sum()
    catalogue.forget_cards()


def test_a_network_without_words_trains_and_is_measured_by_the_same_commands(
    folders: Folders, tiny: ModuleType
) -> None:
    network = ClassesConfig(3, options={"features": (8, 16), "finest": 8})
    plan = replace(tiny.plan(steps=150), objective="supervised", options={}, network=network)
    folder = fit(plan, folders, How())
    record = json.loads((folder / "run.json").read_text())
    assert record["objective"] == "supervised"
    assert record["cases"] == {"tiny": 6}
    for score in evaluate(plan, folders, threads=1):
        assert score.dice > 0.7, "boxes of clear contrast"


def test_a_run_may_start_from_bundled_weights(folders: Folders, tiny: ModuleType) -> None:
    """With a learning rate of nothing the weights are the bundled ones, in half precision."""
    known = read_run("hippocampus")[1]
    schedule = replace(tiny.plan().schedule, steps=1, learning_rate=0.0)
    view = replace(tiny.plan().view, patch=(16, 16, 16))
    plan = replace(tiny.plan(), name=known.name, network=known.network, view=view, schedule=schedule, start=known.name)
    fit(plan, folders, How())
    values = load_file(catalogue.WEIGHTS_FOLDER / f"{known.name}.safetensors")
    found = trained_model(plan, folders).state_dict()
    assert np.array_equal(found["text.0.weight"].numpy(), values["text.0.weight"].float().numpy())
    with pytest.raises(Unavailable, match="no bundled weights of 'none'"):
        fit(replace(plan, name="other", start="none"), folders, How())


def test_bundled_weights_that_saw_single_slices_begin_a_run_that_sees_neighbours() -> None:
    """At its start the wider network answers as the old one, whatever the neighbours show."""
    torch.manual_seed(0)
    shape = {"dims": 2, "features": (4, 8), "finest": 4, "embed": 4}
    old, new = SatMini(SatMiniConfig(**shape)).eval(), SatMini(SatMiniConfig(**shape, neighbours=1)).eval()
    state = old.state_dict()
    new.load_state_dict({**state, FIRST: widened(state[FIRST], 3)})
    image = torch.randn(2, 3, 16, 12)
    with torch.no_grad():
        assert torch.allclose(new.image_features(image), old.image_features(image[:, 1:2]), atol=1e-6)
    assert torch.equal(widened(state[FIRST], 1), state[FIRST])


def test_an_untrained_run_says_what_to_do(folders: Folders, tiny: ModuleType) -> None:
    with pytest.raises(Unavailable, match="ostensor fit"):
        trained_model(replace(tiny.plan(), name="none"), folders)


@pytest.mark.parametrize(
    "name", [name for name, path in bundled("segmenting").items() if path.parent.name == "segmenting"]
)
def test_every_bundled_configuration_reads(name: str) -> None:
    plan = read_run(name)[1]
    assert plan.name == f"sat-mini-{name}"
    assert plan.structures
    assert catalogue.card(plan.name).modalities == (plan.modality,)
    assert plan.missed in (catalogue.WEIGHTS_FOLDER / "CARD.md").read_text(encoding="utf-8"), "export again"


def test_wrong_configurations_are_refused(tmp_path: Path) -> None:
    good = bundled()["hippocampus"].read_text(encoding="utf-8")
    for old, new, fact in (
        ("hippocampus = 1.0", "narnia = 1.0", "Unknown data sets"),
        ('name = "', 'colour = "red"\nname = "', "'colour' of 'c' is not known"),
        ("[schedule]", "[schedule]\nmood = 3", "is wrong"),
        ("[network]", "[network]\nneighbours = 1", "Only 2-D networks"),
    ):
        path = tmp_path / "c.toml"
        path.write_text(good.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(BadCall, match=fact):
            read_run(path)
    with pytest.raises(BadCall, match="Bundled ones"):
        read_run("none")


def test_the_interval_is_that_of_patients_not_of_cases() -> None:
    """Two patients with many cases each: the interval reaches both patients' means."""
    values = np.array([0.2] * 10 + [0.8] * 10)
    low, high = patient_interval(values, ["a"] * 10 + ["b"] * 10)
    assert (low, high) == (pytest.approx(0.2), pytest.approx(0.8))
    low, high = patient_interval(values, [str(n) for n in range(20)])
    assert 0.3 < low < 0.5 < high < 0.7


def test_a_copied_atlas_fits_itself(tiny: ModuleType, tmp_path: Path) -> None:
    case = tiny.DATASET.cases(tmp_path, "test")[0]
    atlas = placed(case, tiny.plan().preparation)
    assert np.array_equal(copied(atlas, atlas), case.labels)


@pytest.mark.data
@pytest.mark.parametrize("name", [n for n, d in DATASETS.items() if d.folder != "." and n != "mni_meshnet"])
def test_no_patient_is_on_both_sides_of_a_split(name: str, shared_data: Path) -> None:
    """mni_meshnet has one patient, held out, and takes a minute to label, so it is left out."""
    dataset = DATASETS[name]
    train, test = ({case.patient for case in dataset.cases(shared_data, part)} for part in ("train", "test"))
    assert not train & test
    assert train | test


@pytest.mark.data
def test_an_absent_data_folder_is_named() -> None:
    with pytest.raises(Unavailable, match="OSTENSOR_DATA"):
        DATASETS["acdc"].cases(Path("/nonexistent"), "train")


def test_cutoffs_are_those_of_greatest_dice_on_training_views(tiny: ModuleType, tmp_path: Path) -> None:
    """A network whose logits are the CT itself, shifted: the best cutoff lies between an organ and what is around it."""

    class Bright(FixedClasses):
        def image_features(self, image: torch.Tensor) -> torch.Tensor:
            return torch.cat([image, -image], dim=1) + 2.0  # liver is the brightest, spleen the darkest

    plan, network = tiny.plan(), ClassesConfig(3, options={"features": (8, 16), "finest": 8})
    found = best_cutoffs(plan, Bright(network, list(plan.structures)), tmp_path)
    around, liver, spleen = ((hu - 50) / 150 for hu in (40, 240, -110))
    assert around + 2 < found["liver"] < liver + 2
    assert -around + 2 < found["spleen"] < -spleen + 2
