"""`ostensor models`: backbones are listed and shown, their checkpoints brought, and what they became is written for others."""

import json
from collections.abc import Iterator
from pathlib import Path

import openvino
import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

from ostensor.commands.app import app
from ostensor.models import catalogue
from ostensor.models.backbones.table import BACKBONES
from ostensor.models.parity import Fixture

PARITY = Path(__file__).resolve().parents[1] / "parity"
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
"""


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(catalogue, "USER_FOLDER", tmp_path / "user")
    monkeypatch.setattr("ostensor.models.shelving.USER_FOLDER", tmp_path / "user")
    catalogue.forget_cards()
    yield tmp_path
    catalogue.forget_cards()


def said(*words: str, fails: bool = False) -> str:
    done = CliRunner().invoke(app, ["models", *words])
    assert bool(done.exit_code) is fails, done.output + str(done.exception)
    return done.output + (str(done.exception) if fails else "")


def test_backbones_are_listed_and_shown() -> None:
    rows = json.loads(said("list", "--backbones", "--json"))
    assert [row["name"] for row in rows] == [row.name for row in BACKBONES]
    shown = said("list", "--backbones")
    assert "segformer3d" in shown
    row = json.loads(said("show", "stunet"))
    assert row["sizes"]
    assert row["deviations"]
    assert "large" in row["presets"]


def test_a_checkpoint_is_brought_and_written_for_openvino(shelf: Path) -> None:
    state = Fixture(PARITY / "unetpp").state()
    save_file(
        {key.removeprefix("plain."): one for key, one in state.items() if key.startswith("plain.")},
        shelf / "m.safetensors",
    )
    (shelf / "facts.toml").write_text(FACTS, encoding="utf-8")
    weights, facts = str(shelf / "m.safetensors"), str(shelf / "facts.toml")
    assert "is a backbone" in said("import", "unetpp", weights, fails=True)
    assert "Licence of 'my-unetpp'" in said("import", "unetpp", weights, "--facts", facts, fails=True)
    assert "my-unetpp: imported" in said("import", "unetpp", weights, "--facts", facts, "--accept-licence")
    assert json.loads(said("show", "my-unetpp"))["claimed"] == ["liver"]
    assert "Say --sides" in said("export", "my-unetpp", "--out", str(shelf / "net.xml"), fails=True)
    said("export", "my-unetpp", "--out", str(shelf / "net.xml"), "--sides", "32", "--sides", "64")
    model = openvino.Core().read_model(shelf / "net.xml")
    assert [list(one.shape) for one in model.inputs] == [[1, 3, 32, 64]]
    assert "stands on no backbone" in said("export", "translate-torso", "--out", str(shelf / "x.xml"), fails=True)
