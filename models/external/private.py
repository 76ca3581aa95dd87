"""Where an engine's process lives: a folder nobody else may read, an environment that tells it nothing. Torch-free."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

KEPT = (
    "PATH",
    "OMP_NUM_THREADS",
    "LANG",
    "LC_ALL",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "LD_LIBRARY_PATH",
    "CUDA_HOME",
)
"""Variables an engine keeps of ours; keys and tokens are in none of them."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class PrivateFolder:
    """A folder (0700) for patient data, with a home for the engine; gone after `delete`."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="ostensor-engine-"))  # mkdtemp: 0700
        self.home = self.path / "home"
        self.home.mkdir()
        self._runs = 0

    def run(self) -> Path:
        """A folder for one run."""
        self._runs += 1
        folder = self.path / f"run{self._runs}"
        folder.mkdir()
        return folder

    def delete(self) -> None:
        """Everything in it, and itself."""
        shutil.rmtree(self.path, ignore_errors=True)


def scrubbed(folder: PrivateFolder, threads: int | None, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of an engine's process.

    Args:
        threads: of the processor; None for the library's own choice.
        more: what the adapter needs beside it.
    """
    home = str(folder.home)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    places = {
        name: home for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR")
    }
    quiet = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    counted = {name: str(threads) for name in THREADS} if threads else {}
    return {**kept, **places, **quiet, **counted, **more}
