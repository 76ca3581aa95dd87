"""The region-specific Tversky loss against its formula region by region, and as an objective."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.table import backbone
from ostensor.training.objective import Batch
from ostensor.training.regimes.regions import region_tversky
from ostensor.training.regimes.row import Lesson
from ostensor.training.regimes.table import objective_row
from ostensor.training.runs import read_run
from ostensor.training.trainer import Schedule, Trainer

LESSON = Lesson({"liver": (1,), "spleen": (2, 3)}, (), {})


def drawn(*sides: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    p = torch.rand(2, 3, *sides, generator=generator, dtype=torch.float64)
    return p, (torch.rand(2, 3, *sides, generator=generator) > 0.7).double()


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(("sides", "grid"), [((7, 12), (3, 4)), ((5, 6, 7), (2, 3, 1))])
def test_the_loss_is_the_formula_in_every_region(sides: tuple[int, ...], grid: tuple[int, ...], together: bool) -> None:
    """Region i of n over a side of s runs from floor(i s / n) to ceil((i + 1) s / n)."""
    p, t = drawn(*sides)
    found = []
    for b in [slice(0, 2)] if together else [slice(0, 1), slice(1, 2)]:
        for n in range(3):
            for place in np.ndindex(*grid):
                cut = tuple(slice(i * s // g, -(-(i + 1) * s // g)) for i, s, g in zip(place, sides, grid, strict=True))
                q, m = p[b, n][(slice(None), *cut)].numpy(), t[b, n][(slice(None), *cut)].numpy()
                voxels = q[0].size  # means, not sums
                tp, fp, fn = (one.sum() / voxels for one in (q * m, q * (1 - m), (1 - q) * m))
                alpha = 0.3 + 0.4 * (fp + 1e-5) / (fp + fn + 1e-5)
                beta = 0.3 + 0.4 * (fn + 1e-5) / (fp + fn + 1e-5)
                found.append((tp + 1e-5) / (tp + alpha * fp + beta * fn + 1e-5))
    assert float(region_tversky(p, t, grid, together=together)) == pytest.approx(-np.mean(found), rel=1e-9)


def test_one_region_of_equal_weights_is_dice_of_the_patch() -> None:
    p, t = drawn(7, 12)
    dice = [2 * (p[:, n] * t[:, n]).sum() / (p[:, n].sum() + t[:, n].sum()) for n in range(3)]
    found = region_tversky(p, t, (1, 1), least=0.5, span=0.0)
    assert float(found) == pytest.approx(-float(torch.stack(dice).mean()), abs=1e-4)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_objective_teaches_a_backbone_of_patches_smaller_than_the_grid(tmp_path: Path, dims: int) -> None:
    torch.manual_seed(0)
    net = backbone("unet").build(dims, 1, 2, {"features": [4, 6]})
    sides = [16, 12, 8][:dims]
    labels = torch.randint(0, 4, (2, *sides), generator=torch.Generator().manual_seed(4))
    batch = Batch(labels[:, None].float(), labels)
    trainer = Trainer(
        net,
        objective_row("region-tversky").objective(LESSON),
        Schedule(steps=40, warm_up=1, learning_rate=2e-2),
        tmp_path,
    )
    trainer.fit(lambda step, part: batch)
    rows = (tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()
    column = rows[0].split(",").index("regions")
    first, last = (float(row.split(",")[column]) for row in (rows[1], rows[-1]))
    assert -0.8 <= last < first - 0.05


def test_no_regions_are_refused_and_the_bundled_configuration_reads() -> None:
    with pytest.raises(BadCall, match="There are 0 regions along each axis"):
        objective_row("region-tversky").objective(Lesson(LESSON.structures, (), {"regions": 0}))
    plan = read_run("region-tversky-hippocampus")[1]
    assert (plan.objective, plan.options) == ("region-tversky", {"regions": 8.0})
