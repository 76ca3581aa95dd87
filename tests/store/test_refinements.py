"""The log of refinements: lines are kept, one number is taken once, and they go with their image."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall
from ostensor.imaging.volume import Grid, Volume
from ostensor.store.records import StepRecord, now
from ostensor.store.shared import Shared
from ostensor.store.store import Store


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    shared = Shared()
    if request.param == "postgresql":
        shared = Shared(catalogue=request.getfixturevalue("postgres").database())
    return Store(tmp_path / "store", shared=shared)


def image_of(store: Store) -> str:
    array = np.arange(5 * 7 * 11, dtype=np.int16).reshape(5, 7, 11)
    return store.add_image(Volume(array, Grid((5, 7, 11), np.diag([0.7, 0.9, 3, 1]))), source_name="a").image_id


def line(image_id: str, number: int, word: str = "a") -> StepRecord:
    return StepRecord("ref_0123456789ab", number, image_id, "add" if number else "begin", {"word": word}, None, now())


def test_lines_come_back_in_their_order(store: Store) -> None:
    image = image_of(store)
    lines = [line(image, 0), line(image, 1)]
    assert store.refinements.append(lines)
    assert store.refinements.append([line(image, 2)])
    assert [one.number for one in store.refinements.lines("ref_0123456789ab")] == [0, 1, 2]
    assert store.refinements.lines("ref_0123456789ab")[:2] == tuple(lines)


def test_a_number_is_taken_once_and_what_was_written_stays(store: Store) -> None:
    image = image_of(store)
    assert store.refinements.append([line(image, 0)])
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda n: store.refinements.append([line(image, 1, str(n))]), range(6)))
    assert sum(taken) == 1
    assert store.refinements.lines("ref_0123456789ab")[1].facts == {"word": str(taken.index(True))}
    assert not store.refinements.append([line(image, 2), line(image, 1)]), "all or none"
    assert len(store.refinements.lines("ref_0123456789ab")) == 2


def test_they_go_with_their_image(store: Store) -> None:
    image = image_of(store)
    store.refinements.append([line(image, 0)])
    store.remove_image(image)
    assert not store.refinements.has("ref_0123456789ab")
    with pytest.raises(BadCall, match="Unknown refinement 'ref_0123456789ab'"):
        store.refinements.lines("ref_0123456789ab")
