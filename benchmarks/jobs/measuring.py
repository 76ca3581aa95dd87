"""Jobs that end with a number: organs, uptake, hearts, vessels, tissue."""

from __future__ import annotations

import math

import numpy as np

from . import dicom_scans
from .assistant import Assistant
from .grey_network import GREYS
from .scans import ORGANS, SHAPE, SPACING_MM, VOXEL_ML, Block, ml, save, torso

_BORDER = 0.45  # of a voxel to either side: nine tenths of half a voxel, as docs/derived.md says


def _border_ml(block: Block) -> float:
    """What 90 % of half a voxel along the whole surface of a block holds, worked out from its sides."""
    x, y, z = (high - low for low, high in block)
    return _BORDER * 2 * (x * y + y * z + z * x) * VOXEL_ML


def liver_and_kidneys(a: Assistant) -> None:
    """ "How large are liver and kidneys, which kidney is larger, and is that beyond the error?" """
    save(a.folder / "ct.nii.gz", torso())
    image = a.call("open_image", path="ct.nii.gz")["image_id"]
    rows = {
        row["structure"]: row for row in a.call("segment", image_id=image, structures=["liver", "kidneys"])["masks"]
    }
    for name in ("liver", "left kidney", "right kidney"):
        a.check(f"{name}, ml", rows[name]["volume_ml"], ml(ORGANS[name]), 0.01)
    pair = [rows[name]["mask_id"] for name in ("left kidney", "right kidney")]
    apart = a.call("derive", quantity="difference", mask_ids=pair)["values"][0]
    left, right = ORGANS["left kidney"], ORGANS["right kidney"]
    error = math.hypot(_border_ml(left), _border_ml(right))
    a.check("left less right, ml", apart["value"], ml(left) - ml(right), 0.001)
    a.check("lower end, ml", apart["low_90"], ml(left) - ml(right) - error, 0.01)
    a.check("beyond the error", apart["low_90"] > 0, ml(left) - ml(right) > error)


def uptake_of_a_lesion(a: Assistant) -> None:
    """A PET series: "SUVmax, MTV and TLG of the hot spot, with a 41 % contour"."""
    z, y, x = np.ogrid[:13, :31, :37]
    away = np.sqrt(((x - 20) * 0.6) ** 2 + ((y - 14) * 0.8) ** 2 + ((z - 6) * 2.5) ** 2)
    stored = (4000 + 36000 * np.clip(1 - away / 9, 0, 1)).astype(np.uint16)
    dicom_scans.save(a.folder / "pet", dicom_scans.pet(stored), "pet")
    opened = a.call("open_image", path="pet")
    image = opened["image_id"]
    a.call("render", image_id=image, kind="mip", view="coronal")
    box = [[0, 0, 0], opened["shape"]]
    lesion = a.call("edit_mask", operation="iso_contour", image_id=image, box_index=box, percent_of_max=41)["mask_id"]
    rows = a.call("derive", quantity="suv", mask_ids=[lesion])["values"]
    found = {row["quantity"]: row["value"] for row in rows}
    uptake = stored * dicom_scans.SUV_PER_STORED
    inside = uptake[stored >= 0.41 * stored.max()]
    mtv = inside.size * 0.6 * 0.8 * 2.5 / 1000
    a.check("SUVmax", found["suv_max"], float(uptake.max()), 0.001)
    a.check("MTV, ml", found["mtv"], mtv, 0.001)
    a.check("TLG, SUV ml", found["tlg"], float(inside.mean()) * mtv, 0.01)


def ejection_fraction(a: Assistant) -> None:
    """Two phases of a heart: "what is the ejection fraction?"."""
    phases: dict[str, Block] = {
        "diastole": ((20, 29), (15, 24), (8, 15)),
        "systole": ((21, 28), (16, 22), (9, 14)),
    }
    masks = []
    for phase, block in phases.items():
        save(a.folder / f"{phase}.nii.gz", torso({"left ventricle": block}))
        image = a.call("open_image", path=f"{phase}.nii.gz", modality="mr")["image_id"]
        masks.append(a.call("segment", image_id=image, structures=["left ventricle"])["masks"][0]["mask_id"])
    found, stroke = a.call("derive", quantity="ejection_fraction", mask_ids=masks)["values"]
    full, empty = (ml(block) for block in phases.values())
    a.check("ejection fraction, %", found["value"], 100 * (full - empty) / full, 0.001)
    a.check("stroke volume, ml", stroke["value"], full - empty, 0.001)


def aorta_across(a: Assistant) -> None:
    """A tilted aorta: "how wide is it, at right angles to its centre line?"."""
    shape, spacing = (71, 67, 61), (1.1, 1.3, 1.7)
    x, y, z = (np.arange(n) * s - n * s / 2 for n, s in zip(shape, spacing, strict=True))
    tilt = math.radians(25)
    along, beside = np.meshgrid(x, z, indexing="ij")
    across = along * math.cos(tilt) - beside * math.sin(tilt)  # distance from the axis within the x z plane
    inside = across[:, None, :] ** 2 + (y**2)[None, :, None] <= 11.0**2
    array = np.random.default_rng(4).integers(20, 60, shape, dtype=np.int16)
    array[inside], array[0, ::2] = GREYS["aorta"], -1000
    save(a.folder / "ct.nii.gz", array, np.diag([-spacing[0], -spacing[1], spacing[2], 1]))
    image = a.call("open_image", path="ct.nii.gz", modality="ct")["image_id"]
    aorta = a.call("segment", image_id=image, structures=["aorta"])["masks"][0]
    across = a.call("measure", mask_ids=[aorta["mask_id"]], what=["diameters"])["measurements"][0]["across"]
    a.check("it leaves the scan", aorta["truncated_at"], ["inferior", "superior"])
    a.check("median diameter, mm, of a cylinder", across["median_mm"], 22.0, 0.7)
    a.check("widest, mm", across["widest_mm"], 22.0, 1.1)


def tissue_at_a_vertebra(a: Assistant) -> None:
    """ "Fat and muscle at the third lumbar vertebra?" """
    bone: Block = ((26, 35), (30, 37), (10, 14))
    array = np.full(SHAPE, -1000, np.int16)
    array[5:56, 5:48], array[11:50, 9:44] = -90, 55
    array[tuple(slice(*ends) for ends in bone)] = GREYS["third lumbar vertebra"]
    save(a.folder / "ct.nii.gz", array)
    image = a.call("open_image", path="ct.nii.gz")["image_id"]
    level = a.call("segment", image_id=image, structures=["L3"])["masks"][0]["mask_id"]
    rows = {row["quantity"]: row for row in a.call("derive", quantity="tissue_areas", mask_ids=[level])["values"]}
    pixel_cm2 = SPACING_MM[0] * SPACING_MM[1] / 100
    a.check("fat, cm2", rows["fat_area"]["value"], (51 * 43 - 39 * 35) * pixel_cm2, 0.01)
    a.check("muscle, cm2", rows["muscle_area"]["value"], (39 * 35 - 9 * 7) * pixel_cm2, 0.01)
