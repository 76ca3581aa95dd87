"""From a configuration to weights a user loads, by both methods: fit, evaluate, export, load, ask; and what is refused."""

import dataclasses
import hashlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.models import catalogue
from ostensor.models.blocks.sam.sam import Sam
from ostensor.models.labelled.finetunesam.network import Recipe
from ostensor.models.load import load_predictor
from ostensor.training.finetuning import kind
from ostensor.training.finetuning.fit import begin_with_, fit, trained
from ostensor.training.finetuning.methods import method
from ostensor.training.finetuning.run import structures_of
from ostensor.training.finetuning.slices import choose_labelled, make_ready, streams_of
from ostensor.training.folders import Folders
from ostensor.training.kinds import How
from ostensor.training.objective import LABELLED
from ostensor.training.runs import read_run
from ostensor.training.segmenting.config import Source

from .conftest import NETWORKS, Runs


def _average(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / "checkpoint.pt", weights_only=True)["average"]
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_fit_evaluate_export_load_ask(name: str, runs: Runs, folders: Folders, tiny: ModuleType) -> None:
    run = runs(name)
    record = json.loads((fit(run, folders, How()) / "run.json").read_text())
    assert record["patients"] == ({"labelled": 6} if name == "finetune-sam" else {"labelled": 2, "unlabelled": 4})
    assert record["fidelity"] == ("structural" if name == "finetune-sam" else "reconstruction")
    measured = kind.evaluate(run, folders, How())
    assert "| liver | tiny | 2 |" in measured.text
    weights = kind.export(run, measured, folders)
    facts = json.loads(weights.with_suffix(".json").read_text())
    assert facts["deviations"]
    assert "metrics" not in facts, "a published system shows no figures of ours as its own"
    assert f"## {name}" in (folders.weights / "CARD.md").read_text()
    loaded = load_predictor(name, folder=folders.weights)
    case = next(iter(tiny.cases(folders.data)))
    seen = loaded.encode(case.volume, progress=lambda share: None, cancelled=lambda: False)
    liver, spleen = loaded.decode(seen, ["liver", "spleen"])
    assert liver.array.shape == case.grid.shape
    assert not (liver.array & spleen.array).any(), "a pixel has one class"
    with pytest.raises(BadCall, match=r"does not know 'heart'\. It knows: liver, spleen"):
        loaded.decode(seen, ["heart"])


def test_finetune_sam_learns_boxes_of_clear_contrast(runs: Runs, folders: Folders) -> None:
    run = runs("finetune-sam", steps=150, options={"dice_of": "softmax"})
    run = dataclasses.replace(run, schedule=dataclasses.replace(run.schedule, learning_rate=1e-2))
    fit(run, folders, How())
    assert all(score.dice > 0.6 for score in kind.evaluate(run, folders, How()).found)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_that_stopped_goes_on_bit_by_bit(name: str, runs: Runs, folders: Folders) -> None:
    run = runs(name, steps=4)
    whole = _average(fit(run, folders, How()))
    other = dataclasses.replace(folders, runs=folders.runs / "again")
    fit(run, other, How(until=2))
    halves = _average(fit(run, other, How()))
    assert all(torch.equal(value, halves[key]) for key, value in whole.items())


def test_what_a_recipe_does_not_teach_stays_as_it_was_and_low_rank_terms_are_merged(
    runs: Runs, folders: Folders
) -> None:
    network = dataclasses.replace(NETWORKS["finetune-sam"], recipe=Recipe("encoder+decoder", "lora", 2))  # type: ignore[type-var]  # a dataclass
    run = runs("finetune-sam", network=network)
    average = _average(fit(run, folders, How()))
    torch.manual_seed(run.schedule.seed)
    before = method("finetune-sam").build(network)
    for key, value in before.named_parameters():
        assert bool((average[key] == value).all()) or value.requires_grad, key
    assert not torch.equal(average["sam.image_encoder.blocks.0.attn.qkv.up.0.weight"], torch.zeros(32, 2))
    net = trained(run, folders)
    assert not any(".up." in key for key in net.state_dict())
    weights = kind.export(run, kind.evaluate(run, folders, How()), folders)
    assert set(load_file(weights)) == set(net.state_dict())
    facts = json.loads(weights.with_suffix(".json").read_text())
    assert (facts["taught"]["way"], facts["network"]["recipe"]["way"]) == ("lora", "vanilla")


