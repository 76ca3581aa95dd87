"""Label files of others: onto the image's grid, under their names, with every loss said; nibabel and SimpleITK are the oracles."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from ostensor.imaging.formats.headed.layers import read_layers
from ostensor.imaging.imports.labels import LabelFile, Piece
from ostensor.imaging.imports.laying import lay
from ostensor.imaging.volume import Grid
from ostensor.tools.desk.desk import Desk

from ...toys.desks import AFFINE, Ask, Reply, save

SHAPE = (61, 53, 29)


def labels() -> np.ndarray:
    """Three bodies without symmetry: an L, a bar and a single voxel."""
    array = np.zeros(SHAPE, np.uint8)
    array[8:25, 10:30, 5:17] = array[8:12, 30:41, 5:9] = 1
    array[40:46, 10:33, 20:22] = 2
    array[50, 47, 3] = 3
    return array


def imported(ask: Ask, image_id: str, path: str = "seg.nii.gz", **options: object) -> Reply:
    reply = ask("import_mask", path=path, image_id=image_id, **options)
    assert not reply.is_error, reply.text
    return reply


def refused(ask: Ask, image_id: str, path: str = "seg.nii.gz", **options: object) -> str:
    reply = ask("import_mask", path=path, image_id=image_id, **options)
    assert reply.is_error, reply.text
    return reply.text


def arrays(desk: Desk, reply: Reply) -> dict[str, np.ndarray]:
    return {row["label"]: desk.store.mask(row["mask_id"]).array for row in reply.result["masks"] if row["mask_id"]}


@pytest.mark.parametrize("codes", ["LAS", "RAS", "PSR", "IPL", "SAL"])
def test_turned_axes_of_the_same_grid_are_exact(ask: Ask, desk: Desk, image_id: str, root: Path, codes: str) -> None:
    image = nibabel.Nifti1Image(labels(), AFFINE)
    change = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(AFFINE), nibabel.orientations.axcodes2ornt(tuple(codes))
    )
    nibabel.save(image.as_reoriented(change), root / "seg.nii.gz")
    reply = imported(ask, image_id)
    assert reply.result["exact"] is True
    assert reply.result["verdict"] == "imported"
    for number, array in arrays(desk, reply).items():
        assert np.array_equal(array, labels() == int(number))


def test_numbers_without_a_name_are_kept_and_said(ask: Ask, image_id: str, root: Path) -> None:
    save(root / "seg.nii.gz", labels())
    reply = imported(ask, image_id)
    assert [row["structure"] for row in reply.result["masks"]] == ["label 1", "label 2", "label 3"]
    assert "3 masks: It has no name; pass labels to give it one." in reply.result["warnings"]


def test_the_caller_names_labels_and_unknown_names_stay_with_a_suggestion(ask: Ask, image_id: str, root: Path) -> None:
    save(root / "seg.nii.gz", labels())
    rows = imported(ask, image_id, labels={"1": "lt kidney", "2": "splenn"}).result["masks"]
    assert [row["structure"] for row in rows] == ["left kidney", "splenn", "label 3"]
    assert "Did you mean spleen" in rows[1]["warnings"][0]
    assert "no label '7'. It has: 1, 2, 3" in refused(ask, image_id, labels={"7": "liver"})
    assert "e.g. {'1': 'liver'}" in refused(ask, image_id, labels={"liver": "1"}), "the wrong way round"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dataset.json", json.dumps({"labels": {"background": 0, "liver": 1, "kidney tumor": 2, "ignore": 9}})),
        ("dataset.json", json.dumps({"labels": {"0": "background", "1": "liver", "2": "kidney tumor"}})),
        ("seg.ctbl", "# Color table\n0 Background 0 0 0 0\n1 liver 255 0 0 255\n2 kidney_tumor 0 255 0 255\n"),
        (
            "seg.txt",
            '    1   255    0    0        1  1  1    "liver"\n    2   0  255    0        1  1  1    "kidney tumor"\n',
        ),
        ("seg.tsv", "index\tname\n1\tliver\n2\tkidney tumor\n"),
    ],
)
def test_tables_beside_the_file_name_its_numbers(ask: Ask, image_id: str, root: Path, name: str, content: str) -> None:
    save(root / "seg.nii.gz", labels())
    (root / name).write_text(content)
    reply = imported(ask, image_id)
    assert [row["structure"] for row in reply.result["masks"]] == ["liver", "kidney tumour", "label 3"]
    assert any(name in warning for warning in reply.result["warnings"])


def test_dataset_json_above_and_its_regions(ask: Ask, desk: Desk, image_id: str, root: Path) -> None:
    """Regions as in nnU-Net's region-based training: a name for a union of numbers."""
    (root / "task" / "labelsTr").mkdir(parents=True)
    save(root / "task" / "labelsTr" / "case_001.nii.gz", labels())
    told = {"labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": 3}}
    (root / "task" / "dataset.json").write_text(json.dumps(told))
    reply = imported(ask, image_id, "task/labelsTr/case_001.nii.gz")
    found = {row["structure"]: desk.store.mask(row["mask_id"]).array for row in reply.result["masks"]}
    assert np.array_equal(found["whole tumor"], labels() > 0)
    assert np.array_equal(found["tumor core"], labels() > 1)
    assert np.array_equal(found["enhancing tumor"], labels() == 3)


