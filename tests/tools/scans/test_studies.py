"""`compare_studies` as a client sees it: a textured body moved by a known amount, one ball grown, one gone."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import ndimage

from ostensor.imaging.dicom.source import DicomSource, Instance
from ostensor.imaging.volume import Grid, Mask, Volume
from ostensor.tools.desk.desk import Desk

from ...toys.desks import Ask, Reply

MOVED_MM = (8.0, -4.0, 12.0)  # whole voxels, so that the texture is the same


@dataclass(frozen=True)
class Pair:
    before: str
    after: str
    lesions: dict[str, str]


def ball(grid: Grid, centre: tuple[float, ...], radius: float) -> Mask:
    points = np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return Mask(np.linalg.norm(points - centre, axis=-1) <= radius, grid)


SHAPE = (47, 43, 41)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
MOVED = AFFINE + np.pad(np.array(MOVED_MM)[:, None], ((0, 1), (3, 0)))


def body(seed: int = 0) -> np.ndarray:
    """A textured body in air; another seed is another body of the same outline."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 3)
    scan = np.clip(60 + 60 * noise / noise.std(), -200, 300)
    edge = np.linalg.norm((np.moveaxis(np.indices(SHAPE), 0, -1) - (23, 21, 20)) / (20, 17, 40), axis=-1) > 1
    scan[edge] = -1000
    return scan.astype(np.int16)


def patient(number: str, born: str, sex: str = "F") -> DicomSource:
    """A scan's identity as it is stored; the study differs from scan to scan."""
    elements = {"00100020": ("LO", number), "00100030": ("DA", born), "00100040": ("CS", sex)}
    study = {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in elements.items() if value}
    return DicomSource(study, (Instance("1.2", "1.2.3"),) * SHAPE[2])


def kept(desk: Desk, scan: np.ndarray, affine: np.ndarray, source: DicomSource | None = None) -> str:
    volume = Volume(scan, Grid(scan.shape, affine), "ct")
    return desk.store.add_image(volume, source_name="x", source=source).image_id


def marked(desk: Desk, image: str, centre: tuple[float, ...], radius: float) -> str:
    mask = ball(desk.store.image(image).grid, centre, radius)
    return desk.store.add_mask(mask, image_id=image, structure="liver tumour", made_by=str(centre)).mask_id


@pytest.fixture
def pair(desk: Desk) -> Pair:
    one, two = Grid(SHAPE, AFFINE), Grid(SHAPE, MOVED)
    images = [kept(desk, body(), affine) for affine in (AFFINE, MOVED)]
    here, there = (88.0, 88.0, 80.0), (88.0 + 8, 88.0 - 4, 80.0 + 12)
    masks = {
        "grown before": (0, ball(one, here, 12)),
        "gone": (0, ball(one, (60.0, 80.0, 120.0), 10)),
        "grown after": (1, ball(two, there, 18)),
    }
    handles = {
        name: desk.store.add_mask(mask, image_id=images[n], structure="liver tumour", made_by=name).mask_id
        for name, (n, mask) in masks.items()
    }
    return Pair(images[0], images[1], handles)


def test_a_moved_body_with_a_grown_and_a_gone_lesion(ask: Ask, pair: Pair) -> None:
    reply = ask(
        "compare_studies",
        before_mask_ids=[pair.lesions["grown before"], pair.lesions["gone"]],
        after_mask_ids=[pair.lesions["grown after"]],
    )
    result = reply.result
    rows = {row["state"]: row for row in result["lesions"]}
    assert set(rows) == {"matched", "gone"}
    assert rows["matched"]["before_mm"] == pytest.approx(24, abs=4)
    assert rows["matched"]["after_mm"] == pytest.approx(36, abs=4)
    assert rows["matched"]["after_ml"] == pytest.approx(4 / 3 * np.pi * 18**3 / 1000, rel=0.06)
    assert rows["matched"]["size_is"] == "complete"
    assert rows["gone"]["before"] == f"{pair.lesions['gone']}#1"
    assert result["sum_before_mm"] == pytest.approx(44, abs=6)
    assert result["sum_after_mm"] == rows["matched"]["after_mm"]
    assert result["moved_mm"] == pytest.approx(np.linalg.norm(MOVED_MM), abs=4)
    assert result["similarity"] > 0.95
    assert f"RECIST 1.1: {result['category']}" in reply.text


