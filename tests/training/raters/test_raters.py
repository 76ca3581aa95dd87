"""Made-up raters differ as they are said to; the objective plugs into the trainer and learns to differ with them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import Unavailable
from ostensor.imaging.volume import Grid, Volume
from ostensor.models.uncertainty.probunet import ProbUnet, ProbUnetConfig
from ostensor.training.cases import Case
from ostensor.training.objective import LABELLED, MODEL, Batch, State
from ostensor.training.raters import fit as raters_fit
from ostensor.training.raters.judged import RATERS, judged_slices, sets_of_raters
from ostensor.training.raters.pulaski import Pulaski, focal_tversky, raters_of
from ostensor.training.trainer import Schedule, Trainer

SHAPE = (23, 31, 11)


def _case(number: int) -> Case:
    """A bright lump of two labels, larger than the raters' differences."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    x = 4 + number % 3
    labels[x : x + 11, 8:17, 2:9], labels[x : x + 11, 17:24, 2:9] = 1, 2
    array = np.where(labels > 0, 100.0, 20.0) + np.random.default_rng(number).normal(0, 8, SHAPE)
    grid = Grid(SHAPE, np.eye(4))
    return Case(f"p{number}", f"case{number}", Volume(array.astype(np.float32), grid, "mr"), labels, grid)


def test_raters_differ_as_they_are_called_and_each_keeps_his_hand() -> None:
    case = _case(0)
    sets = sets_of_raters(case.labels, (1, 2), (1,), case.name)
    masks = {name: (sets >> n) & 1 for n, name in enumerate(RATERS)}
    sizes = {name: int(mask.sum()) for name, mask in masks.items()}
    assert sizes["without the head"] < sizes["tight"] < sizes["as the expert"] < sizes["generous"]
    truth = case.labels > 0
    assert 2 * int((masks["as the expert"] & truth).sum()) / (sizes["as the expert"] + int(truth.sum())) > 0.85
    assert masks["without the head"][:, :14].sum() == 0
    assert np.array_equal(sets, sets_of_raters(case.labels, (1, 2), (1,), case.name))
    assert not np.array_equal(sets, sets_of_raters(case.labels, (1, 2), (1,), "another"))


def test_a_scan_without_the_structure_is_marked_by_nobody() -> None:
    assert sets_of_raters(np.zeros(SHAPE, dtype=np.uint8), (1, 2), (1,), "empty").sum() == 0


def test_raters_are_the_bits_of_a_label() -> None:
    found = raters_of(torch.tensor([[[0, 1, 6, 15]]]), 4)
    assert found[0, :, 0].T.tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1]]


def test_focal_tversky_by_hand_counts_misses_more_than_false_marks() -> None:
    """Two of four voxels true, one found and one wrongly marked: TI = (1+1)/(1+.7+.3+1) = 2/3."""
    truth = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    half = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    assert float(focal_tversky(half, truth)) == pytest.approx((1 / 3) ** 0.75, rel=1e-5)
    missed, wrong = torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    assert float(focal_tversky(missed, truth)) > float(focal_tversky(wrong, truth))


def _roles() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    return {MODEL: ProbUnet(ProbUnetConfig(base=4, depth=3, latent=2))}


def _batch() -> Batch:
    labels = torch.zeros(2, 16, 12, dtype=torch.int64)
    labels[:, 3:9, 2:8], labels[:, 5:8, 3:6] = 1, 3
    return Batch(torch.randn(2, 1, 16, 12, generator=torch.Generator().manual_seed(0)), labels)


def test_terms_depend_on_the_state_alone_and_the_plain_network_has_no_distance() -> None:
    roles, batches = _roles(), {LABELLED: _batch()}

    def terms(distance: str, seed: int) -> dict[str, float]:
        state = State(0, 10, np.random.default_rng(seed))
        found = Pulaski(2, distance).losses("main", roles, batches, state)  # type: ignore[arg-type]
        return {name: float(value.detach()) for name, value in found.items()}

    assert set(terms("none", 0)) == {"tversky", "divergence"}
    assert set(terms("sinkhorn", 0)) == {"tversky", "divergence", "distance"}
    assert terms("hausdorff", 0) == terms("hausdorff", 0)
    assert terms("hausdorff", 0) != terms("hausdorff", 1)
    with pytest.raises(TypeError, match="needs a ProbUnet, got Linear"):
        Pulaski(2).losses("main", {MODEL: torch.nn.Linear(2, 2)}, batches, State(0, 1, np.random.default_rng(0)))


def test_the_trainer_teaches_it_as_it_is_and_a_stop_leaves_no_trace(tmp_path: Path) -> None:
    """Six steps in one go equal three, a stop, and three more."""
    cases = [_case(number) for number in range(3)]
    slices = list(judged_slices(cases, (1, 2), (1,)))
    assert len(slices) > 3 * 7
    run = raters_fit.RatersRun(
        "toy", "hippocampus", "hippocampi", "anterior hippocampus", ("hausdorff",), 2, (24, 32),
        ProbUnetConfig(base=4, depth=3, latent=2), Schedule(steps=6, warm_up=1, bf16=False),
    )  # fmt: skip
    stream = raters_fit.stream_of(run, slices)
    whole = raters_fit.trainer_of(run, "hausdorff", runs=tmp_path / "a")
    whole.fit(stream)
    raters_fit.trainer_of(run, "hausdorff", runs=tmp_path / "b").fit(stream, until=3)
    again = raters_fit.trainer_of(run, "hausdorff", runs=tmp_path / "b")
    assert again.resume()
    again.fit(stream)
    assert isinstance(again, Trainer)
    assert all(torch.equal(value, whole.average[name]) for name, value in again.average.items())
    found = {
        "hausdorff": raters_fit.spreads(raters_fit.trained(run, "hausdorff", tmp_path / "a"), slices[:3], run.patch)
    }
    assert "| PULASki, Hausdorff |" in raters_fit.table(found)  # type: ignore[arg-type]
    assert all(0 <= one.ged <= 2 and 0 <= one.best <= 1 for one in found["hausdorff"])
    with pytest.raises(Unavailable, match="'toy' has not been trained here"):
        raters_fit.trained(run, "none", tmp_path / "a")
