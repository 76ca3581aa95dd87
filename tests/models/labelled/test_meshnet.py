"""MeshNet: known answers on a toy, the published weights on a real head from any axis order."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ostensor.imaging.errors import BadCall
from ostensor.imaging.geometry import reorient
from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue, importing
from ostensor.models.interface import Cancelled
from ostensor.models.labelled import card as labelled_card
from ostensor.models.labelled.meshnet import STRUCTURES, MeshNet, MeshNetPredictor, conformed_grid, load_meshnet
from ostensor.models.load import load_predictor


def test_the_catalogue_lists_what_the_network_knows() -> None:
    assert set(labelled_card.MESHNET_STRUCTURES) == set(STRUCTURES)


def test_layers_are_those_of_the_published_file() -> None:
    """Sizes of brainchop's 'subcortical': 785,768 bytes of float32 with a header of 2 kB."""
    net = MeshNet(30)
    assert net.state_dict()["0.weight"].shape == (30, 1, 3, 3, 3)
    assert net.state_dict()["18.weight"].shape == (18, 30, 1, 1, 1)
    assert 4 * sum(value.numel() for value in net.parameters()) == pytest.approx(785_768, abs=3000)


def test_the_cube_has_fsl_free_surfers_axes_around_the_scans_middle() -> None:
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = (7, -5, 11)
    cube = conformed_grid(Grid((11, 13, 17), affine))
    assert cube.axis_codes == "LIA"
    assert cube.shape == (256, 256, 256)
    assert np.allclose(cube.spacing_mm, 1)
    middle = cube.affine @ np.array([127.5, 127.5, 127.5, 1.0])
    assert np.allclose(middle[:3], (7 + 10, -5 + 18, 11 + 32))


def test_other_networks_are_refused() -> None:
    with pytest.raises(BadCall, match="no MeshNet"):
        load_meshnet({"a": torch.zeros(1)})
    with pytest.raises(BadCall, match="50 classes"):
        load_meshnet(MeshNet(5, classes=50).state_dict())
    short = MeshNet(5).state_dict()
    del short["4.bias"]
    with pytest.raises(BadCall, match="missing or unexpected"):
        load_meshnet(short)


def test_import_needs_one_right_file(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "model.pth")
    for files, fact in (([], "one file"), ([tmp_path / "model.pth"], "no MeshNet")):
        with pytest.raises(BadCall, match=fact):
            importing.import_weights("meshnet", files, accept_licence=True, folder=tmp_path)


def test_flat_scans_unknown_words_and_cancelling() -> None:
    torch.manual_seed(0)
    made = MeshNetPredictor(MeshNet(2), catalogue.card("meshnet"))
    flat = Volume(np.ones((8, 9, 1), np.float32), Grid((8, 9, 1), np.eye(4)), "mr")
    with pytest.raises(BadCall, match="3-D head"):
        made.encode(flat, progress=lambda s: None, cancelled=lambda: False)
    small = Volume(
        np.random.default_rng(0).random((20, 21, 22)).astype(np.float32), Grid((20, 21, 22), np.eye(4)), "mr"
    )
    with pytest.raises(Cancelled):
        made.encode(small, progress=lambda s: None, cancelled=lambda: True)
    seen = made.encode(small, progress=lambda s: None, cancelled=lambda: False)
    assert seen.classes.shape == (20, 21, 22)
    with pytest.raises(BadCall, match="does not know 'liver'"):
        made.decode(seen, ["liver"])


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("order", ["LIA", "RAS", "PSR"])
def test_published_weights_on_a_real_head(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """FreeSurfer's labels; the mean Dice on this head is 0.77 by the data's README."""
    folder = shared_data / "brain_t1"
    image = nibabel.load(folder / "norm.mgz")
    raw = np.asarray(nibabel.load(folder / "aparc.a2009s+aseg.mgz").dataobj)
    monkeypatch.setattr(catalogue, "USER_FOLDER", tmp_path)
    weights = shared_data / "pretrained" / "meshnet" / "subcortical" / "model.pth"
    try:
        importing.import_weights("meshnet", [weights], accept_licence=True, folder=tmp_path)
        loaded = load_predictor("meshnet")
        scan = Volume(np.asarray(image.dataobj), Grid(image.shape, image.affine), "mr")
        turned = reorient(scan, order)
        features = loaded.encode(turned, progress=lambda s: None, cancelled=lambda: False)
        values = {
            "cerebral white matter": (2, 41), "lateral ventricles": (4, 43, 5, 44), "thalami": (10, 49),
            "caudate nuclei": (11, 50), "putamina": (12, 51), "pallida": (13, 52), "hippocampi": (17, 53),
            "amygdalae": (18, 54), "brain stem": (16,), "cerebellum": (7, 8, 46, 47),
        }  # fmt: skip
        scores = []
        for found in loaded.decode(features, list(values)):
            truth = Volume(np.isin(raw, values[found.structure]).astype(np.uint8), scan.grid, "unknown")
            inside = reorient(truth, order).array > 0
            scores.append(2 * (found.array & inside).sum() / (found.array.sum() + inside.sum()))
        assert np.mean(scores) >= 0.75
    finally:
        catalogue.forget_cards()