def test_the_label_table_of_a_nifti_header_is_read(ask: Ask, image_id: str, root: Path) -> None:
    """As TotalSegmentator and the Connectome Workbench write it."""
    image = nibabel.Nifti1Image(labels(), AFFINE)
    table = "".join(
        f'<Label Key="{n}" Red="1" Green="0" Blue="0" Alpha="1"><![CDATA[{name}]]></Label>'
        for n, name in ((1, "liver"), (2, "kidney_left"), (3, "vertebrae_L5"))
    )
    xml = f"<?xml version='1.0'?><CaretExtension><VolumeInformation Index='0'><LabelTable>{table}</LabelTable></VolumeInformation></CaretExtension>"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, xml.encode()))
    nibabel.save(image, root / "seg.nii.gz")
    rows = imported(ask, image_id).result["masks"]
    assert [row["structure"] for row in rows] == ["liver", "left kidney", "fifth lumbar vertebra"]


def test_freesurfers_numbers_name_an_mgz(ask: Ask, desk: Desk, image_id: str, root: Path) -> None:
    """10, 17, 53: thalamus and hippocampi of FreeSurferColorLUT.txt; 9999 is in no table."""
    array = np.zeros(SHAPE, np.int32)
    array[8:25, 10:30, 5:17], array[40:46, 10:33, 20:22], array[30, 3:9, 2], array[2, 2, 2] = 10, 17, 53, 9999
    nibabel.save(nibabel.MGHImage(array, AFFINE.astype(np.float32)), root / "aseg.mgz")
    reply = imported(ask, image_id, "aseg.mgz")
    assert reply.result["exact"] is True
    assert [row["structure"] for row in reply.result["masks"]] == [
        "left thalamus", "left hippocampus", "right hippocampus", "label 9999",
    ]  # fmt: skip
    assert np.array_equal(arrays(desk, reply)["17"], array == 17)


def test_another_grid_is_refused_with_what_differs(ask: Ask, image_id: str, root: Path) -> None:
    coarse = np.diag([2, 2, 1, 1]).astype(float)
    save(root / "seg.nii.gz", labels()[::2, ::2], AFFINE @ coarse)
    text = refused(ask, image_id)
    assert "shape 31 x 27 x 29, the image's 61 x 53 x 29" in text
    assert "voxels of 1.6 x 1.8 x 3 mm, the image's 0.8 x 0.9 x 3 mm" in text
    assert "resample=true" in text


