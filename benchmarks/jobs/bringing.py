"""Jobs that begin with files: what is in a folder, masks of colleagues and programs, DICOM objects, pictures without a size."""

from __future__ import annotations

import highdicom
import nibabel
import numpy as np
import numpy.typing as npt
import PIL.Image

from . import dicom_scans
from .assistant import Assistant
from .scans import ORGANS, VOXEL_ML, filled, ml, save, torso


def open_the_right_series(a: Assistant) -> None:
    """A study folder with a localizer of 3 slices, a CT of 13 and a letter: "open the CT"."""
    stored = np.random.default_rng(1).integers(900, 1200, (13, 31, 37), dtype=np.uint16)
    study = a.folder / "study"
    dicom_scans.save(study, dicom_scans.series(stored[:3], 1, SeriesDescription="localizer"), "loc")
    dicom_scans.save(study, dicom_scans.series(stored, 2, SeriesDescription="abdomen"), "ct")
    (study / "letter.txt").write_text("Dear colleague", encoding="utf-8")
    rows = a.call("list_files")["files"]
    ct = max(rows, key=lambda row: row.get("files", 1))
    opened = a.call("open_image", path=ct["path"], series=ct["series"])
    a.check("series to choose from", len(rows), 2)
    a.check("voxels", opened["shape"], [37, 31, 13])
    a.check("voxel size, mm", opened["spacing_mm"], [0.6, 0.8, 2.5])
    a.check("modality", opened["modality"], "ct")


def masks_of_a_colleague(a: Assistant) -> None:
    """A colleague's NIfTI labels, the liver moved by two voxels: "how far are we apart?"."""
    save(a.folder / "ct.nii.gz", torso())
    (left, right), back, up = ORGANS["liver"]
    save(a.folder / "colleague.nii.gz", filled(((left + 2, right + 2), back, up)) + 2 * filled(ORGANS["spleen"]))
    image = a.call("open_image", path="ct.nii.gz")["image_id"]
    ours = a.call("segment", image_id=image, structures=["liver"])["masks"][0]
    labels = {"1": "liver", "2": "spleen"}
    theirs = a.call("import_mask", path="colleague.nii.gz", image_id=image, labels=labels)["masks"]
    agreement = a.call("compare_masks", mask_a=ours["mask_id"], mask_b=theirs[0]["mask_id"])
    a.check("names", [row["structure"] for row in theirs], ["liver", "spleen"])
    a.check("spleen, ml", theirs[1]["volume_ml"], ml(ORGANS["spleen"]), 0.001)
    width = right - left
    a.check("Dice of two equal blocks, moved by 2 voxels", agreement["dice"], (width - 2) / width, 1e-3)


def total_of_a_folder(a: Assistant) -> None:
    """A TotalSegmentator folder of one file per structure: "bring it in and add it up"."""
    save(a.folder / "ct.nii.gz", torso())
    names = {"liver": "liver", "spleen": "spleen", "kidney_left": "left kidney", "kidney_right": "right kidney"}
    for file, organ in names.items():
        save(a.folder / "segmentations" / f"{file}.nii.gz", filled(ORGANS[organ]))
    image = a.call("open_image", path="ct.nii.gz")["image_id"]
    masks = a.call("import_mask", path="segmentations", image_id=image)["masks"]
    total = a.call("derive", quantity="sum", mask_ids=[row["mask_id"] for row in masks])["values"][0]
    read = [np.asarray(nibabel.load(path).dataobj) for path in (a.folder / "segmentations").iterdir()]
    a.check("names", sorted(row["structure"] for row in masks), sorted(names.values()))
    a.check("sum, ml, of what nibabel reads", total["value"], float(np.sum(read)) * VOXEL_ML, 0.001)


def dicom_objects_in_and_out(a: Assistant) -> None:
    """A DICOM SEG and an RTSTRUCT of one study in, one DICOM SEG of both out."""
    stored = np.random.default_rng(2).integers(900, 1200, (13, 31, 37), dtype=np.uint16)
    files = dicom_scans.series(stored, 2)
    dicom_scans.save(a.folder / "study", files, "ct")
    liver = np.zeros(stored.shape, np.uint8)
    liver[3:6, 4:20, 5:11] = liver[3:6, 15:20, 11:25] = 1
    dicom_scans.write_seg(a.folder / "liver_seg.dcm", files, liver)
    corners = ((9.5, 19.5), (9.5, 29.5), (25.5, 29.5), (25.5, 19.5))
    dicom_scans.write_rtstruct(a.folder / "kidney_rt.dcm", files[7:11], "left kidney", corners)
    image = a.call("open_image", path="study")["image_id"]
    seg = a.call("import_mask", path="liver_seg.dcm", image_id=image)["masks"][0]
    outlined = a.call("import_mask", path="kidney_rt.dcm", image_id=image)["masks"][0]
    written = a.call("export", mask_ids=[seg["mask_id"], outlined["mask_id"]], format="dicom_seg")
    back = highdicom.seg.segread(a.folder / written["files"][0]["path"])
    kidney = np.zeros(stored.shape, np.uint8)
    kidney[7:11, 10:26, 20:30] = 1
    for name, truth in (("liver", liver), ("left kidney", kidney)):
        a.check(
            f"{name}: every voxel that highdicom reads", np.array_equal(_read(back, name, stored.shape), truth), True
        )
    a.check("it names the study", back.StudyInstanceUID, files[0].StudyInstanceUID)
    a.check("Dice after reading back", written["smallest_dice"], 1.0)


def _read(read: highdicom.seg.Segmentation, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """A segment as (z rows columns), each frame where its position says."""
    number = next(n for n in read.segment_numbers if read.get_segment_description(n).segment_label == name)
    made = np.zeros(shape, np.uint8)
    for frame, said in zip(read.pixel_array, read.PerFrameFunctionalGroupsSequence, strict=True):
        if said.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number:
            height = float(said.PlanePositionSequence[0].ImagePositionPatient[2])
            made[round((height - dicom_scans.LOWEST_MM) / dicom_scans.STEP_MM)] = frame
    return made


def picture_with_a_stated_size(a: Assistant) -> None:
    """A PNG that tells no pixel size: "a pixel is 0.5 mm; how long is the bright spot?"."""
    picture = np.random.default_rng(3).integers(10, 30, (90, 70), dtype=np.uint8)
    picture[20:60, 15:45] = 200
    PIL.Image.fromarray(picture).save(a.folder / "plain.png")
    bare = a.call("open_image", path="plain.png")
    opened = a.call("open_image", path="plain.png", spacing_mm=[0.5, 0.5])
    box = [[0, 0, 0], opened["shape"]]
    spot = a.call("edit_mask", operation="threshold", image_id=opened["image_id"], box_index=box, at_least=100)
    found = a.call("measure", mask_ids=[spot["mask_id"]], what=["diameters"])
    a.check("size before it is stated", bare["spacing_mm"], None)
    a.check("longest, mm", found["measurements"][0]["diameters"]["longest_axial_mm"], 25.0, 0.5)
    a.check("it lies within the picture", found["measurements"][0]["truncated_at"], [])
    a.check("every number says who stated it", "stated by the user" in " ".join(found["image_warnings"]), True)
