"""On a card nothing is left on the host: every bundled network gives there what it gives on the CPU."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue
from ostensor.models.card import Card as ModelCard
from ostensor.models.interface import Pointing
from ostensor.models.load import load_predictor

sys.path.insert(0, str(Path(__file__).parents[1] / "toys"))
from card import card

BUNDLED = [one for one in catalogue.catalogue() if one.weights == "bundled" and one.task in ("segment", "refer")]


def scan_for(model: ModelCard) -> Volume:
    flat = model.task == "refer"
    shape = (70, 64, 1) if flat else (70, 64, 6) if 2 in model.dimensions else (40, 48, 44)
    array = np.random.default_rng(0).normal(40, 60, shape).astype(np.int16)
    return Volume(array, Grid(shape, np.diag([1.5, 1.5, 2.0, 1.0])), model.modalities[0])  # type: ignore[arg-type]


def answers(predictor: Any, model: ModelCard) -> list[Any]:
    features = predictor.encode(scan_for(model), progress=lambda share: None, cancelled=lambda: False)
    if model.task == "refer":
        return list(predictor.refer(features, ["the liver", "the larger kidney"], Pointing("slice", 0)))
    return list(predictor.decode(features, list(model.claimed)[:4]))


def test_the_card_that_is_none_refuses_what_a_real_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with card(monkeypatch):
        there, here = torch.ones(3, 3).to("cuda"), torch.ones(3, 3)
        assert there.device == torch.device("cuda:0")
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises(RuntimeError, match="same device"):
            torch.nn.functional.linear(there, torch.nn.Linear(3, 3).weight)
        with pytest.raises(TypeError, match="host memory"):
            there.numpy()
        assert (torch.zeros(3, 3, device=there.device) + there).cpu().numpy().sum() == 9
        assert torch.nn.Linear(3, 3).to("cuda")(there).is_cuda
        assert not there.to("cpu").is_cuda


@pytest.mark.parametrize("model", BUNDLED, ids=lambda model: model.name)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_network_answers_on_a_card_as_on_the_cpu(model: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = answers(load_predictor(model.name, threads=1, backend="torch", precision="fp32"), model)
    with card(monkeypatch):
        there = answers(load_predictor(model.name, device="cuda", threads=1, precision="fp32"), model)
    for one, other in zip(ours, there, strict=True):
        assert np.array_equal(one.array, other.array)
        assert (one.confidence, one.peak) == pytest.approx((other.confidence, other.peak), abs=1e-5)


@pytest.mark.parametrize("model", BUNDLED, ids=lambda model: model.name)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_half_precision_on_a_card_runs_to_the_end(model: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    with card(monkeypatch):
        predictor = load_predictor(model.name, device="cuda", threads=1, precision="bf16")
        assert all(one.array.dtype == np.bool_ for one in answers(predictor, model))
    assert "bf16" in predictor.engine or model.task == "refer"  # those run in float32 everywhere
