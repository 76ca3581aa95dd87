"""Where training reads and writes in a working copy: beside its own files, wherever it is called from."""

from pathlib import Path

import pytest

import ostensor
from ostensor.commands.training.folders import data_folder, docs_folder, is_checkout, weights_folder

ROOT = Path(ostensor.__file__).parent


@pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="an installed wheel has no checkout")
def test_a_checkout_is_known_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`eval --calibrate` looked for ./weights since the commands moved a folder down."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OSTENSOR_DATA", raising=False)
    assert is_checkout()
    assert (weights_folder() / "sat-mini-torso.safetensors").is_file()
    assert (docs_folder() / "training.md").is_file()
    assert data_folder() == ROOT.parent / "shared" / "data"
