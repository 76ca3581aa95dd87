"""What the 3-D view is made of: grey that is the scan, surfaces that lie where the masks do, answers that stay short."""

import base64
import hashlib
import json
import re
import subprocess
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from ostensor.imaging.region import Region
from ostensor.imaging.volume import Grid, Mask, Volume
from ostensor.tools.viewer import library
from ostensor.tools.viewer.solids import MOST_BYTES, solid_mask, solid_scan

from ... import node_packages
from ...toys.desks import AFFINE, toy_scan

# Axes turned, two of them backwards, voxels unequal: index x runs to the feet, y to the right, z to the back.
TURNED = np.array([[0, 0.8, 0, 20.0], [0, 0, -1.5, 30.0], [-2.0, 0, 0, -50.0], [0, 0, 0, 1]])
SPACING_RAS = np.array([0.8, 1.5, 2.0])


def unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def grey_of(solid: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(unpacked(solid["grey"]), np.uint8).reshape(solid["shape"], order="F")


PROGRAM = """globalThis.window = globalThis; globalThis.niivue = {};
const [code, solid] = JSON.parse(require("fs").readFileSync(0));
(0, eval)(code);
ostensorSolid.unpacked(solid).then(ostensorSolid.surface)
  .then((made) => console.log(JSON.stringify([[...made.points], [...made.triangles]])));"""


def surface_of(solid: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Points (n 3) in mm and triangles (m 3), as the page's own program makes them, in Node."""
    code = (Path(library.__file__).parent / "solid.js").read_text(encoding="utf-8")
    done = subprocess.run(
        [node_packages.node(), "-e", PROGRAM],
        input=json.dumps([code, solid]),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    points, triangles = json.loads(done.stdout)
    return np.reshape(points, (-1, 3)), np.reshape(triangles, (-1, 3))


def enclosed(points: np.ndarray, triangles: np.ndarray) -> tuple[float, np.ndarray]:
    """Volume and centre of mass by Gauss's theorem; the volume is below 0 where triangles face inwards."""
    corners = points[triangles]
    pieces = np.einsum("ni,ni->n", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    return pieces.sum(), (corners.sum(axis=1) / 4 * pieces[:, None]).sum(axis=0) / pieces.sum()


def body() -> np.ndarray:
    """An L without symmetry, of thick arms."""
    array = np.zeros((37, 41, 31), bool)
    array[5:33, 7:17, 4:19] = True
    array[5:15, 7:35, 4:19] = True
    return array


def ras(mask: np.ndarray) -> np.ndarray:
    """As nibabel turns it."""
    return np.asarray(nibabel.as_closest_canonical(nibabel.Nifti1Image(mask.astype(np.uint8), TURNED)).dataobj) > 0


def test_the_grey_is_the_scan_seen_through_the_window() -> None:
    """Against the file as nibabel turns it, windowed by hand; small scans keep every voxel."""
    array = toy_scan(liver=(slice(8, 25), slice(10, 30), slice(5, 17)))
    solid = solid_scan(Volume(array, Grid(array.shape, AFFINE), "ct"))
    turned = np.asarray(nibabel.as_closest_canonical(nibabel.Nifti1Image(array, AFFINE)).dataobj)
    assert np.array_equal(grey_of(solid), np.rint(np.clip((turned + 160) / 400, 0, 1) * 255))
    assert solid["spacing_mm"] == pytest.approx([0.8, 0.9, 3.0])
    assert solid["origin_mm"] == [0, 0, 0]


def test_a_coarser_scan_keeps_its_place() -> None:
    """A ramp in mm: the mean of a block is the ramp's value at the block's middle, which is where its grey is said to be."""
    array = np.broadcast_to(np.arange(300, dtype=np.float32)[:, None, None] * 0.5, (300, 5, 7))
    solid = solid_scan(Volume(array, Grid(array.shape, np.diag([0.5, 2, 3, 1.0])), "mr"), window=(75, 150))
    assert solid["shape"] == [100, 5, 7]
    place = solid["origin_mm"][0] + solid["spacing_mm"][0] * np.arange(100)
    assert grey_of(solid)[:, 2, 3] / 255 * 150 == pytest.approx(place, abs=0.5)


def test_a_noisy_scan_is_sent_coarser_until_it_is_short() -> None:
    array = np.random.default_rng(7).integers(0, 255, (150, 130, 140)).astype(np.uint8)
    solid = solid_scan(Volume(array, Grid(array.shape, np.eye(4)), "mr"), window=(127.5, 10))
    assert len(solid["grey"]) * 3 / 4 <= MOST_BYTES
    assert max(solid["shape"]) < 128


def test_a_surface_lies_where_its_mask_does_and_faces_outwards() -> None:
    """Volume and centre of mass against the voxels' own, in mm along RAS axes; smoothing may take a tenth of a voxel."""
    mask = Mask(body(), Grid((37, 41, 31), TURNED))
    points, triangles = surface_of(solid_mask(Region.of(mask)))
    volume, centre = enclosed(points, triangles)
    inside = np.argwhere(ras(body()))
    assert volume == pytest.approx(len(inside) * SPACING_RAS.prod(), rel=0.03)
    assert centre == pytest.approx(inside.mean(axis=0) * SPACING_RAS, abs=0.1 * SPACING_RAS.min())
    low, high = inside.min(axis=0) - 0.5, inside.max(axis=0) + 0.5
    assert (points >= (low - 0.25) * SPACING_RAS).all()
    assert (points <= (high + 0.25) * SPACING_RAS).all()


def test_a_coarser_surface_keeps_its_place() -> None:
    array = np.zeros((301, 12, 211), bool)
    array[20:290, 3:10, 30:200] = True
    array[20:120, 3:10, 30:90] = False
    points, triangles = surface_of(solid_mask(Region.of(Mask(array, Grid(array.shape, np.diag([0.5, 0.5, 0.5, 1]))))))
    volume, centre = enclosed(points, triangles)
    assert volume == pytest.approx(array.sum() / 8, rel=0.05)
    assert centre == pytest.approx(np.argwhere(array).mean(axis=0) * 0.5, abs=0.5)


def test_a_thin_vessel_does_not_vanish_where_the_surface_is_coarse() -> None:
    array = np.zeros((400, 9, 11), bool)
    array[10:390, 4, 5] = True
    points, _ = surface_of(solid_mask(Region.of(Mask(array, Grid(array.shape, np.eye(4))))))
    assert np.ptp(points[:, 0]) > 0.95 * 380


def test_an_empty_mask_has_no_surface() -> None:
    empty = solid_mask(Region.of(Mask(np.zeros((5, 7, 11), bool), Grid((5, 7, 11), np.eye(4)))))
    assert empty["bits"] == ""


def test_the_program_is_the_build_that_is_told_and_asks_for_nothing() -> None:
    """The sum is that of the text beside it; no WebAssembly and no evaluated text, which pages' policies forbid."""
    folder = Path(library.__file__).parent / "niivue"
    told = re.search(r"sha256  ([0-9a-f]{64})", (folder / "README.md").read_text(encoding="utf-8"))
    assert told is not None
    made = (folder / "niivue.js").read_bytes()
    assert hashlib.sha256(made).hexdigest() == told.group(1)
    text = zlib.decompress(library.drawing_program()).decode("utf-8")
    assert text.startswith(made.decode("utf-8")[:1000])
    assert not re.search(r"WebAssembly|\beval\(|new Function|</script|<!--", text)
    assert len(library.drawing_program()) <= 400_000
