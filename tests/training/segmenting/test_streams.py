"""The unlabelled stream of a segmenting run: who loses labels, that nothing of them is seen, and that nothing else changes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.training.cases import Case
from ostensor.training.folders import Folders
from ostensor.training.kinds import How
from ostensor.training.objective import LABELLED, UNLABELLED
from ostensor.training.segmenting import streams
from ostensor.training.segmenting.config import RunConfig, Source
from ostensor.training.segmenting.fit import fit
from ostensor.training.segmenting.streams import NO_LABEL, stream_of, streams_of

BOTH = (LABELLED, UNLABELLED)


def with_labels(plan: RunConfig, count: int, seed: int = 0) -> RunConfig:
    return replace(plan, labelled_cases=count, schedule=replace(plan.schedule, seed=seed))


def names(plan: RunConfig, every: list[Case]) -> tuple[list[str], list[str]]:
    kept, hidden = streams._divided(plan, plan.sources[0], every)
    return [case.name for case in kept], [case.name for case in hidden]


def test_patients_are_kept_whole_and_drawn_by_the_seed(tiny: ModuleType) -> None:
    """Two scans of each of four patients: three scans keep their labels only as two whole patients."""
    every = [replace(case, patient=f"q{n // 2}") for n, case in enumerate(tiny.cases(Path()))]
    found = [names(with_labels(tiny.plan(), 3, seed), every) for seed in range(6)]
    for kept, hidden in found:
        assert (len(kept), len(hidden)) == (4, 4)
        assert not set(kept) & set(hidden)
        assert {int(name[4:]) // 2 for name in kept}.isdisjoint({int(name[4:]) // 2 for name in hidden})
    assert len({tuple(kept) for kept, _ in found}) > 1
    assert found[0] == names(with_labels(tiny.plan(), 3, 0), every)
    assert names(with_labels(tiny.plan(), 0), every) == ([case.name for case in every], [])


def test_the_labelled_order_is_the_same_beside_an_unlabelled_stream(tiny: ModuleType, tmp_path: Path) -> None:
    plan = with_labels(tiny.plan(), 2)
    alone, _ = stream_of(plan, tmp_path)
    both = streams_of(plan, tmp_path, BOTH)
    assert both.cases == {LABELLED: {"tiny": 2}, UNLABELLED: {"tiny": 4}}
    for step in (0, 7):
        one, other = alone(step, 1), both.by_name[LABELLED](step, 1)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
        assert not torch.equal(one.images, both.by_name[UNLABELLED](step, 1).images)


def test_nothing_of_hidden_labels_is_seen(tiny: ModuleType, tmp_path: Path) -> None:
    """Where a view is centred may not depend on the labels either, though views of labelled scans do."""
    plan = with_labels(tiny.plan(), 2)
    plan = replace(plan, view=replace(plan.view, foreground=1.0, patch=(12, 12, 12)))

    def blind(_folder: Path) -> Iterator[Case]:
        for case in tiny.cases(_folder):
            yield replace(case, labels=case.labels * 0)

    unseen = replace(plan, sources=(Source(replace(tiny.DATASET, load=blind), 1.0),))
    seen, not_seen = (streams_of(one, tmp_path, BOTH).by_name for one in (plan, unseen))
    assert torch.equal(seen[UNLABELLED](3, 0).images, not_seen[UNLABELLED](3, 0).images)
    assert not torch.equal(seen[LABELLED](3, 0).images, not_seen[LABELLED](3, 0).images)
    assert bool((seen[UNLABELLED](3, 0).labels == NO_LABEL).all())


def test_both_streams_draw_numbers_of_their_own(tiny: ModuleType, tmp_path: Path) -> None:
    """Six patients with the same scan: were the numbers the same, so were the views."""

    def alike(_folder: Path) -> Iterator[Case]:
        first = next(tiny.cases(_folder))
        for number in range(8):
            yield replace(first, patient=f"p{number}")

    source = Source(replace(tiny.DATASET, load=alike), 1.0)
    plan = with_labels(tiny.plan(), 3)
    plan = replace(plan, sources=(source,), view=replace(plan.view, foreground=0.0))  # labels have no say in it
    both = streams_of(plan, tmp_path, BOTH).by_name
    assert not torch.equal(both[LABELLED](2, 0).images, both[UNLABELLED](2, 0).images)


@pytest.mark.parametrize("count", [0, 6])
def test_an_empty_stream_is_refused_by_its_name(tiny: ModuleType, tmp_path: Path, count: int) -> None:
    with pytest.raises(BadCall, match=r"stream 'unlabelled' of 'tiny' is empty.* fewer than its 6"):
        streams_of(with_labels(tiny.plan(), count), tmp_path, BOTH)


def test_one_patient_is_not_split(tiny: ModuleType, tmp_path: Path) -> None:
    def one(_folder: Path) -> Iterator[Case]:
        yield next(tiny.cases(_folder))

    source = Source(replace(tiny.DATASET, load=one, held_out=lambda patients: set()), 1.0)
    with pytest.raises(BadCall, match="one training patient only"):
        streams_of(replace(with_labels(tiny.plan(), 1), sources=(source,)), tmp_path, BOTH)


def test_few_labels_teach_without_the_others_where_an_objective_has_one_stream(
    folders: Folders, tiny: ModuleType
) -> None:
    """The plain rival of what learns from unlabelled scans too."""
    folder = fit(with_labels(tiny.plan(steps=1), 2), folders, How())
    text = (folder / "run.json").read_text()
    assert '"tiny": 2' in text
    assert "unlabelled" not in text
