"""`derive` and the masks by grey value of `edit_mask`, as a client meets them: numbers worked out here, every refusal."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ostensor.imaging.dicom.source import made_up_source
from ostensor.imaging.volume import Grid, Mask, Modality, Volume
from ostensor.tools.deriving.deriving import QUANTITIES
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

from ...toys.desks import Ask

SPACING = (1.1, 1.3, 3.0)
ML = 1.1 * 1.3 * 3.0 / 1000
Open = Callable[..., str]


def grid(shape: tuple[int, int, int], spacing: tuple[float, float, float] = SPACING) -> Grid:
    return Grid(shape, np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]))


def scan(desk: Desk, seed: int, *, facts: dict[str, Any] | None = None, modality: Modality = "mr", **other: Any) -> str:
    values = np.random.default_rng(seed).integers(-150, 90, (31, 29, 13)).astype(np.int16)
    source = None
    if "patient" in other or "date" in other:
        made = made_up_source(f"{seed}", 13, modality)
        study = dict(made.study)
        for tag, kind, text in (("00100020", "LO", other.get("patient")), ("00080020", "DA", other.get("date"))):
            if text:
                study[tag] = {"vr": kind, "Value": [text]}
        source = replace(made, study=study, made_up=False)
    volume = Volume(values, grid(values.shape), modality, other.get("synthetic", False))
    return desk.store.add_image(volume, source_name="x", facts=facts or {}, source=source).image_id


def mask(desk: Desk, image_id: str, structure: str | None, *where: slice, **facts: Any) -> str:
    image = desk.store.image(image_id)
    array = np.zeros(image.grid.shape, bool)
    array[where] = True
    record = desk.store.add_mask(
        Mask(array, image.grid), image_id=image_id, structure=structure, made_by=f"test {facts}", facts=facts
    )
    return record.mask_id


def box(x: int, y: int, z: int) -> tuple[slice, slice, slice]:
    return slice(3, 3 + x), slice(4, 4 + y), slice(2, 2 + z)


def faces(x: int, y: int, z: int) -> int:
    return 2 * (x * y + y * z + z * x)


def test_a_beat_is_read_off_two_phases_whichever_comes_first(ask: Ask, desk: Desk) -> None:
    """13 x 11 x 7 and 9 x 8 x 5 voxels; half a voxel of border each, in quadrature."""
    empty = mask(desk, scan(desk, 1), "left ventricle", *box(9, 8, 5))
    full = mask(desk, scan(desk, 2), "left ventricle", *box(13, 11, 7))
    reply = ask("derive", quantity="ejection_fraction", mask_ids=[empty, full])
    ef, sv = reply.result["values"]
    assert (ef["quantity"], sv["quantity"]) == ("ejection_fraction", "stroke_volume")
    assert ef["value"] == pytest.approx(100 * (1 - 360 / 1001), abs=1e-3)
    assert sv["value"] == pytest.approx((1001 - 360) * ML, abs=1e-3)
    assert [row["mask_id"] for row in ef["inputs"]] == [full, empty]
    assert "chosen by volume" in ef["formula"]
    shift = math.hypot(0.45 * faces(13, 11, 7) * ML, 0.45 * faces(9, 8, 5) * ML)
    assert sv["high_90"] - sv["value"] == pytest.approx(shift, abs=1e-3)
    assert "half a voxel of border" in ef["uncertainty"]
    assert any("one patient was not checked" in text for text in reply.result["warnings"])
    turned = ask("derive", quantity="stroke_volume", mask_ids=[full, empty]).result["values"]
    assert turned == [sv, ef]
    assert f"ejection fraction {ef['value']:.4g} %" in reply.text


def test_calibrated_intervals_are_used_where_a_mask_has_one(ask: Ask, desk: Desk) -> None:
    image = scan(desk, 1)
    volume = 1001 * ML
    known = mask(desk, image, "myocardium", *box(13, 11, 7), volume_90_ml=[volume - 0.5, volume + 0.8])
    (row,) = ask("derive", quantity="myocardial_mass", mask_ids=[known]).result["values"]
    assert (row["value"], row["unit"]) == (pytest.approx(1.05 * volume, abs=1e-3), "g")
    assert row["low_90"] == pytest.approx(1.05 * (volume - 0.5), abs=1e-3)
    assert row["high_90"] == pytest.approx(1.05 * (volume + 0.8), abs=1e-3)
    assert "calibrated" in row["uncertainty"]
    assert "border" not in row["uncertainty"]


def test_doubts_of_masks_and_images_travel_along(ask: Ask, desk: Desk) -> None:
    image = scan(desk, 1, facts={"warnings": ["Voxels are long."]})
    cut = mask(desk, image, "liver", slice(0, 9), *box(9, 8, 5)[1:], verdict="unsure", warnings=["It is small."])
    whole = mask(desk, image, "spleen", *box(9, 8, 5))
    reply = ask("derive", quantity="ratio", mask_ids=[cut, whole])
    told = " ".join(reply.result["warnings"])
    assert "is unsure" in told
    assert "It is small." in told
    assert "the scan cuts it (right)" in told
    assert reply.result["image_warnings"] == ["Voxels are long."]


def test_pairs_are_compared_left_first(ask: Ask, desk: Desk) -> None:
    image = scan(desk, 1)
    left = mask(desk, image, "left kidney", *box(7, 5, 3))
    right = mask(desk, image, "right kidney", slice(20, 29), *box(1, 8, 5)[1:])
    expected = {
        "asymmetry": 200 * (105 - 360) / 465,
        "ratio": 360 / 105,
        "difference": (360 - 105) * ML,
    }
    for quantity, value in expected.items():
        (row,) = ask("derive", quantity=quantity, mask_ids=[right, left]).result["values"]
        assert row["value"] == pytest.approx(value, abs=1e-3), quantity
        assert row["low_90"] < row["value"] < row["high_90"]


def test_a_sum_counts_what_masks_share_once(ask: Ask, desk: Desk) -> None:
    """Two blocks of 9 x 8 x 5 that share 4 x 8 x 5; calibrated ones that share nothing add their ends."""
    image = scan(desk, 1)
    one = mask(desk, image, "cerebellum", slice(3, 12), *box(9, 8, 5)[1:])
    two = mask(desk, image, "brain stem", slice(8, 17), *box(9, 8, 5)[1:])
    (row,) = ask("derive", quantity="sum", mask_ids=[one, two]).result["values"]
    assert row["value"] == pytest.approx(14 * 8 * 5 * ML, abs=1e-3)
    assert row["high_90"] == pytest.approx((14 * 8 * 5 + 0.45 * faces(14, 8, 5)) * ML, abs=1e-3)
    assert f"{4 * 8 * 5 * ML:.3f} ml that several share counted once" in row["formula"]
    ends = ([1.1, 2.0], [0.9, 2.4])
    apart = [
        mask(desk, image, "liver", slice(first, first + 5), *box(9, 8, 5)[1:], volume_90_ml=known)
        for first, known in zip((3, 8), ends, strict=True)
    ]
    (row,) = ask("derive", quantity="sum", mask_ids=apart).result["values"]
    assert (row["low_90"], row["high_90"]) == pytest.approx((2.0, 4.4))
    assert "they share nothing" in row["formula"]
    over = mask(desk, image, "spleen", slice(6, 10), *box(9, 8, 5)[1:], volume_90_ml=[0.5, 1.5])
    (row,) = ask("derive", quantity="sum", mask_ids=[*apart, over]).result["values"]
    shared = 4 * 8 * 5 * ML
    assert row["value"] == pytest.approx(10 * 8 * 5 * ML, abs=1e-3)
    assert (row["low_90"], row["high_90"]) == pytest.approx((2.5 - shared, 5.9 - shared), abs=1e-3)


@pytest.mark.parametrize("how", ["days", "dates", "headers"])
def test_a_volume_that_doubles_in_91_days(ask: Ask, desk: Desk, how: str) -> None:
    dates = ("20240131", "20240501") if how == "headers" else (None, None)
    small, large = (
        mask(desk, scan(desk, n, patient="p1", date=day), "lung nodule", *box(*size))
        for n, day, size in ((1, dates[0], (7, 6, 4)), (2, dates[1], (7, 6, 8)))
    )
    said = {"days": {"days": 91}, "dates": {"dates": ["2024-01-31", "2024-05-01"]}, "headers": {}}[how]
    reply = ask("derive", quantity="doubling_time", mask_ids=[small, large], **said)
    (row,) = reply.result["values"]
    assert (row["value"], row["unit"]) == (pytest.approx(91), "days")
    assert "20240131" not in str(reply), "no dates of a patient"
    back = ask("derive", quantity="doubling_time", mask_ids=[large, small], days=91)
    assert back.result["values"][0]["value"] == pytest.approx(-91)
    assert "shrinks" in back.result["warnings"][0]


def test_a_voxel_alone_has_a_ratio_and_growth_but_no_interval_of_them(ask: Ask, desk: Desk) -> None:
    """Half a voxel of border is all of it: its volume may be 0."""
    image = scan(desk, 1, patient="p1")
    one, many = mask(desk, image, "liver", *box(1, 1, 1)), mask(desk, image, "spleen", *box(7, 6, 4))
    later = mask(desk, scan(desk, 2, patient="p1"), "liver", *box(2, 2, 2))
    for quantity, masks, more, value in (
        ("ratio", [many, one], {}, 7 * 6 * 4),
        ("doubling_time", [one, later], {"days": 30}, 10),
    ):
        reply = ask("derive", quantity=quantity, mask_ids=masks, **more)
        (row,) = reply.result["values"]
        assert (row["value"], row["low_90"], row["high_90"]) == (pytest.approx(value, rel=1e-3), None, None)
        assert row["uncertainty"].startswith("None given: within its error an input may be 0")
        assert "may not grow" not in reply.text


def test_a_scan_without_identity_does_not_hide_that_two_others_differ(ask: Ask, desk: Desk) -> None:
    unknown, one, other = scan(desk, 1), scan(desk, 2, patient="p1"), scan(desk, 3, patient="p2")
    masks = [mask(desk, image, "left ventricle", *box(9, 8, n)) for n, image in enumerate((unknown, one, other), 3)]
    reply = ask("derive", quantity="ejection_fraction", mask_ids=masks)
    assert reply.is_error
    assert "they differ in PatientID" in reply.text


def ct(desk: Desk, values: np.ndarray, spacing: tuple[float, float, float] = (0.5, 0.4, 3.0), **facts: Any) -> str:
    volume = Volume(values, grid(values.shape, spacing), "ct")
    return desk.store.add_image(volume, source_name="x", facts={"unit": "HU", **facts}).image_id


def test_hounsfield_units_are_subtracted(ask: Ask, desk: Desk) -> None:
    values = np.full((31, 29, 13), -1000, np.int16)
    values[3:12, 4:12, 2:7], values[15:20, 4:12, 2:7] = 110, 47
    image = ct(desk, values)
    one, two = mask(desk, image, "aorta", *box(9, 8, 5)), mask(desk, image, "liver", slice(15, 20), *box(9, 8, 5)[1:])
    (row,) = ask("derive", quantity="hu_difference", mask_ids=[one, two]).result["values"]
    assert (row["value"], row["unit"]) == (63, "HU")
    assert (row["low_90"], row["high_90"]) == (63, 63), "even tissue has no spread"


def test_uptake_of_a_lesion_in_suv(ask: Ask, desk: Desk) -> None:
    values = np.random.default_rng(7).gamma(2, 2, (31, 29, 13)).astype(np.float32)
    image = desk.store.add_image(
        Volume(values, grid(values.shape), "pet"), source_name="x", facts={"unit": "SUV"}
    ).image_id
    rows = {
        row["quantity"]: row
        for row in ask("derive", quantity="suv", mask_ids=[mask(desk, image, None, *box(9, 8, 5))]).result["values"]
    }
    inside = values[box(9, 8, 5)].astype(float)
    assert rows["suv_max"]["value"] == pytest.approx(inside.max(), abs=1e-4)
    assert rows["suv_mean"]["value"] == pytest.approx(inside.mean(), abs=1e-4)
    assert rows["mtv"]["value"] == pytest.approx(360 * ML, abs=1e-4)
    assert rows["tlg"]["value"] == pytest.approx(inside.sum() * ML, abs=1e-3)
    assert rows["suv_mean"]["value"] < rows["suv_peak"]["value"] < rows["suv_max"]["value"]
    assert rows["suv_max"]["low_90"] is None
    assert "noise" in rows["suv_max"]["uncertainty"]


def plaque(desk: Desk, spacing: tuple[float, float, float] = (0.5, 0.4, 3.0), **facts: Any) -> str:
    """10 pixels of 0.2 mm2 at 250 HU: 2 mm2 x 2."""
    seed = len(desk.store.images())  # no two scans are the same
    values = np.random.default_rng(seed).integers(20, 60, (31, 29, 13)).astype(np.int16)
    values[0], values[5:10, 6:8, 4] = -1000, 250
    return mask(desk, ct(desk, values, spacing, **facts), "heart", *box(9, 8, 5))


def test_a_calcium_score_names_what_departs_from_the_protocol(ask: Ask, desk: Desk) -> None:
    whole = ask(
        "derive", quantity="calcium_score", mask_ids=[plaque(desk, acquisition={"kvp": 120.0, "contrast": False})]
    )
    assert whole.result["values"][0]["value"] == pytest.approx(4)
    assert [text for text in whole.result["warnings"] if "ECG" not in text] == []
    thin = ask("derive", quantity="calcium_score", mask_ids=[plaque(desk, (0.5, 0.4, 1.5))])
    assert thin.result["values"][0]["value"] == pytest.approx(2)
    told = " ".join(thin.result["warnings"])
    assert "Agatston-type" in told
    for fact in ("1.5 mm apart", "tube voltage is not known", "contrast was given is not known"):
        assert fact in told


def test_tissue_at_a_vertebra_and_in_a_named_slice(ask: Ask, desk: Desk) -> None:
    values = np.full((61, 53, 9), -1000, np.int16)
    values[10:50, 10:40], values[15:45, 15:35] = -100, 50
    image = ct(desk, values, (2.0, 2.5, 5.0))
    level = mask(desk, image, "vertebra L3", slice(20, 25), slice(20, 25), slice(3, 6))
    rows = ask("derive", quantity="tissue_areas", mask_ids=[level]).result["values"]
    assert [row["quantity"] for row in rows] == ["fat_area", "muscle_area"]
    assert rows[1]["value"] == pytest.approx(30 * 20 * 0.05)
    assert rows[0]["value"] == pytest.approx((40 * 30 - 600) * 0.05, rel=0.02), "corners are rounded"
    assert "axial slice 4" in rows[0]["formula"]
    named = ask("derive", quantity="tissue_areas", image_id=image, slice_index=4).result["values"]
    assert named == rows
    muscle = mask(desk, image, "left iliopsoas muscle", slice(15, 25), slice(15, 20), slice(0, 9))
    within = ask("derive", quantity="tissue_areas", mask_ids=[level, muscle])
    assert within.result["values"][1]["value"] == pytest.approx(50 * 0.05)


def vessel(desk: Desk, *radii: float) -> list[str]:
    """Tubes along z of these radii in mm; the first narrows to half of it in its middle."""
    x, y, z = np.meshgrid(np.arange(45) * 0.5, np.arange(41) * 0.5, np.arange(121) * 0.6, indexing="ij")
    image = desk.store.add_image(
        Volume(np.zeros(x.shape, np.int16), grid(x.shape, (0.5, 0.5, 0.6)), "mr"), source_name="x"
    ).image_id
    made = []
    for n, radius in enumerate(radii):
        wide = np.where((z > 25) & (z < 45) & (n == 0), radius / 2, radius)
        array = (x - 11) ** 2 + (y - 10) ** 2 < wide**2
        array[:, :, [0, -1]] = False
        record = desk.store.add_mask(
            Mask(array, grid(x.shape, (0.5, 0.5, 0.6))), image_id=image, structure="aorta", made_by=f"{n}"
        )
        made.append(record.mask_id)
    return made


def test_a_stenosis_against_itself_a_healthy_stretch_and_a_given_diameter(ask: Ask, desk: Desk) -> None:
    """6 mm against 12, 10 and 8 mm: 50, 40 and 25 %."""
    narrow, healthy = vessel(desk, 6.0, 5.0)
    for more, arguments, degree in (([], {}, 50), ([healthy], {}, 40), ([], {"reference_mm": 8}, 25)):
        reply = ask("derive", quantity="stenosis", mask_ids=[narrow, *more], **arguments)
        (row,) = reply.result["values"]
        assert row["value"] == pytest.approx(degree, abs=4)
        assert row["low_90"] < degree < row["high_90"]
        assert ("Not NASCET" in reply.text) == (degree == 50)
    rows = {
        r["quantity"]: r["value"]
        for r in ask("derive", quantity="vessel_diameters", mask_ids=[narrow]).result["values"]
    }
    assert rows["narrowest_diameter"] == pytest.approx(6, abs=0.4)
    assert rows["widest_diameter"] == pytest.approx(12, abs=0.4)


def test_every_quantity_refuses_no_masks(ask: Ask) -> None:
    for quantity in QUANTITIES:
        reply = ask("derive", quantity=quantity)
        assert reply.is_error, quantity
        assert "0 masks were given" in reply.text or "No level is given" in reply.text


def test_missing_preconditions_are_refused_by_name(ask: Ask, desk: Desk) -> None:
    mr, other = scan(desk, 1, patient="p1"), scan(desk, 2, patient="p2")
    lv, lv2, rv = (
        mask(desk, mr, name, *box(9, 8, n))
        for name, n in (("left ventricle", 5), ("left ventricle", 4), ("right ventricle", 5))
    )
    foreign = mask(desk, other, "left ventricle", *box(9, 8, 6))
    later = mask(desk, scan(desk, 4, patient="p1"), "left ventricle", *box(9, 8, 6))
    brain = mask(desk, mr, "left lateral ventricle", *box(9, 8, 5))
    made_up = mask(desk, scan(desk, 3, synthetic=True), "liver", *box(9, 8, 5))
    contrast, kv, thick = (
        plaque(desk, acquisition={"contrast": True}),
        plaque(desk, acquisition={"kvp": 100.0}),
        plaque(desk, (0.5, 0.4, 6.0)),
    )
    narrow, healthy = vessel(desk, 6.0, 5.0)
    cases: list[tuple[str, list[str], dict[str, Any], str]] = [
        ("ejection_fraction", [lv, lv2], {}, "same image"),
        ("ejection_fraction", [lv, rv], {}, "left ventricle and right ventricle"),
        ("ejection_fraction", [lv, foreign], {}, "different patients: they differ in PatientID"),
        (
            "ejection_fraction",
            [brain, mask(desk, other, "left lateral ventricle", *box(9, 8, 6))],
            {},
            "not of a chamber",
        ),
        ("ejection_fraction", [lv, lv], {}, "given twice"),
        ("myocardial_mass", [lv], {}, "not of the myocardium"),
        ("sum", [lv, foreign], {}, "different images"),
        ("ratio", [lv, made_up], {}, "is synthetic"),
        ("doubling_time", [lv, lv2], {"days": 9}, "same scan"),
        ("doubling_time", [rv, later], {"days": 9}, "right ventricle and left ventricle"),
        ("doubling_time", [lv, later], {}, "Pass days"),
        ("doubling_time", [lv, later], {"dates": ["2024-01-31", "31.3.2024"]}, "YYYY-MM-DD"),
        ("doubling_time", [lv, later], {"dates": ["2024-01-31", "2024-01-01"]}, "-30 days"),
        ("hu_difference", [lv, rv], {}, "needs a CT in Hounsfield units"),
        ("suv", [lv], {}, "needs a PET in SUV"),
        ("calcium_score", [lv], {}, "needs a CT in Hounsfield units"),
        ("calcium_score", [contrast], {}, "contrast agent"),
        ("calcium_score", [kv], {}, "made with 100 kV"),
        ("calcium_score", [thick], {}, "6 mm apart"),
        ("tissue_areas", [lv], {}, "Hounsfield units"),
        ("tissue_areas", [], {"image_id": mr}, "No level is given"),
        ("stenosis", [lv], {}, "No stenosis"),
        ("stenosis", [narrow, healthy], {"reference_mm": 9}, "Give one of them"),
        ("stenosis", [narrow], {"reference_mm": 3}, "no stenosis against it"),
        ("vessel_diameters", [lv], {}, "No vessel diameters"),
        ("percentile", [made_up], {"allow_synthetic": True}, "no reference table"),
    ]
    for quantity, masks, more, fact in cases:
        reply = ask("derive", quantity=quantity, mask_ids=masks, **more)
        assert reply.is_error, (quantity, fact, reply.text)
        assert fact in reply.text, (quantity, reply.text)
    assert "p2" not in ask("derive", quantity="ratio", mask_ids=[lv, foreign]).text
    assert not ask("derive", quantity="ratio", mask_ids=[lv, made_up], allow_synthetic=True).is_error


def test_without_voxel_size_there_is_no_volume(ask: Ask, desk: Desk) -> None:
    flat = Grid((31, 29, 13), np.diag([-1.0, -1, 1, 1]), spacing_known=False)
    image = desk.store.add_image(Volume(np.zeros(flat.shape, np.int16), flat, "mr"), source_name="x").image_id
    reply = ask("derive", quantity="ratio", mask_ids=[mask(desk, image, n, *box(9, 8, 5)) for n in ("liver", "spleen")])
    assert reply.is_error
    assert "voxel size" in reply.text


def test_a_threshold_and_an_iso_contour_make_masks(ask: Ask, desk: Desk) -> None:
    values = np.zeros((31, 29, 13), np.float32)
    values[5:10, 6:12, 3:7], values[7, 8, 5], values[20:22, 20:22, 10] = 5, 10, 9
    image = desk.store.add_image(
        Volume(values, grid(values.shape), "pet"), source_name="x", facts={"unit": "SUV"}
    ).image_id
    everything = [[0, 0, 0], [31, 29, 13]]
    found = ask("edit_mask", operation="threshold", image_id=image, box_index=everything, at_least=4).result
    assert found["voxels"] == 5 * 6 * 4 + 4
    hot = ask("edit_mask", operation="iso_contour", mask_ids=[found["mask_id"]], percent_of_max=41).result
    assert hot["voxels"] == 5 * 6 * 4, "the other spot is not connected"
    rows = ask("derive", quantity="suv", mask_ids=[hot["mask_id"]]).result["values"]
    assert (rows[0]["value"], rows[2]["value"]) == (10, pytest.approx((119 * 5 + 10) / 120, abs=1e-4))
    assert desk.store.mask_record(hot["mask_id"]).facts["percent_of_max"] == 41


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ({"operation": "threshold", "at_least": 4}, "one mask"),
        ({"operation": "threshold", "box_index": [[0, 0, 0], [5, 5]], "at_least": 4}, "two corners"),
        ({"operation": "threshold", "box_index": [[0, 0, 0], [5, 5, 50]], "at_least": 4}, "leaves the scan"),
        ({"operation": "threshold", "box_index": [[0, 0, 0], [5, 5, 5]]}, "No threshold"),
        ({"operation": "threshold", "box_index": [[0, 0, 0], [5, 5, 5]], "percent_of_max": 41}, "use iso_contour"),
        ({"operation": "iso_contour", "box_index": [[0, 0, 0], [5, 5, 5]]}, "percent_of_max"),
        ({"operation": "grow", "box_index": [[0, 0, 0], [5, 5, 5]], "amount_mm": 3}, "takes no grey value"),
        ({"operation": "grow", "amount_mm": 3}, "0 masks"),
    ],
)
def test_masks_by_grey_value_refuse_what_makes_no_sense(
    ask: Ask, desk: Desk, arguments: dict[str, Any], fact: str
) -> None:
    reply = ask("edit_mask", image_id=scan(desk, 1), **arguments)
    assert reply.is_error
    assert fact in reply.text


def test_a_segmented_mask_keeps_its_calibrated_interval(settings: Settings) -> None:
    """What `segment` says of a volume is what `derive` propagates."""
    from ostensor.tools.desk.results import MaskRow, Provenance
    from ostensor.tools.segmenting.pairs import facts_of

    provenance = Provenance(tool="segment", version="1", inputs=[])
    row = MaskRow(
        structure="liver", asked_as="liver", verdict="present", volume_90_ml=[1.0, 2.0], provenance=provenance
    )
    assert facts_of(row)["volume_90_ml"] == [1.0, 2.0]