@pytest.mark.parametrize("way", ["half a voxel", "turned", "coarse"])
def test_resampling_takes_the_nearest_voxel_as_itk_does(
    ask: Ask, desk: Desk, image_id: str, root: Path, way: str
) -> None:
    affine = AFFINE.copy()
    if way == "half a voxel":
        affine[:3, 3] += (0.3, -0.37, 1.2)
    elif way == "turned":
        c, s = np.cos(0.3), np.sin(0.3)
        affine = np.array([[c, -s, 0, 1.1], [s, c, 0, -2.3], [0, 0, 1, 0.4], [0, 0, 0, 1]]) @ affine
    else:
        affine = affine @ np.diag([1.3, 0.7, 1.9, 1])
    save(root / "seg.nii.gz", labels(), affine)
    assert "another grid" in refused(ask, image_id)
    reply = imported(ask, image_id, resample=True)
    moving = SimpleITK.ReadImage(str(root / "seg.nii.gz"))
    fixed = SimpleITK.ReadImage(str(root / "ct.nii.gz"))
    oracle = SimpleITK.Resample(moving, fixed, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor, 0)
    expected = SimpleITK.GetArrayFromImage(oracle).transpose(2, 1, 0)
    for number, array in arrays(desk, reply).items():
        assert np.count_nonzero(array != (expected == int(number))) <= 2  # ties may go either way
    assert reply.result["exact"] is False
    assert any(warning.startswith("Resampled: ") for warning in reply.result["warnings"])
    row = reply.result["masks"][0]
    assert row["file_ml"] == pytest.approx(
        np.count_nonzero(labels() == 1) * abs(np.linalg.det(affine[:3, :3])) / 1000, abs=1e-3
    )


def test_voxels_outside_and_structures_below_a_voxel_are_said(ask: Ask, image_id: str, root: Path) -> None:
    """A field twice as fine, shifted by 20 of its voxels: counted by hand."""
    fine = np.diag([0.5, 0.5, 1, 1])
    fine[:3, 3] = (-10, 0.25, 0)
    array = np.zeros((60, 40, 29), np.uint8)
    array[0:30, 10:20, 4:8] = 1  # x index -10 to 4.5 of the image: 19 of 30 planes lie below -0.5
    array[40, 30, 9] = 2  # between four voxel centres
    save(root / "seg.nii.gz", array, AFFINE @ fine)
    rows = imported(ask, image_id, resample=True).result["masks"]
    outside = int(sum(-10 + 0.5 * x < -0.5 for x in range(30))) * 10 * 4
    assert f"{outside} of its 1200 voxels lie outside the image and are lost." in rows[0]["warnings"]
    assert rows[1]["mask_id"] is None or rows[1]["voxels"] == 1
    tiny = np.zeros((60, 40, 29), np.uint8)
    tiny[41, 31, 9] = 2
    save(root / "tiny.nii.gz", tiny, AFFINE @ fine)
    row = imported(ask, image_id, "tiny.nii.gz", resample=True).result["masks"][0]
    assert row["mask_id"] is None
    assert "Smaller than the image's voxels: nothing is left." in row["warnings"]


def test_fractions_are_cut_at_a_half_and_said(ask: Ask, desk: Desk, image_id: str, root: Path) -> None:
    array = np.zeros(SHAPE, np.float32)
    array[5:9, 5:9, 5:9], array[9:12, 5:9, 5:9], array[12:15, 5:9, 5:9] = 1, 0.5, 0.25
    save(root / "liver.nii.gz", array)
    row = imported(ask, image_id, "liver.nii.gz").result["masks"][0]
    assert row["structure"] == "liver"
    assert np.array_equal(desk.store.mask(row["mask_id"]).array, array >= 0.5)
    assert row["file_ml"] == pytest.approx(float(array.sum()) * 0.8 * 0.9 * 3 / 1000, abs=1e-3)
    assert any("cut at 0.5" in note for note in row["warnings"])


