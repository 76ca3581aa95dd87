"""The loop itself: stops and resumes without a trace, averages as promised, refuses NaN."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall, Failed
from ostensor.training.objective import LABELLED, MODEL, Batch, Batches, Objective, Roles, State, ema_update_
from ostensor.training.runlog import read_log
from ostensor.training.trainer import Schedule, Trainer


class Square(Objective):
    """Mean squared distance of the network's answer to the labels, with a little seeded noise."""

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        batch, noise = batches[LABELLED], float(state.rng.normal(0, 0.01))
        return {"square": (roles[MODEL](batch.images) - batch.labels.float() - noise).square().mean()}


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
    class Broken(Objective):
        def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
            return {"fine": torch.zeros(()), "broken": roles[MODEL](batches[LABELLED].images).sum() * float("nan")}

    with pytest.raises(Failed, match="'broken' became nan at step 0"):
        Trainer(network(), Broken(), PLAN, tmp_path).fit(stream)


class _NotFiniteBackward(torch.autograd.Function):
    """The identity; its gradient is NaN where `always`, or while autocast reduces the precision."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, always: bool) -> torch.Tensor:  # type: ignore[override]
        ctx.broken = always or torch.is_autocast_enabled("cpu")
        return values.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        return gradient * float("nan") if ctx.broken else gradient, None


class _Breaking(torch.nn.Module):
    def __init__(self, always: bool) -> None:
        super().__init__()
        self.inner, self.always = network(), always

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return _NotFiniteBackward.apply(self.inner(images).float(), self.always)  # type: ignore[no-untyped-call, no-any-return]


def test_a_gradient_lost_to_reduced_precision_is_taken_again_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ostensor.training.trainer.has_fast_bf16", lambda device: True)
    torch.manual_seed(0)
    reduced = Trainer(_Breaking(always=False), Square(), replace(PLAN, bf16=True, freeze_norm=0), tmp_path / "reduced")
    reduced.fit(stream, until=6)
    full = Trainer(network(), Square(), replace(PLAN, freeze_norm=0), tmp_path / "full")
    full.fit(stream, until=6)
    for name, value in full.model.state_dict().items():
        assert torch.equal(value, reduced.model.state_dict()["inner." + name]), name


def test_a_gradient_that_is_not_finite_in_float32_stops_the_run(tmp_path: Path) -> None:
    made = Trainer(_Breaking(always=True), Square(), PLAN, tmp_path)
    before = {name: value.clone() for name, value in made.model.state_dict().items() if "running" not in name}
    with pytest.raises(Failed, match="not finite at step 0"):
        made.fit(stream, until=1)
    for name, value in before.items():
        if "num_batches" not in name:
            assert torch.equal(value, made.model.state_dict()[name])


def test_cuda_is_refused_where_there_is_none(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(BadCall, match="--device cpu"):
        Trainer(network(), Square(), PLAN, tmp_path, device="cuda")


class Adversarial(Objective):
    """A generator learns the mean of the images against a critic, beside a teacher and a bank of past means.

    Two groups, two phases, two streams, a role without optimiser and a state of its own: everything
    a later objective may need, with no change of the trainer.
    """

    name = "adversarial"
    streams = (LABELLED, "unlabelled")

    def __init__(self) -> None:
        self.bank = torch.zeros(3)

    def roles(self, model: torch.nn.Module) -> dict[str, torch.nn.Module]:
        torch.manual_seed(1)
        teacher = network().requires_grad_(False)
        return {MODEL: model, "critic": torch.nn.Conv2d(1, 1, 3, padding=1), "teacher": teacher}

    def groups(self, roles: Roles) -> dict[str, list[torch.nn.Parameter]]:
        return {role: list(roles[role].parameters()) for role in (MODEL, "critic")}

    def optimizer(self, group, parameters, learning_rate, weight_decay):  # type: ignore[no-untyped-def]
        return torch.optim.SGD(parameters, lr=learning_rate, momentum=0.9)

    def phases(self, state: State) -> tuple[str, ...]:
        return (MODEL,) if state.step % 2 else (MODEL, "critic")

    def losses(self, phase: str, roles: Roles, batches: Batches, state: State) -> Mapping[str, torch.Tensor]:
        made = roles[MODEL](batches["unlabelled"].images)
        judged = roles["critic"](made if phase == MODEL else made.detach()).mean()
        if phase == MODEL:
            square = (made - batches[LABELLED].labels[:, None].float()).square().mean()
            return {"square": square, "adversarial": -0.01 * state.ramp("sigmoid", 6) * judged}
        return {"critic": judged.square()}

    def after_step(self, roles: Roles, state: State) -> None:
        ema_update_(dict(roles["teacher"].state_dict()), roles[MODEL].state_dict(), 0.9)
        self.bank = torch.cat([self.bank[1:], next(iter(roles[MODEL].parameters())).detach().mean()[None]])

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"bank": self.bank}

    def load_state_dict(self, values: Mapping[str, torch.Tensor]) -> None:
        self.bank = values["bank"]


def adversarial(folder: Path, *stops: int) -> Trainer:
    streams = {LABELLED: stream, "unlabelled": lambda step, part: stream(step + 1000, part)}
    for stop in stops:
        made = Trainer(network(), Adversarial(), PLAN, folder)
        made.resume()
        made.fit(streams, until=stop)
    return made


def test_an_objective_of_many_parts_resumes_bit_for_bit_too(tmp_path: Path) -> None:
    whole, cut = adversarial(tmp_path / "whole", 12), adversarial(tmp_path / "cut", 5, 12)
    for role in (MODEL, "critic", "teacher"):
        for key, value in whole.roles[role].state_dict().items():
            assert torch.equal(value, cut.roles[role].state_dict()[key]), (role, key)
    assert torch.equal(whole.objective.bank, cut.objective.bank)  # type: ignore[attr-defined]
    assert float(whole.objective.bank.abs().min()) > 0  # type: ignore[attr-defined]


def test_a_phase_changes_its_own_group_only(tmp_path: Path) -> None:
    """Step 1 has no critic phase, so the critic stays; step 0 has, so it moves; no optimiser touches the teacher."""
    made = Trainer(network(), Adversarial(), PLAN, tmp_path)
    streams = {LABELLED: stream, "unlabelled": stream}
    fresh = made.roles["critic"].weight.detach().clone()
    made.fit(streams, until=1)
    moved = made.roles["critic"].weight.detach().clone()
    assert not torch.equal(fresh, moved)
    made.fit(streams, until=2)
    assert torch.equal(moved, made.roles["critic"].weight)
    assert all(value.grad is None for value in made.roles["teacher"].parameters())


def test_a_missing_stream_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match=r"'adversarial' needs the data streams .*unlabelled"):
        Trainer(network(), Adversarial(), PLAN, tmp_path).fit(stream)


def test_columns_that_appear_late_are_logged_and_a_plot_is_drawn(tmp_path: Path) -> None:
    adversarial(tmp_path, 4)
    columns = read_log(tmp_path / "log.csv")
    assert columns["step"] == [1, 2, 3, 4]
    assert [np.isnan(value) for value in columns["critic"]] == [False, True, False, True]
    assert (tmp_path / "losses.png").stat().st_size > 5000
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_steps_after_the_last_checkpoint_are_logged_once(tmp_path: Path) -> None:
    """Killed at step 6 with a checkpoint at 4: steps 5 and 6 are done again, and stand in the log once."""
    made = Trainer(network(), Square(), PLAN, tmp_path)
    made.fit(stream, until=4)
    saved = made.checkpoint.read_bytes()
    made.fit(stream, until=6)
    made.checkpoint.write_bytes(saved)
    trained(tmp_path, PLAN, 8)
    assert read_log(tmp_path / "log.csv")["step"] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_ramps_start_near_zero_and_end_at_one() -> None:
    for kind, half in (("sigmoid", np.exp(-1.25)), ("linear", 0.5), ("cosine", 0.5)):
        values = [State(step, 20, np.random.default_rng(0)).ramp(kind, 10) for step in (0, 5, 10, 15)]  # type: ignore[arg-type]
        assert values[0] < 0.01
        assert values[1:] == pytest.approx([half, 1, 1])
