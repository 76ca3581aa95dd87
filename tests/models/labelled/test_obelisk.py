"""OBELISK: another way to compute its sampler, where its cube lies, and its published weights on a real abdomen."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.imaging.geometry import reorient
from ostensor.imaging.volume import Grid, Volume
from ostensor.models import catalogue, importing
from ostensor.models.interface import Cancelled
from ostensor.models.labelled.obelisk import (
    STRUCTURES,
    Obelisk,
    ObeliskPredictor,
    abdomen,
    load_obelisk,
    stretched_grid,
)
from ostensor.models.load import load_predictor


def test_it_has_the_published_number_of_weights() -> None:
    """Paper: 230 k trainable weights."""
    assert sum(value.numel() for value in Obelisk().parameters()) == pytest.approx(230_000, rel=0.02)


def test_the_sampler_reads_the_image_at_each_voxel_plus_its_offset() -> None:
    """An image that is linear in x, y and z: its value at voxel + offset is known in closed form."""
    torch.manual_seed(0)
    net = Obelisk()
    with torch.no_grad():
        net.offset1.zero_()
        net.offset1[0, 5, 0, 0] = torch.tensor([0.2, -0.1, 0.05])  # z, y, x in units of half a side
    axis = torch.linspace(-1, 1, 16)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    image = (3 * x + 5 * y + 7 * z)[None, None]
    seen: list[torch.Tensor] = []
    net.linear1a.register_forward_hook(lambda module, given, answer: seen.append(given[0]))
    net._sampled(1, image, 4)
    axis = torch.linspace(-1, 1, 4)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    inner = (slice(1, 3),) * 3
    assert torch.allclose(seen[0][0, 4][inner], (3 * x + 5 * y + 7 * z)[inner], atol=1e-4)
    moved = 3 * (x + 0.05) + 5 * (y - 0.1) + 7 * (z + 0.2)
    assert torch.allclose(seen[0][0, 5][inner], moved[inner], atol=1e-4)


def test_logits_keep_the_size_of_the_image() -> None:
    with torch.inference_mode():
        assert Obelisk().eval()(torch.zeros(1, 1, 16, 16, 16)).shape == (1, 9, 16, 16, 16)


def test_the_cube_covers_the_scan_with_axes_lai() -> None:
    affine = np.diag([2.0, -3.0, 4.0, 1.0])
    affine[:3, 3] = (7, -5, 11)
    cube = stretched_grid(Grid((11, 13, 17), affine))
    assert cube.axis_codes == "LAI"
    assert np.allclose(np.array(cube.spacing_mm) * 144, (22, 39, 68))
    low, high = (cube.affine @ [*corner, 1] for corner in ([143.5, -0.5, 143.5], [-0.5, 143.5, -0.5]))
    assert np.allclose(low[:3], (6, -5 - 36 - 1.5, 9))
    assert np.allclose(high[:3], (28, -3.5, 77))


def test_the_second_look_is_cut_around_the_liver() -> None:
    scan = Grid((11, 13, 17), np.diag([20.0, 20.0, 20.0, 1.0]))
    cube = stretched_grid(scan)
    classes = np.zeros((144, 144, 144), np.uint8)
    classes[40:80, 30:60, 50:70] = STRUCTURES["liver"][0]
    classes[5, 5, 140] = STRUCTURES["liver"][0]  # a stray voxel
    part = abdomen(classes, np.zeros((1,), np.float32), cube, scan)
    extra = round(60 / (17 * 20 / 144))
    assert part.shape == (144, 144, 20 + 2 * extra)
    assert np.allclose(part.affine[:3, 3], (cube.affine @ [0, 0, 50 - extra, 1])[:3])
    assert abdomen(np.zeros_like(classes), np.zeros((1,), np.float32), cube, scan) is scan


def test_other_networks_flat_scans_and_cancelling_are_refused() -> None:
    state = Obelisk().state_dict()
    with pytest.raises(BadCall, match="no OBELISK"):
        load_obelisk({**state, "conv0.weight": torch.zeros(5, 1, 3, 3, 3)})
    with pytest.raises(BadCall, match="no OBELISK"):
        load_obelisk({"a": torch.zeros(1)})
    with pytest.raises(BadCall, match="one file"):
        importing.import_weights("obelisk", [], accept_licence=True)
    made = ObeliskPredictor(load_obelisk(state), catalogue.card("obelisk"))
    flat = Volume(np.ones((8, 9, 1), np.float32), Grid((8, 9, 1), np.eye(4)), "ct")
    with pytest.raises(BadCall, match="3-D CT"):
        made.encode(flat, progress=lambda s: None, cancelled=lambda: False)
    small = Volume(np.zeros((7, 9, 11), np.float32), Grid((7, 9, 11), np.eye(4) * [9, 9, 9, 1]), "ct")
    with pytest.raises(Cancelled):
        made.encode(small, progress=lambda s: None, cancelled=lambda: True)


def test_the_catalogue_names_its_organs() -> None:
    card = catalogue.card("obelisk")
    assert card.vocabulary == tuple(STRUCTURES)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("order", ["RAS", "PIL"])
def test_published_weights_on_a_real_abdomen(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """Agreement with TotalSegmentator's labels, from any axis order; measured 0.91, 0.77 and 0.74."""
    folder = shared_data / "totalsegmentator_example"
    image = nibabel.load(folder / "example_ct.nii.gz")
    raw = np.asarray(nibabel.load(folder / "example_seg_fast_force_split.nii.gz").dataobj)
    monkeypatch.setattr(catalogue, "USER_FOLDER", tmp_path)
    weights = shared_data / "pretrained" / "obelisk" / "obeliskhybrid_tcia_fold1.pth"
    try:
        importing.import_weights("obelisk", [weights], accept_licence=True, folder=tmp_path)
        loaded = load_predictor("obelisk")
        scan = Volume(np.asarray(image.dataobj), Grid(image.shape, image.affine), "ct")
        features = loaded.encode(reorient(scan, order), progress=lambda s: None, cancelled=lambda: False)
        for name, value, least in (("liver", 5, 0.9), ("spleen", 1, 0.75), ("gallbladder", 4, 0.7)):
            truth = reorient(Volume((raw == value).astype(np.uint8), scan.grid, "unknown"), order).array > 0
            found = loaded.decode(features, [name])[0].array
            assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) >= least, name
    finally:
        catalogue.forget_cards()
