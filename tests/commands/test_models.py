"""`ostensor models`: backbones are listed and shown, their checkpoints brought, and what they became is written for others."""

import json
from pathlib import Path

import openvino
from typer.testing import CliRunner

from ostensor.commands.app import app
from ostensor.models.backbones.table import BACKBONES

from ..toys.checkpoints import facts_file, unetpp_file


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
    weights, facts = str(unetpp_file(shelf)), str(facts_file(shelf))
    assert "is a backbone" in said("import", "unetpp", weights, fails=True)
    assert "Licence of 'my-unetpp'" in said("import", "unetpp", weights, "--facts", facts, fails=True)
    assert "my-unetpp: imported" in said("import", "unetpp", weights, "--facts", facts, "--accept-licence")
    assert json.loads(said("show", "my-unetpp"))["claimed"] == ["liver"]
    assert "Say --sides" in said("export", "my-unetpp", "--out", str(shelf / "net.xml"), fails=True)
    said("export", "my-unetpp", "--out", str(shelf / "net.xml"), "--sides", "32", "--sides", "64")
    model = openvino.Core().read_model(shelf / "net.xml")
    assert [list(one.shape) for one in model.inputs] == [[1, 3, 32, 64]]
    assert "stands on no backbone" in said("export", "translate-torso", "--out", str(shelf / "x.xml"), fails=True)