def test_classes_are_numbered_in_the_order_of_the_structures_and_slices_look_as_displayed(tiny: ModuleType) -> None:
    """The first scan: x of the array runs to the patient's right in LPS, so columns are turned; a voxel of the spleen is told by hand."""
    case = next(iter(tiny.cases(Path())))
    ready = make_ready(case, {"spleen": (2,), "liver": (1,)}, 32)
    assert len(ready) == case.grid.shape[2]
    x, y, z = np.argwhere(case.labels == 2)[-1]
    at = [int((n + 0.5) / side * 32) for n, side in ((18 - y, 19), (22 - x, 23))]
    assert int(ready[z].labels[at[0], at[1]]) == 1
    assert set(torch.cat([one.labels for one in ready]).unique().tolist()) == {0, 1, 2}
    with pytest.raises(BadCall, match="'case0' has no scan"):
        make_ready(dataclasses.replace(case, volume=None), {"liver": (1,)}, 32)


def test_labelled_patients_are_drawn_once_and_the_others_have_no_outlines(runs: Runs, folders: Folders) -> None:
    patients = [f"p{n}" for n in range(9)]
    assert choose_labelled(patients, 0, 1) == patients
    assert choose_labelled(patients, 3, 1) == choose_labelled(patients, 3, 1) != choose_labelled(patients, 3, 2)
    streams, counts = streams_of(runs("sss"), folders.data)
    assert counts == {"labelled": 2, "unlabelled": 4}
    assert not any(streams["unlabelled"](step, 0).labels.any() for step in range(4))
    assert any(streams[LABELLED](step, 0).labels.any() for step in range(4))
    with pytest.raises(BadCall, match="Of 6 training patients none is left for the stream 'unlabelled'"):
        streams_of(runs("sss", labelled=6), folders.data)


def test_a_run_begins_with_a_sam_that_was_imported_or_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = NETWORKS["finetune-sam"]
    net = method("finetune-sam").build(network)
    monkeypatch.setattr(catalogue, "USER_FOLDER", tmp_path)
    catalogue.forget_cards()
    try:
        with pytest.raises(Unavailable, match="models import sam"):
            begin_with_(net, "sam")
        for encoder, fits in ((network.encoder, True), (dataclasses.replace(network.encoder, width=16), False)):  # type: ignore[union-attr]  # a SAM's
            torch.manual_seed(4)
            save_file(Sam(encoder, network.decoder).state_dict(), tmp_path / "sam.safetensors")  # type: ignore[union-attr]  # a SAM's
            sha256 = hashlib.sha256((tmp_path / "sam.safetensors").read_bytes()).hexdigest()
            (tmp_path / "sam.json").write_text(json.dumps({"sha256": sha256}), encoding="utf-8")
            catalogue.forget_cards()
            if fits:
                begin_with_(net, "sam")
                given = load_file(tmp_path / "sam.safetensors")["image_encoder.blocks.0.attn.qkv.weight"]
                assert torch.equal(net.sam.image_encoder.blocks[0].attn.qkv.weight, given)
            else:
                with pytest.raises(BadCall, match="cannot begin with 'sam': its weights have other sizes"):
                    begin_with_(net, "sam")
    finally:
        catalogue.forget_cards()


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ('extends = "sss"\nmethod = "sssss"', "Unknown method 'sssss'. Closest: 'sss'"),
        ('extends = "sss"\nstart = "sam"', "'sam' is not among random, sam2, medsam2"),
        ('extends = "sss"\nlabelled = 0', "learns from scans without outlines"),
        ('extends = "sss"\nthreshold = 95', "`threshold` is 95. It is a share"),
        ('extends = "finetune-sam"\ndice_of = "tanh"', "'tanh' is not among sigmoid, softmax"),
        ('extends = "finetune-sam"\nthreshold = 0.9', "The key 'threshold' of 'x' is not known"),
        ('extends = "finetune-sam"\n[network.recipe]\nway = "prefix"', "'prefix' is not among vanilla, adapter, lora"),
        ('extends = "finetune-sam"\n[data]\nnowhere = 1.0', r"Unknown data sets \['nowhere'\]"),
    ],
)
def test_what_is_wrong_is_said(text: str, fact: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadCall, match=fact):
        read_run(path)


def test_structures_that_share_labels_and_scans_of_another_kind_are_refused(
    runs: Runs, folders: Folders, tiny: ModuleType
) -> None:
    both = dataclasses.replace(tiny.DATASET, structures={"liver": (1,), "abdomen": (1, 2)})
    with pytest.raises(BadCall, match="share labels"):
        structures_of((Source(both, 1.0),))
    run = runs("finetune-sam", modality="ct")
    with pytest.raises(BadCall, match="is for mr and these scans are ct"):
        kind.export(run, kind.Measured("", []), folders)
