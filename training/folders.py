"""Where training reads and writes."""

from __future__ import annotations

import os
from pathlib import Path

CONFIGS = Path(__file__).parent / "configs"


def data_folder() -> Path:
    """Where the data sets lie: OSTENSOR_DATA, or `../shared/data` beside the project."""
    return Path(os.environ.get("OSTENSOR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


RUNS = Path(__file__).resolve().parents[1] / "runs"
