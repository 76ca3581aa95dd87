"""Makes the tiny data set and the toys importable and readable as a configuration."""

from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def tiny_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every configuration is the tiny one; the data folder is empty but there. Answers a folder for runs."""
    monkeypatch.syspath_prepend(str(HERE))
    import tiny

    from ostensor.training.segmenting import evaluate, export, fit

    made = tiny.plan()
    for module in (evaluate, export, fit):
        monkeypatch.setattr(module, "read_config", lambda _name: made)
        monkeypatch.setattr(module, "data_folder", lambda: tmp_path)
    return tmp_path / "runs"


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of networks whose answers are known."""
    monkeypatch.syspath_prepend(str(HERE))
    import toys

    return toys


@pytest.fixture
def toy_plan(toys: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every configuration that doubt is measured for has the toys' scans; the data folder is empty but there."""
    import dataclasses

    import tiny

    from ostensor.training.reliability import adapting as adapting_evaluate
    from ostensor.training.reliability import pool as pool_evaluate
    from ostensor.training.reliability import ranking

    made = dataclasses.replace(tiny.plan(), tests=(toys.DATASET,))
    for module in (adapting_evaluate, pool_evaluate, ranking):
        monkeypatch.setattr(module, "read_config", lambda _name: made)
        monkeypatch.setattr(module, "data_folder", lambda: tmp_path)