def test_a_study_without_lesions_needs_its_image(ask: Ask, pair: Pair) -> None:
    arguments = {"before_mask_ids": [pair.lesions["gone"]], "after_mask_ids": []}
    refused = ask("compare_studies", **arguments)
    assert refused.is_error
    assert "after_image_id" in refused.text
    reply = ask("compare_studies", **arguments, after_image_id=pair.after)
    assert reply.result["category"] == "complete response"
    assert reply.result["alignment"].startswith("rigid")
    assert reply.result["lesions"][0]["state"] == "gone"


def test_wrong_sides_are_refused(ask: Ask, pair: Pair, desk: Desk) -> None:
    before, after = pair.lesions["gone"], pair.lesions["grown after"]
    for arguments, fact in (
        ({"before_mask_ids": [before], "after_mask_ids": [before]}, "same image"),
        ({"before_mask_ids": [before, after], "after_mask_ids": [after]}, "2 images"),
        ({"before_mask_ids": ["msk_ffffffffffff"], "after_mask_ids": [after]}, "Unknown mask"),
    ):
        reply = ask("compare_studies", **arguments)
        assert reply.is_error
        assert fact in reply.text
    made = Volume(np.zeros((7, 5, 3), np.int16), Grid((7, 5, 3), np.eye(4)), "ct", synthetic=True)
    image = desk.store.add_image(made, source_name="x").image_id
    reply = ask("compare_studies", before_mask_ids=[before], after_mask_ids=[], after_image_id=image)
    assert reply.is_error
    assert "synthetic" in reply.text


HERE, THERE = (88.0, 88.0, 80.0), (96.0, 84.0, 92.0)  # one place of the body in both scans
UNKNOWN = "Whether both scans show one patient was not checked"


def compared(desk: Desk, ask: Ask, one: DicomSource | None, other: DicomSource | None, **more: bool) -> Reply:
    before, after = kept(desk, body(), AFFINE, one), kept(desk, body(), MOVED, other)
    masks = marked(desk, before, HERE, 12), marked(desk, after, THERE, 12)
    return ask("compare_studies", before_mask_ids=[masks[0]], after_mask_ids=[masks[1]], **more)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (patient("4712", "19560203"), "PatientID"),
        (patient("4711", "19560204"), "PatientBirthDate"),
        (patient("4711", "19560203", "M"), "PatientSex"),
        (patient("ANON-1", "19000101", "M"), "PatientID, PatientBirthDate, PatientSex"),
    ],
)
def test_two_patients_are_refused_by_elements_and_without_values(
    ask: Ask, desk: Desk, other: DicomSource, named: str
) -> None:
    refused = compared(desk, ask, patient("4711", "19560203"), other)
    assert refused.is_error
    assert f"they differ in {named}. " in refused.text
    vouched = compared(desk, ask, patient("4711", "19560203"), other, allow_different_ids=True)
    assert vouched.result["category"] == "stable disease"
    assert f"different patients ({named} differ)" in vouched.result["warnings"][0]
    said = refused.text + vouched.text + repr(vouched.result) + (desk.store.folder / "audit.jsonl").read_text()
    assert [value for value in ("4711", "4712", "19560203", "19560204", "19000101", "ANON-1") if value in said] == []


@pytest.mark.parametrize(
    ("one", "other", "is_known"),
    [
        (patient("4711", "19560203"), patient(" 4711", "19560203", "O"), True),
        (patient("4711", ""), patient("4711", "19560203"), True),
        (patient("4711", ""), patient("", "19560203"), False),
        (patient("4711", "19560203"), None, False),
        (None, None, False),
    ],
)
def test_one_patient_is_compared_and_an_unknown_one_with_a_warning(
    ask: Ask, desk: Desk, one: DicomSource | None, other: DicomSource | None, is_known: bool
) -> None:
    reply = compared(desk, ask, one, other)
    assert reply.result["category"] == "stable disease"
    assert any(UNKNOWN in warning for warning in reply.result["warnings"]) is not is_known


