"""Training what is pointed at, on toys: the loss falls, a stop leaves no trace, terms of sets are kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.promptable.scribbleprompt.network import ScribbleConfig, ScribbleUnet
from ostensor.training.configuration import Configuration, read_configuration
from ostensor.training.prompting.fit import PromptRun, deepened, read, stream_of_pool, trainer_of
from ostensor.training.prompting.pool import Page, page_of
from ostensor.training.prompting.sets import SETS
from ostensor.training.prompting.volumes import Block, draw_block
from ostensor.training.trainer import Schedule


def _pages(count: int) -> list[Page]:
    rng = np.random.default_rng(1)
    rows, columns = np.ogrid[:64, :52]
    found = []
    for _ in range(count):
        middle, reach = rng.uniform(20, 32, size=2), rng.uniform(8, 14)
        labels = ((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 <= reach**2).astype(np.int32)
        found.append(page_of(labels * 120.0 + rng.normal(0, 20, labels.shape), labels))
    return found


def _run() -> PromptRun:
    run = read(read_configuration("prompt-2d"))
    small = ScribbleConfig((8, 16), 2)
    schedule = Schedule(30, learning_rate=5e-3, warm_up=5, save_every=10)
    return replace(run, size=32, coarse=0.0, rounds=2, batch=4, sets={"toy": 1.0}, network=small, schedule=schedule)


def test_the_loss_falls_and_a_resumed_run_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    run = _run()
    stream = stream_of_pool(run, {"toy": _pages(6)})
    whole = trainer_of(run, tmp_path / "whole")
    whole.fit(stream)
    lines = (whole.folder / "log.csv").read_text(encoding="utf-8").splitlines()[1:]
    dice = [float(line.split(",")[1]) for line in lines]
    assert np.mean(dice[-5:]) < 0.8 * np.mean(dice[:5])
    trainer_of(run, tmp_path / "broken").fit(stream, until=10)
    again = trainer_of(run, tmp_path / "broken")
    assert again.resume()
    again.fit(stream)
    for key, value in whole.average.items():
        torch.testing.assert_close(value, again.average[key])


def test_a_deepened_network_answers_a_scan_of_equal_slices_as_the_flat_one_answers_each() -> None:
    """In the middle of a thick stack, which the black beyond its ends does not reach."""
    torch.manual_seed(3)
    flat, deep = (ScribbleUnet(ScribbleConfig((4, 6), dims)) for dims in (2, 3))
    deep.load_state_dict(deepened(flat.state_dict()))
    channels = torch.rand(1, 5, 20, 28)
    with torch.no_grad():
        one, many = flat(channels), deep(channels[..., None].repeat(1, 1, 1, 1, 48))
    torch.testing.assert_close(many[..., 24], one, atol=1e-5, rtol=1e-4)


def test_a_batch_depends_on_step_and_part_alone() -> None:
    run = _run()
    pages = _pages(3)
    first, second = (stream_of_pool(run, {"toy": pages})(7, 0) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)
    assert not torch.equal(first.images, stream_of_pool(run, {"toy": pages})(8, 0).images)
    assert first.labels.flatten(1).any(dim=1).all()


def test_a_view_of_a_block_holds_the_structure_and_its_brightness() -> None:
    """The structure alone is bright, so what the labels mark must be bright in the view, however it was turned."""
    labels = np.zeros((30, 41, 23), np.uint8)
    labels[8:20, 10:30, 6:15] = 1
    image = (labels * 200 + 20).astype(np.uint8)
    box = (slice(8, 20), slice(10, 30), slice(6, 15))
    for seed in range(6):
        drawn = draw_block(Block(image, labels, (box,), False), 32, np.random.default_rng(seed))
        inside, outside = drawn.image[drawn.mask].mean(), drawn.image[~drawn.mask].mean()
        assert drawn.mask.any()
        assert abs(inside - outside) > 0.3, "bright on dark, or dark on bright where the picture was turned over"


@pytest.mark.parametrize("name", ["prompt-2d", "prompt-3d"])
def test_the_bundled_configurations_train_on_nothing_whose_terms_forbid_it_and_measure_on_what_they_never_saw(
    name: str,
) -> None:
    run = read(read_configuration(name))
    assert {SETS[one].use for one in run.sets} == {"any"}
    assert not set(run.sets) & set(run.unseen)
    folders = {SETS[one].folder for one in run.sets if one != "montgomery"}
    assert not folders & {SETS[one].folder for one in run.unseen} - {"sts_ibsi/nifti"}
    assert run.unseen_modality not in {SETS[one].modality for one in run.sets}
    assert run.unseen_modality in {SETS[one].modality for one in run.unseen}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sets": {"acdc": 1.0}, "unseen": {"btcv": 1}}, "The terms of 'acdc'"),
        ({"sets": {"nowhere": 1.0}}, "Unknown set 'nowhere'"),
        ({"sets": {"heads": 1.0}, "unseen": {"heads": 1}}, "'heads' is to be trained on and to be unseen"),
        ({"size": 100}, "`size` must be a multiple of 64, got 100"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(change: dict[str, object], told: str) -> None:
    given = read_configuration("prompt-2d")
    with pytest.raises(BadCall, match=told):
        read(Configuration(given.stem, given.kind, {**given.values, **change}))
