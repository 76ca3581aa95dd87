"""Synthesis runs: configurations, batches, and the rivals' arithmetic."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.training.configuration import bundled
from ostensor.training.folders import Folders
from ostensor.training.runs import read_run
from ostensor.training.synthesis.augmenting import _deformed, slices_with_labels
from ostensor.training.synthesis.evaluate import _fill, _lookup, evaluate
from ostensor.training.synthesis.fit import stream_of
from ostensor.training.synthesis.run import Slices


def _case(labels: np.ndarray, pictures: np.ndarray, maps: np.ndarray | None = None) -> Slices:
    given = np.zeros((len(labels), 5, *labels.shape[1:]), np.float32) if maps is None else maps
    return Slices("p1", "case", pictures.astype(np.float32), given, labels.astype(np.uint8))


@pytest.mark.parametrize("name", bundled("synthesis"))
def test_every_configuration_can_be_read_and_fits_its_network(name: str) -> None:
    """Patches are multiples of both networks' strides; structures are those of the data set."""
    run = read_run(name)[1]
    assert all(side % max(run.network.stride, 8) == 0 for side in run.patch)
    assert set(run.structures) <= set(run.dataset.structures)


def test_a_rival_learns_from_the_same_data_by_its_own_schedule() -> None:
    """It extends the run that names it; Isola et al. 2017 give its learning rate."""
    for name in bundled("synthesis"):
        run = read_run(name)[1]
        if not run.rival:
            assert run.objective == "pix2pix"
            continue
        rival = read_run(run.rival)[1]
        assert (rival.objective, rival.schedule.learning_rate, rival.schedule.bf16) == ("pix2pix", 2e-4, False)
        own = {"name": "", "title": "", "objective": "diffusion", "rival": "", "schedule": None}
        assert dataclasses.replace(rival, **own) == dataclasses.replace(run, **own)
        with pytest.raises(BadCall, match="is a rival"):
            evaluate(rival, Folders(Path(), Path(), Path(), Path()))


def test_a_batch_is_a_function_of_its_step_and_shows_what_is_labelled() -> None:
    """So a resumed run sees what an unbroken one would have seen."""
    run = dataclasses.replace(read_run("paint-hippocampus")[1], batch=3, patch=(16, 8))
    labels = np.zeros((2, 47, 31))
    labels[0, 40:44, 25:29] = 1
    stream = stream_of(run, [_case(labels, labels)])
    one, again = stream(4, 0).images, stream(4, 0).images
    assert one.shape == (3, 6, 16, 8)
    assert bool((one == again).all())
    assert not bool((one == stream(5, 0).images).all())
    assert sum(float(stream(step, 0).images[:, 0].max()) > 0 for step in range(8)) >= 6


def test_prior_fill_paints_each_label_with_its_mean() -> None:
    labels = np.array([[[0, 1], [1, 2]]])
    fill = _fill([_case(labels, np.array([[[-1.0, 0.2], [0.4, 0.9]]]))])
    made = fill(_case(np.array([[[2, 1], [0, 0]]]), np.zeros((1, 2, 2))))
    assert np.allclose(made[0], [[0.9, 0.3], [-1.0, -1.0]])


def test_the_lookup_keeps_the_two_directions_apart() -> None:
    """The same source value means one thing on the way to CT and another on the way to MR."""

    def case(direction: int, value: float) -> Slices:
        maps = np.zeros((1, 3, 2, 2), np.float32)
        maps[:, 0], maps[:, direction] = 0.5, 1.0
        return _case(np.zeros((1, 2, 2)), np.full((1, 2, 2), value), maps)

    lookup = _lookup([case(1, -0.7), case(2, 0.3)])
    assert np.allclose(lookup(case(1, 0.0)), -0.7)
    assert np.allclose(lookup(case(2, 0.0)), 0.3)


def test_deformed_masks_keep_their_labels_and_their_condition_agrees_with_them() -> None:
    run = read_run("paint-hippocampus")[1]
    labels = np.zeros((3, 36, 50))
    labels[:, 10:20, 15:25], labels[:, 20:28, 15:25] = 1, 2
    maps, moved = _deformed(_case(labels, labels), 1, run, np.random.default_rng(0))
    assert moved.shape == run.patch
    assert set(np.unique(moved)) == {0, 1, 2}
    assert np.array_equal(maps[3] == 1, moved == 1)
    assert np.array_equal(maps[4] == 1, moved == 2)
    assert slices_with_labels([_case(labels, labels)], run).labels.shape == (3, *run.patch)