def test_one_scan_opened_twice_is_no_follow_up(ask: Ask, desk: Desk) -> None:
    """The anonymised copy has another handle, but nothing can have changed."""
    named, anonymous = (kept(desk, body(), AFFINE, source) for source in (patient("4711", "19560203"), None))
    masks = [marked(desk, image, HERE, 12) for image in (named, anonymous)]
    reply = ask("compare_studies", before_mask_ids=masks[:1], after_mask_ids=masks[1:])
    assert reply.is_error
    assert "same image" in reply.text


def test_another_body_has_no_response_category(ask: Ask, desk: Desk) -> None:
    """The texture inside is unrelated, so nothing of it can be laid over the other."""
    before, after = kept(desk, body(), AFFINE), kept(desk, body(seed=7), MOVED)
    near, far = marked(desk, before, HERE, 12), marked(desk, after, (60.0, 80.0, 120.0), 18)
    reply = ask("compare_studies", before_mask_ids=[near], after_mask_ids=[far])
    assert reply.result["category"] == "cannot be compared"
    assert [row["state"] for row in reply.result["lesions"]] == ["not compared"] * 2
    assert (reply.result["sum_after_mm"], reply.result["change_percent"]) == (None, None)
    assert reply.result["lesions"][1]["after_mm"] == pytest.approx(36, abs=4), "sizes still are what they are"
    assert reply.text.startswith("Cannot be compared: no response category. The scans do not match")
    for word in ("RECIST", "progressive", "stable", "partial response", "complete response"):
        assert word not in reply.text


def test_scans_that_do_not_overlap_have_no_response_category(
    ask: Ask, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SimpleITK says so with a RuntimeError, the one thing replaced here."""
    import SimpleITK as sitk

    def execute(*_: object) -> None:
        raise RuntimeError("All samples map outside moving image buffer.")

    monkeypatch.setattr(sitk.ImageRegistrationMethod, "Execute", execute)
    reply = compared(desk, ask, None, None)
    assert (reply.result["category"], reply.result["alignment"]) == ("cannot be compared", "failed")
    assert (reply.result["similarity"], reply.result["moved_mm"]) == (None, None)
    assert "could not be laid over each other" in reply.text


def test_a_lesion_where_the_other_scan_ends_is_neither_gone_nor_new(ask: Ask, desk: Desk) -> None:
    """The later scan ends 27 slices up: a lesion above is not in view; one that both show is matched."""
    before, after = kept(desk, body(), AFFINE), kept(desk, body()[:, :, :27], MOVED)
    low = (88.0, 88.0, 48.0)
    here, above = marked(desk, before, low, 12), marked(desk, before, (80.0, 80.0, 136.0), 10)
    there = marked(desk, after, tuple(np.add(low, MOVED_MM)), 12)
    reply = ask("compare_studies", before_mask_ids=[here, above], after_mask_ids=[there])
    assert {row["before"].partition("#")[0]: row["state"] for row in reply.result["lesions"]} == {
        here: "matched",
        above: "not in view",
    }
    assert reply.result["category"] == "cannot be compared"
    assert any("fields of view differ" in warning for warning in reply.result["warnings"])
    turned = ask("compare_studies", before_mask_ids=[there], after_mask_ids=[here, above])
    assert sorted(row["state"] for row in turned.result["lesions"]) == ["matched", "not in view"]
    assert turned.result["category"] == "cannot be compared"


def test_specks_are_left_out_and_said(ask: Ask, desk: Desk) -> None:
    """One voxel of 4 mm far from every lesion is no new lesion."""
    before, after = kept(desk, body(), AFFINE), kept(desk, body(), MOVED)
    masks = [
        marked(desk, before, HERE, 12),
        marked(desk, after, THERE, 12),
        marked(desk, after, (68.0, 84.0, 132.0), 1),
    ]
    assert desk.store.mask_record(masks[2]).voxels == 1
    reply = ask("compare_studies", before_mask_ids=masks[:1], after_mask_ids=masks[1:])
    assert reply.result["category"] == "stable disease"
    assert [row["state"] for row in reply.result["lesions"]] == ["matched"]
    limit = "shorter than 5 mm or fewer than 3 voxels"
    assert f"({limit}): 0 parts before, 1 after." in reply.text
