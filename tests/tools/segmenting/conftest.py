"""A desk where several models look for the same structures."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ostensor.models import catalogue
from ostensor.tools.desk.settings import Settings

from ...toys.desks import HERE


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`toy-ct` (measured 0.9), `toy-moved` (0.85), `toy-outside` (never) instead of the usual toys."""
    monkeypatch.syspath_prepend(str(HERE))
    from engines_toy import CARDS

    monkeypatch.setattr(catalogue, "ENTRIES", CARDS)
    catalogue.forget_cards()
    yield
    monkeypatch.undo()
    catalogue.forget_cards()


@pytest.fixture
def several(tmp_path: Path, root: Path, engines: None) -> Settings:
    """Settings of a desk with these models."""
    del engines
    return Settings(store=tmp_path / "store", roots=(root,), factory="engines_toy:load")
