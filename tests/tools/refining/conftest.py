"""A desk whose models draw from marks: a ball in three dimensions, slices, and grey values."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostensor.models import catalogue
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

from ...toys.desks import HERE, ask, image_id, root

sys.path.insert(0, str(HERE))

__all__ = ["ask", "image_id", "root"]


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(HERE))
    import prompt_toy

    monkeypatch.setattr(catalogue, "ENTRIES", prompt_toy.CARDS)
    catalogue.forget_cards()
    yield
    monkeypatch.undo()
    catalogue.forget_cards()


@pytest.fixture
def settings(tmp_path: Path, root: Path) -> Settings:
    return Settings(store=tmp_path / "store", roots=(root,), factory="prompt_toy:load", toolsets=("all",))


@pytest.fixture
def desk(settings: Settings) -> Iterator[Desk]:
    with Desk(settings) as made:
        yield made
