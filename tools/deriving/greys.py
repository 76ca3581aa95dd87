"""Quantities made of grey values: Hounsfield units, uptake in PET, calcium, tissue at a level."""

from __future__ import annotations

from ...imaging.derived import calcium
from ...imaging.derived.estimates import Estimate
from ...imaging.derived.greys import mean_grey, uptake
from ...imaging.derived.tissue import FAT_HU, MUSCLE_HU, tissue_areas
from ...imaging.derived.volumes import difference
from ...imaging.errors import BadCall
from ...imaging.masks.measures import EMPTY
from ..desk.doubts import grey_unit
from .given import Asked, Found, Given, one_patient, row

_KVP = 120.0
_OF_MEAN = "of a mean: the voxels' spread, and how far the mean moves without the outermost layer"


def hu_difference(asked: Asked) -> Found:
    """Mean HU of the first mask less that of the second."""
    masks = asked.masks(2, 2, "two masks")
    means = []
    for one in masks:
        _check_unit(one, "HU", "a CT in Hounsfield units")
        means.append(mean_grey(one.region, one.scan))
    found = row(
        "hu_difference",
        difference(*means),
        "HU",
        formula="mean of the first - mean of the second",
        inputs=[one.as_input(f"mean of {one.name}", mean, "HU") for one, mean in zip(masks, means, strict=True)],
        uncertainty=f"Propagated, errors taken as independent ({_OF_MEAN}).",
    )
    return Found([found], one_patient(masks))


def suv(asked: Asked) -> Found:
    """SUVmax, SUVpeak, SUVmean, metabolic tumour volume and total lesion glycolysis of one lesion."""
    (lesion,) = asked.masks(1, 1, "one mask of a lesion on a PET image")
    _check_unit(lesion, "SUV", "a PET in SUV")
    found = uptake(lesion.region, lesion.scan)
    mean = lesion.as_input("SUVmean", found.mean, "SUV")
    volume = lesion.as_input("MTV", found.volume_ml, "ml")
    border = "half a voxel of border"
    rows = [
        ("suv_max", found.highest, "SUV", "greatest voxel", [], "None given: one scan does not tell a voxel's noise."),
        (
            *(
                "suv_peak",
                found.peak,
                "SUV",
                "greatest mean of a 1 ml sphere centred in the mask (EANM, IBSI 0F91)",
                [],
            ),
            "None given: one scan does not tell the noise.",
        ),
        ("suv_mean", found.mean, "SUV", "mean of the mask's voxels", [], f"{_OF_MEAN}.".capitalize()),
        ("mtv", found.volume_ml, "ml", "volume of the mask", [], f"Of {border}; the choice of threshold is not in it."),
        (
            *("tlg", found.total, "SUV ml", "SUVmean x MTV", [mean, volume]),
            f"Propagated, errors taken as independent ({_OF_MEAN}; {border}).",
        ),
    ]
    made = [row(name, value, unit, formula=f, inputs=i, uncertainty=u) for name, value, unit, f, i, u in rows]
    return Found(made)


def calcium_score(asked: Asked) -> Found:
    """An Agatston-type score inside one mask, with what departs from the protocol."""
    (heart,) = asked.masks(1, 1, "one mask of the heart, the coronaries or a plaque on a CT")
    _check_unit(heart, "HU", "a CT in Hounsfield units")
    departures = _departures(heart)
    found = calcium.calcium_score(heart.region, heart.scan)
    if found.score != found.summed:
        departures.append(
            f"slices are {found.slice_mm:.3g} mm apart, not 3: the sum is scaled by {found.slice_mm:.3g} / 3."
        )
    inputs = [
        heart.as_input("sum over slices as they are", Estimate(found.summed), ""),
        heart.as_input("lesions counted", Estimate(found.lesions), ""),
        heart.as_input("volume of calcium", Estimate(found.volume_ml), "ml"),
    ]
    score = row(
        "calcium_score",
        Estimate(found.score),
        "",
        formula="sum of area (mm2) x weight of each slice's lesions from 130 HU and 1 mm2; weight 1, 2, 3, 4 from 130, 200, 300, 400 HU",
        inputs=inputs,
        uncertainty="None given: the weights jump, so no interval follows from the mask.",
    )
    return Found([score], [f"Agatston-type, not an Agatston score: {text}" for text in departures])


def _departures(heart: Given) -> list[str]:
    """What is known or unknown of the conditions of the score.

    Raises:
        BadCall: one certainly does not hold.
    """
    said = heart.image.facts.get("acquisition") or {}
    voltage, contrast = said.get("kvp"), said.get("contrast")
    if contrast:
        raise BadCall(
            "The header names a contrast agent, and blood with contrast counts as calcium. Use the scan without contrast."
        )
    if voltage is not None and voltage != _KVP:
        raise BadCall(
            f"The scan was made with {voltage:g} kV, but 130 HU stand for calcium at 120 kV only. No score is given."
        )
    found = ["ECG gating is not checked."]
    if voltage is None:
        found.append("the tube voltage is not known (120 kV is needed).")
    if contrast is None:
        found.append("whether contrast was given is not known; the mask's grey values do not look like it.")
    return found


def tissue(asked: Asked) -> Found:
    """Areas of fat and muscle in an axial slice: of the body, or of masks in it."""
    if asked.mask_ids:
        level, *within = asked.masks(
            1, 100, "the level's mask, e.g. a vertebra, then masks to look into (none: the body)"
        )
        if any(one.record.image_id != level.record.image_id for one in within):
            raise BadCall("The masks belong to different images. Give masks of the level's image.")
        if level.region.box is None:
            raise BadCall(f"{EMPTY} Give the mask of a level that the scan shows.")
        image, at = level.image, round(float(level.region.centre_index[level.region.axial_axis]))
    elif asked.image_id is not None and asked.slice_index is not None:
        image, at, within = asked.desk.store.image(asked.image_id), asked.slice_index, []
        asked.check_real(image)
    else:
        raise BadCall("No level is given. Pass the mask of a vertebra, or image_id and slice_index.")
    scan = asked.desk.store.volume(image.image_id)
    if grey_unit(image, scan) != "HU":
        raise BadCall("Tissue is told apart by Hounsfield units, which this image is not in. Give a CT in HU.")
    found = tissue_areas(scan, at, tuple(one.region for one in within))
    where = f"in axial slice {at}, inside {', '.join(one.name for one in within) or 'the body'}"
    rows = [
        row(name, area, "cm2", formula=f"area of {low:g} to {high:g} HU {where}", inputs=[], uncertainty="Of half a pixel of border.")
        for name, area, (low, high) in (("fat_area", found.fat, FAT_HU), ("muscle_area", found.muscle, MUSCLE_HU))
    ]  # fmt: skip
    warnings = (
        []
        if within
        else ["muscle_area is everything of muscle's HU: organs, blood and marrow, too. Pass muscle masks."]
    )
    if found.at_edge:
        warnings.append("What is measured reaches the slice's edge: areas are of the part inside.")
    return Found(rows, warnings)


def _check_unit(one: Given, unit: str, needs: str) -> None:
    if one.region.box is None:
        raise BadCall(f"The mask {one.record.mask_id} is empty. Give one that holds something.")
    if one.unit != unit:
        told = f"in {one.unit}" if one.unit else "in a unit that its file does not tell"
        more = " Open the PET as DICOM, which holds dose and weight." if unit == "SUV" else ""
        raise BadCall(f"{one.record.image_id} is {one.image.modality} {told}. This needs {needs}.{more}")
