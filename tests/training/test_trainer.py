"""The loop itself: stops and resumes without a trace, averages as promised, refuses NaN."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall, Failed
from ostensor.training.objectives import Batch
from ostensor.training.trainer import Schedule, Trainer, ema_update_


class Square:
    """Mean squared distance of the network's answer to the labels, with a little seeded noise."""

    def losses(self, model: torch.nn.Module, batch: Batch, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
        noise = float(rng.normal(0, 0.01))
        return {"square": (model(batch.images) - batch.labels.float() - noise).square().mean()}


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3, padding=1), torch.nn.BatchNorm2d(3), torch.nn.ReLU(), torch.nn.Conv2d(3, 1, 1)
    )


def stream(step: int, part: int) -> Batch:
    generator = torch.Generator().manual_seed(100 * step + part)
    images = torch.randn(2, 1, 7, 5, generator=generator)
    return Batch(images, (images > 0).long())


def trained(folder: Path, schedule: Schedule, *stops: int) -> Trainer:
    made = Trainer(network(), Square(), schedule, folder)
    for stop in stops:
        made = Trainer(network(), Square(), schedule, folder)
        made.resume()
        made.fit(stream, until=stop)
    return made


PLAN = Schedule(steps=12, learning_rate=0.01, warm_up=3, accumulate=2, save_every=4, freeze_norm=0.6, bf16=False)


def test_a_run_cut_into_three_is_bit_for_bit_the_whole_run(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", PLAN, 12)
    cut = trained(tmp_path / "cut", PLAN, 4, 8, 12)
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, cut.model.state_dict()[key]), key
    for key, value in whole.average.items():
        assert torch.equal(value, cut.average[key]), key
    rows = [(tmp_path / name / "log.csv").read_text().splitlines() for name in ("whole", "cut")]
    assert [row.rsplit(",", 1)[0] for row in rows[0]] == [row.rsplit(",", 1)[0] for row in rows[1]]


def test_it_learns(tmp_path: Path) -> None:
    made = trained(tmp_path, Schedule(steps=80, learning_rate=0.05, warm_up=5), 80)
    losses = [float(line.split(",")[1]) for line in (tmp_path / "log.csv").read_text().splitlines()[1:]]
    assert np.mean(losses[-10:]) < 0.4 * np.mean(losses[:5])
    assert made.step == 80


def test_norms_are_frozen_after_their_share_of_the_steps(tmp_path: Path) -> None:
    made = Trainer(network(), Square(), PLAN, tmp_path)
    made.fit(stream, until=8)
    before = made.model.state_dict()["1.running_mean"].clone()
    made.fit(stream, until=12)
    assert torch.equal(before, made.model.state_dict()["1.running_mean"])


def test_the_running_average_is_the_closed_form() -> None:
    average = {"w": torch.zeros(1), "n": torch.tensor(0)}
    for step in range(5):
        ema_update_(average, {"w": torch.ones(1), "n": torch.tensor(step)}, 0.9)
    assert float(average["w"]) == pytest.approx(1 - 0.9**5)
    assert int(average["n"]) == 4


def test_the_learning_rate_rises_then_falls_to_one_percent(tmp_path: Path) -> None:
    made = Trainer(network(), Square(), PLAN, tmp_path)
    rates = []
    for step in range(13):
        made.step = step
        rates.append(made._learning_rate())
    assert rates[:3] == pytest.approx([0.01 / 3, 0.02 / 3, 0.01])
    assert max(rates) == pytest.approx(0.01)
    assert rates[12] == pytest.approx(0.0001)


def test_a_loss_that_is_not_finite_names_its_term(tmp_path: Path) -> None:
    class Broken:
        def losses(self, model: torch.nn.Module, batch: Batch, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
            return {"fine": torch.zeros(()), "broken": model(batch.images).sum() * float("nan")}

    with pytest.raises(Failed, match="'broken' became nan at step 0"):
        Trainer(network(), Broken(), PLAN, tmp_path).fit(stream)


def test_cuda_is_refused_where_there_is_none(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(BadCall, match="--device cpu"):
        Trainer(network(), Square(), PLAN, tmp_path, device="cuda")
