"""Makes the tiny data set importable and readable as a configuration."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def tiny_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every configuration is the tiny one; the data folder is empty but there. Answers a folder for runs."""
    monkeypatch.syspath_prepend(str(HERE))
    import tiny

    from ostensor.training import evaluate, export, fit

    made = tiny.plan()
    for module in (evaluate, export, fit):
        monkeypatch.setattr(module, "read_config", lambda _name: made)
        monkeypatch.setattr(module, "data_folder", lambda: tmp_path)
    return tmp_path / "runs"
