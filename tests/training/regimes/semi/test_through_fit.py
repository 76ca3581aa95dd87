"""`ostensor fit` with hidden labels: refused before a folder is made, recorded, and resumed bit by bit."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.language.satmini.fixed_classes import ClassesConfig
from ostensor.training.folders import Folders
from ostensor.training.kinds import How
from ostensor.training.segmenting.config import RunConfig
from ostensor.training.segmenting.fit import fit


def plan(tiny: ModuleType, labelled: int) -> RunConfig:
    network = ClassesConfig(3, options={"features": (4, 6), "finest": 4})
    made: RunConfig = tiny.plan(steps=4)
    return replace(
        made, name="mine", objective="bcp", options={"pretrained": 0.5}, network=network, labelled_cases=labelled
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / "checkpoint.pt", weights_only=True)["roles"]["teacher"]
    return found


def test_a_run_with_hidden_labels_resumes_bit_by_bit_and_says_what_it_saw(folders: Folders, tiny: ModuleType) -> None:
    whole = fit(plan(tiny, 2), folders, How())
    parts = replace(folders, runs=folders.runs / "parts")
    fit(plan(tiny, 2), parts, How(until=3))
    cut = fit(plan(tiny, 2), parts, How())
    again = weights(cut)
    assert all(torch.equal(value, again[name]) for name, value in weights(whole).items())
    record = json.loads((whole / "run.json").read_text())
    assert (record["cases"], record["unlabelled_cases"]) == ({"tiny": 2}, {"tiny": 4})
    assert record["objective"] == "bcp"
    assert record["fidelity"] == "structural"
    assert record["deviations"]
    assert {"inward", "outward"} <= set(record["last_losses"])


def test_without_hidden_labels_it_is_refused_before_a_folder_is_made(folders: Folders, tiny: ModuleType) -> None:
    with pytest.raises(BadCall, match="stream 'unlabelled' of 'tiny' is empty, and 'bcp' learns from it"):
        fit(plan(tiny, 0), folders, How())
    assert not folders.runs.exists()
