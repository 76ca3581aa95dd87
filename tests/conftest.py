"""Stops the run when `ostensor` comes from another checkout; finds the shared data."""

import os
from pathlib import Path

import pytest

import ostensor

ROOT = Path(__file__).resolve().parent.parent

if Path(ostensor.__file__).resolve().parent != ROOT:
    pytest.exit(
        f"'ostensor' is imported from another checkout, not from {ROOT.name}; run `make test` here.", returncode=3
    )


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scans; tests that need it skip with a reason where it is absent."""
    folder = Path(os.environ.get("OSTENSOR_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("needs the shared data folder (set OSTENSOR_DATA)")
    return folder
