"""A published checkpoint as a user brings it: the authors' UNet++ of the bundled fixture, and what is said of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import save_file

from ostensor.models import catalogue
from ostensor.models.parity import Fixture

UNETPP = Fixture(Path(__file__).resolve().parents[1] / "parity" / "unetpp")
FACTS = """
name = "my-unetpp"
title = "Two classes in a picture"
modality = "mr"
structures = ["liver"]
licence = "MIT"

[preparation]
dims = 2
spacing_mm = [1.0, 1.0, 1.0]
intensity = "mr"

[view]
patch = [64, 64]
layout = "PL"
"""


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which "user" is where the user's weights lie."""
    monkeypatch.setattr(catalogue, "USER_FOLDER", tmp_path / "user")
    monkeypatch.setattr("ostensor.models.shelving.USER_FOLDER", tmp_path / "user")
    catalogue.forget_cards()
    yield tmp_path
    catalogue.forget_cards()


def facts_file(folder: Path, text: str = FACTS) -> Path:
    """A file of facts."""
    path = folder / "facts.toml"
    path.write_text(text, encoding="utf-8")
    return path


def unetpp_file(folder: Path) -> Path:
    """The plain UNet++ in a file of its own, under the authors' names."""
    path = folder / "model.safetensors"
    state = UNETPP.state()
    save_file({key.removeprefix("plain."): one for key, one in state.items() if key.startswith("plain.")}, path)
    return path
