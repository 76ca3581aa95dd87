"""Makes the tiny data set and the toys importable; folders that hold nothing yet."""

import dataclasses
from pathlib import Path
from types import ModuleType

import pytest

from ostensor.training.folders import Folders
from ostensor.training.segmenting.config import RunConfig

HERE = Path(__file__).parent


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """A data folder that is empty but there, and the others, not made yet."""
    return Folders(tmp_path, tmp_path / "runs", tmp_path / "out", tmp_path / "docs")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the tiny data set and its run."""
    monkeypatch.syspath_prepend(str(HERE))
    import tiny

    return tiny


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of networks whose answers are known."""
    monkeypatch.syspath_prepend(str(HERE))
    import toys

    return toys


@pytest.fixture
def toy_plan(toys: ModuleType, tiny: ModuleType) -> RunConfig:
    """A run whose held-out scans are the toys'."""
    plan: RunConfig = dataclasses.replace(tiny.plan(), tests=(toys.DATASET,))
    return plan