def test_fractions_are_refused_in_a_folder_of_whole_masks(ask: Ask, image_id: str, root: Path) -> None:
    """They were cut and called voxel by voxel there."""
    (root / "both").mkdir()
    array = (labels() == 1).astype(np.float32)
    save(root / "both" / "liver.nii.gz", array)
    array[5, 5, 5] = 0.3
    save(root / "both" / "spleen.nii.gz", array)
    assert "'spleen.nii.gz' holds fractions" in refused(ask, image_id, "both")


def test_what_was_cut_is_not_exact_where_no_voxel_size_tells_its_volume() -> None:
    grid = Grid((5, 7, 3), np.eye(4), spacing_known=False)
    array = np.zeros(grid.shape, np.uint8)
    array[1, 2, 1] = 1
    pieces = (Piece("1", (), 0, exact=False), Piece("1", (), 0))
    _, laid = lay(LabelFile("nifti", grid, pieces, lambda number: array, ""), grid, resample=False)
    assert [(one.is_exact, one.file_ml) for one in laid] == [(False, None), (True, None)]


@pytest.mark.parametrize(
    ("array", "fact"),
    [
        (labels() * 1.37, "between the whole numbers"),
        (labels().astype(np.int16) - 1, "whole numbers from 0"),
        (np.zeros(SHAPE, np.uint8), "every voxel is 0"),
        ((np.arange(np.prod(SHAPE)) % 5000).reshape(SHAPE).astype(np.int16), "looks like an image"),
    ],
)
def test_what_is_no_label_map_is_refused(ask: Ask, image_id: str, root: Path, array: np.ndarray, fact: str) -> None:
    save(root / "seg.nii.gz", array)
    assert fact in refused(ask, image_id)


def test_a_folder_of_totalsegmentator_is_named_by_its_files(ask: Ask, desk: Desk, image_id: str, root: Path) -> None:
    (root / "ts").mkdir()
    names = {
        "kidney_left": "left kidney",
        "vertebrae_T12": "twelfth thoracic vertebra",
        "autochthon_right": "right autochthonous back muscle",
    }
    for number, name in enumerate(names, start=1):
        save(root / "ts" / f"{name}.nii.gz", (labels() == number).astype(np.uint8))
    save(root / "ts" / "spleen.nii.gz", np.zeros(SHAPE, np.uint8))
    reply = imported(ask, image_id, "ts")
    found = {row["structure"]: row for row in reply.result["masks"]}
    assert set(found) == {*names.values(), "spleen"}
    assert found["spleen"]["mask_id"] is None
    assert found["spleen"]["warnings"] == ["It is empty in the file."]
    for number, name in enumerate(names.values(), start=1):
        assert np.array_equal(desk.store.mask(found[name]["mask_id"]).array, labels() == number)
    save(root / "ts" / "two.nii.gz", labels())
    assert "'two.nii.gz' holds 3 labels" in refused(ask, image_id, "ts")


@pytest.mark.parametrize("mode", ["P", "L", "1"])
def test_pictures_of_labels_lie_on_a_picture(ask: Ask, desk: Desk, root: Path, mode: str) -> None:
    grey = (np.arange(23 * 17).reshape(17, 23) % 200).astype(np.uint8)
    Image.fromarray(grey).save(root / "slice.png")
    scan = str(ask("open_image", path="slice.png", modality="us").result["image_id"])
    drawn = np.zeros((17, 23), np.uint8)
    drawn[3:9, 4:17] = 1
    if mode != "1":
        drawn[11:13, 2:5] = 7
    picture = Image.fromarray(drawn if mode != "1" else drawn.astype(bool))
    if mode == "P":
        picture = Image.fromarray(drawn, mode="L").convert("P")
        picture.putdata(list(drawn.ravel()))
    picture.save(root / "seg.png")
    reply = imported(ask, scan, "seg.png")
    for number, array in arrays(desk, reply).items():
        assert np.array_equal(array[:, :, 0].T, drawn == int(number))
    Image.fromarray(drawn).save(root / "seg.jpg")
    assert "JPEG, whose loss blurs labels" in refused(ask, scan, "seg.jpg")
    Image.fromarray(drawn[:, :-1]).save(root / "small.png")
    assert "shape 22 x 17 x 1, the image's 23 x 17 x 1" in refused(ask, scan, "small.png")


