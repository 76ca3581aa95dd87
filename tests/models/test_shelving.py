"""A published checkpoint becomes a model: the authors' own outputs come back through it, and what is wrong is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.imaging.volume import Grid, Volume
from ostensor.models.backbones.convolution import stunet
from ostensor.models.backbones.table import backbone
from ostensor.models.inference.preprocess import Preparation, prepare
from ostensor.models.language.satmini.predictor import SatMiniPredictor
from ostensor.models.load import load_predictor
from ostensor.models.memory import request_mb
from ostensor.models.shelving import import_backbone, importable

from ..toys.checkpoints import FACTS, UNETPP, facts_file, unetpp_file


def test_a_picture_is_answered_as_the_authors_code_would(shelf: Path) -> None:
    """UNet++ of the fixture, two classes of which the likeliest counts; the picture is laid out as our scans lie."""
    card = import_backbone(unetpp_file(shelf), facts_file(shelf), row=backbone("unetpp"), accept_licence=True)
    assert card.is_ready
    assert card.claimed == ("liver",)
    assert card.purpose == "research-only"
    fixture = UNETPP
    theirs = fixture.outputs["logits"][0].argmax(axis=0)
    predictor = load_predictor("my-unetpp", threads=1, precision="fp32")
    assert isinstance(predictor, SatMiniPredictor)
    net = predictor._net
    # Rows run to the back and columns to the left; the fixture's three channels differ, so they go in as they are.
    with torch.no_grad():
        assert np.array_equal(net.net(fixture.inputs["image"]).logits[0].argmax(0).numpy(), theirs)
    grid = Grid((64, 32, 3), np.diag([1.0, 1.0, 4.0, 1.0]))
    volume = Volume(np.random.default_rng(0).normal(size=grid.shape).astype(np.float32), grid, "mr")
    features = predictor.encode(volume, progress=lambda share: None, cancelled=lambda: False)
    (found,) = predictor.decode(features, ["liver"])
    seen = prepare(volume, Preparation(2, (1.0, 1.0, 1.0), "mr")).array[:, :, 1]
    shown = torch.from_numpy(np.ascontiguousarray(seen[::-1, ::-1].T))[None, None].repeat(1, 3, 1, 1)
    with torch.no_grad():
        likeliest = net.net(shown).logits[0].argmax(0).numpy() == 1
    assert (found.array[:, :, 1] == likeliest.T[::-1, ::-1]).mean() > 0.99, "but for smoothing between voxels"
    assert request_mb(card, Grid((512, 512, 100), np.eye(4))) > card.memory_mb + 100


def test_a_volume_is_looked_at_in_windows_with_the_authors_axes(shelf: Path) -> None:
    torch.manual_seed(0)
    net = stunet.build(3, 1, 3, widths=[4, 6, 8], depths=[1, 1, 1])
    official = {
        key.replace("down.", "conv_blocks_context.")
        .replace("up.", "conv_blocks_localization.")
        .replace("heads.", "seg_outputs."): one
        for key, one in net.state_dict().items()
    }
    official = {
        key.replace("grow.", "upsample_layers.") if "grow" in key else key: one for key, one in official.items()
    }
    official = {
        ".".join([*key.split(".")[:2], "conv", key.split(".")[2]]) if key.startswith("upsample") else key: one
        for key, one in official.items()
    }
    torch.save({"state_dict": official}, shelf / "small_ep4k.model")
    facts = facts_file(
        shelf,
        'name = "my-stunet"\ntitle = "x"\nmodality = "ct"\nstructures = ["liver", "spleen"]\nlicence = "Apache-2.0"\npurpose = "any"\n'
        '[network]\nstrides = [2, 2]\n[preparation]\ndims = 3\nspacing_mm = [2.0, 2.0, 2.0]\nintensity = "ct"\n'
        'scale = [-1000.0, 1000.0, 0.0, 500.0]\n[view]\npatch = [16, 16, 16]\nlayout = "SAR"\n',
    )
    card = import_backbone(shelf / "small_ep4k.model", facts, row=backbone("stunet"), accept_licence=True)
    assert card.vocabulary == ("liver", "spleen")
    facts_kept = json.loads((shelf / "user" / "trained" / "my-stunet.json").read_text())
    assert facts_kept["network"]["window"] == [16, 16, 16]
    predictor = load_predictor("my-stunet", threads=1, precision="fp32")
    array = np.random.default_rng(0).normal(scale=200, size=(16, 16, 16)).astype(np.float32)
    volume = Volume(array, Grid(array.shape, np.diag([2.0, 2.0, 2.0, 1.0])), "ct")
    features = predictor.encode(volume, progress=lambda share: None, cancelled=lambda: False)
    found = predictor.decode(features, ["liver", "spleen"])
    half = {key: one.half().float() for key, one in net.state_dict().items()}
    net.load_state_dict(half)
    with torch.no_grad():
        said = net.eval()(torch.from_numpy((array / 500).transpose(2, 1, 0).copy())[None, None]).logits[0].argmax(0)
    for number, one in enumerate(found, start=1):
        truth = said.numpy().transpose(2, 1, 0) == number
        both = 2 * (truth & one.array).sum() / (truth.sum() + one.array.sum())
        assert both > 0.98, "but for half precision and smoothing between voxels"


@pytest.mark.parametrize(
    ("text", "row", "fact"),
    [
        (FACTS.replace('licence = "MIT"', ""), "unetpp", "does not say licence"),
        (FACTS.replace('"liver"]', '"liver", "spleen"]'), "unetpp", "2 channels, and 2 structures are named beside"),
        (FACTS.replace('"liver"]', '"liver", "liver"]'), "unetpp", "names none, or one twice"),
        (FACTS.replace("dims = 2", "dims = 3"), "unetpp", "are of a 2-D network"),
        (FACTS.replace("my-unetpp", "sat-mini-brain"), "unetpp", "is the name of a model here"),
        (FACTS.replace("my-unetpp", "../escape"), "unetpp", "is no name of a model"),
        (FACTS + "\n[more]\nx = 1", "unetpp", "says 'more'"),
        (FACTS.replace('licence = "MIT"', 'licence = "MIT"\npurpose = "sale"'), "unetpp", "is one of any, research-only"),
        (FACTS, "stunet", "unknown here. Give a checkpoint of STU-Net"),
        (FACTS, "pctnet", "do not tell size, mode"),
        (FACTS, "unet", "No published checkpoint of 'unet' is known"),
        ("name = ", "unetpp", "is no readable TOML"),
    ],
)  # fmt: skip
def test_what_contradicts_the_weights_is_refused(text: str, row: str, fact: str, shelf: Path) -> None:
    with pytest.raises(BadCall, match=fact):
        import_backbone(unetpp_file(shelf), facts_file(shelf, text), row=backbone(row), accept_licence=True)
    assert not (shelf / "user").exists()


def test_the_licence_is_read_first_and_code_never_runs(shelf: Path) -> None:
    with pytest.raises(BadCall, match="Licence of 'my-unetpp': MIT"):
        import_backbone(unetpp_file(shelf), facts_file(shelf), row=backbone("unetpp"), accept_licence=False)
    torch.save({"state_dict": print}, shelf / "bad.pt")
    with pytest.raises(BadCall, match="might run code"):
        import_backbone(shelf / "bad.pt", facts_file(shelf), row=backbone("unetpp"), accept_licence=True)
    assert {"stunet", "unetpp", "r2unet", "segformer3d"} <= set(importable())
