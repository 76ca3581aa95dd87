"""On a card nothing is left on the host: every bundled synthesis network paints there what it paints on the CPU."""

import sys
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.volume import Grid
from ostensor.models import synthesizers
from ostensor.models.synthesis.jobs import SynthesisJob
from ostensor.models.synthesis.runtime import synthesize

sys.path.insert(0, str(Path(__file__).parents[2] / "toys"))
from card import card

SHAPE = (33, 29, 3)
GRID = Grid(SHAPE, np.diag([3.0, 3.0, 5.0, 1.0]))


def job(name: str, folder: Path, task: str) -> SynthesisJob:
    one = synthesizers.synthesis_network(name)
    labels, scan = np.zeros(SHAPE, np.uint8), np.random.default_rng(0).normal(40, 60, SHAPE).astype(np.int16)
    labels[8:20, 9:20] = 1
    np.save(folder / "labels.npy", labels)
    np.save(folder / "scan.npy", scan)
    facts: dict[str, object] = {
        "task": task, "engine": name, "modality": one.makes[0], "grid": GRID, "seed": 1, "steps": 2, "threads": 1,
    }  # fmt: skip
    if task == "synthesize":
        facts |= {"names": {1: one.vocabulary[0]}, "labels_path": str(folder / "labels.npy")}
    else:
        facts |= {"source_path": str(folder / "scan.npy"), "source_modality": one.makes[1], "names": {}}
    return SynthesisJob(**facts)  # type: ignore[arg-type]  # a table of arguments


@pytest.mark.parametrize("name", sorted(synthesizers.synthesis_networks()))
def test_a_network_paints_on_a_card_as_on_the_cpu(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = synthesizers.synthesis_network(name)
    asked = job(name, tmp_path, one.task)

    def made(device: str) -> np.ndarray:
        return synthesize(asked, one, progress=lambda share, said: None, cancelled=lambda: False, device=device).array

    here = made("cpu")
    assert here.std() > 0
    with card(monkeypatch):
        assert np.array_equal(made("cuda"), here)