@pytest.mark.parametrize("layered", [False, True])
def test_segments_of_3d_slicer_with_layers_and_a_cropped_extent(
    ask: Ask, desk: Desk, image_id: str, root: Path, layered: bool
) -> None:
    """Written by hand after Slicer's description: LPS vectors, layers first, only the part with segments stored."""
    crop = (slice(5, 52), slice(8, 50), slice(2, 25))
    one = labels()[crop]
    two = np.zeros_like(one)
    two[3:20, 2:30, 1:18] = 1  # overlaps the first
    stored = np.stack([one, two]) if layered else one
    affine = np.diag([-1.0, -1, 1, 1]) @ AFFINE
    origin = affine @ (5, 8, 2, 1)
    vectors = " ".join("({},{},{})".format(*column) for column in affine[:3, :3].T)
    segments = [("Tumor", 0, 1), ("Left Kidney", 0, 2), ("label three", 0, 3), *([("Spleen", 1, 1)] if layered else [])]
    keys = "".join(
        f"Segment{n}_ID:=Segment_{n}\nSegment{n}_Name:={name}\nSegment{n}_Layer:={layer}\nSegment{n}_LabelValue:={value}\n"
        f"Segment{n}_Extent:=0 46 0 41 0 22\nSegment{n}_Tags:=Segmentation.Status:inprogress|\n"
        for n, (name, layer, value) in enumerate(segments)
    )
    head = (
        "NRRD0004\n# Complete NRRD file format specification at:\n"
        f"type: unsigned char\ndimension: {stored.ndim}\nspace: left-posterior-superior\nsizes: {' '.join(map(str, stored.shape))}\n"
        f"space directions: {'none ' if layered else ''}{vectors}\nkinds: {'list ' if layered else ''}domain domain domain\n"
        f"encoding: raw\nspace origin: ({origin[0]},{origin[1]},{origin[2]})\n{keys}"
        "Segmentation_MasterRepresentation:=Binary labelmap\n\n"
    )
    (root / "a.seg.nrrd").write_bytes(head.encode() + stored.tobytes(order="F"))
    reply = imported(ask, image_id, "a.seg.nrrd", labels={"Tumor": "kidney tumour"})
    found = {row["structure"]: desk.store.mask(row["mask_id"]).array for row in reply.result["masks"]}
    assert np.array_equal(found["kidney tumour"], labels() == 1)
    assert np.array_equal(found["left kidney"], labels() == 2)
    assert reply.result["exact"] is True
    if layered:
        whole = np.zeros(SHAPE, bool)
        whole[crop] = two > 0
        assert np.array_equal(found["spleen"], whole)
    opened = ask("open_image", path="a.seg.nrrd")
    assert "import_mask" in opened.text


def test_a_part_of_the_grid_with_its_axes_turned_lands_where_it_was_cut(
    ask: Ask, desk: Desk, image_id: str, root: Path
) -> None:
    """SimpleITK writes the part, flipped and permuted; a segment in the header makes it one of Slicer's."""
    whole = SimpleITK.GetImageFromArray(labels().transpose(2, 1, 0))
    nii = SimpleITK.ReadImage(str(root / "ct.nii.gz"))
    whole.CopyInformation(nii)
    part = SimpleITK.PermuteAxes(whole[5:52, 8:50, 2:25], [1, 2, 0])
    part = SimpleITK.Flip(part, [True, False, True])
    part.SetMetaData("Segment0_Name", "liver")
    part.SetMetaData("Segment0_LabelValue", "1")
    part.SetMetaData("Segment0_Layer", "0")
    SimpleITK.WriteImage(part, str(root / "a.seg.nrrd"))
    reply = imported(ask, image_id, "a.seg.nrrd")
    found = {row["structure"]: desk.store.mask(row["mask_id"]).array for row in reply.result["masks"]}
    assert np.array_equal(found["liver"], labels() == 1)
    assert reply.result["exact"] is True


@pytest.mark.parametrize("first", [True, False])
def test_layers_stand_first_or_last_beside_oblique_axes(tmp_path: Path, first: bool) -> None:
    vectors = [(0.5, 0.1, 0.2), (-0.1, 0.7, 0.3), (0.2, -0.4, 0.9)]
    stored = np.arange(2 * 3 * 5 * 7, dtype=np.uint8).reshape((2, 3, 5, 7) if first else (3, 5, 7, 2))
    told = [*(f"({','.join(map(str, v))})" for v in vectors)]
    told = ["none", *told] if first else [*told, "none"]
    kinds = ["list", *["domain"] * 3] if first else [*["domain"] * 3, "list"]
    head = (
        f"NRRD0004\ntype: uint8\ndimension: 4\nspace: left-posterior-superior\nsizes: {' '.join(map(str, stored.shape))}\n"
        f"space directions: {' '.join(told)}\nkinds: {' '.join(kinds)}\nencoding: raw\nspace origin: (1,2,3)\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(head.encode() + stored.tobytes(order="F"))
    found = read_layers(tmp_path / "a.nrrd")
    assert np.array_equal(found.array, stored if first else np.moveaxis(stored, 3, 0))
    expected = np.diag([-1.0, -1, 1]) @ np.array(vectors).T
    np.testing.assert_allclose(found.grid.affine[:3, :3], expected)


def test_roots_links_and_missing_files(ask: Ask, image_id: str, root: Path) -> None:
    save(root.parent / "seg.nii.gz", labels())
    assert "outside the allowed folders" in refused(ask, image_id, "../seg.nii.gz")
    (root / "link.nii.gz").symlink_to(root.parent / "seg.nii.gz")
    assert "outside the allowed folders" in refused(ask, image_id, "link.nii.gz")
    (root / "ts").mkdir()
    save(root / "ts" / "liver.nii.gz", (labels() == 1).astype(np.uint8))
    (root / "ts" / "spleen.nii.gz").symlink_to(root.parent / "seg.nii.gz")
    assert [row["structure"] for row in imported(ask, image_id, "ts").result["masks"]] == ["liver"]
    (root / "dataset.json").symlink_to(root.parent / "secret.json")
    (root.parent / "secret.json").write_text(json.dumps({"labels": {"secret": 1}}))
    save(root / "seg.nii.gz", labels())
    assert "secret" not in json.dumps(imported(ask, image_id).result)
    assert "Did you mean 'seg.nii.gz'" in refused(ask, image_id, "segg.nii.gz")


def test_provenance_holds_the_hash_of_the_file_and_no_model(ask: Ask, desk: Desk, image_id: str, root: Path) -> None:
    import hashlib

    path = save(root / "seg.nii.gz", labels())
    reply = imported(ask, image_id)
    made = reply.result["provenance"]
    assert made["inputs"] == [image_id, "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()]
    assert (made["tool"], made["model"]) == ("import_mask", None)
    record = desk.store.mask_record(reply.result["masks"][0]["mask_id"])
    assert record.facts["verdict"] == "imported"
    assert str(root) not in json.dumps(reply.result) + json.dumps(record.facts)
    assert imported(ask, image_id).result["masks"] == reply.result["masks"], "the same file gives the same handles"


def test_a_label_map_opened_as_an_image_says_what_it_is(ask: Ask, root: Path, image_id: str) -> None:
    save(root / "seg.nii.gz", labels())
    assert "call import_mask" in ask("open_image", path="seg.nii.gz").text
    noise = np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.uint8)
    save(root / "noise.nii.gz", noise)
    assert "import_mask" not in ask("open_image", path="noise.nii.gz", modality="mr").text
    assert "import_mask" not in ask("open_image", path="ct.nii.gz").text
