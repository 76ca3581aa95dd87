"""What list_files shows of the roots: nibabel, SimpleITK and pydicom wrote the files, so their sizes are known."""

import json
import os
import re
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from ostensor.imaging.guards.doors import Door
from ostensor.imaging.listing import survey as survey_module
from ostensor.imaging.listing.survey import survey
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use

from ...imaging import made_dicom
from ...toys.desks import AFFINE, Ask, save
from .test_dicom_objects import box, scan_slices, structure_set


def rows(ask: Ask, **options: object) -> dict[str, dict[str, object]]:
    reply = ask("list_files", **options)
    assert not reply.is_error, reply.text
    return {row["path"]: row for row in reply.result["files"]}


@pytest.fixture
def filled(root: Path) -> Path:
    """One of every kind."""
    array = np.zeros((5, 7, 11), np.int16)
    image = SimpleITK.GetImageFromArray(array.T)
    image.SetSpacing((0.7, 0.9, 3.0))
    (root / "more").mkdir()
    for name in ("a.nrrd", "b.mha", "c.nhdr"):
        SimpleITK.WriteImage(image, str(root / "more" / name))
    nibabel.save(nibabel.MGHImage(array, np.diag([0.7, 0.9, 3, 1]).astype(np.float32)), root / "more" / "d.mgz")
    Image.fromarray(np.zeros((13, 17), np.uint8)).save(root / "more" / "e.png")
    save(root / "more" / "liver_seg.nii.gz", array.astype(np.uint8))
    labelled = nibabel.Nifti1Image(array, AFFINE)
    labelled.header.set_intent("label")
    nibabel.save(labelled, root / "more" / "atlas.nii")
    (root / "more" / "notes.txt").write_text("text")
    (root / "more" / ".hidden.nii.gz").write_bytes(b"x")
    made_dicom.save(root / "study", scan_slices())
    for file in made_dicom.save(root / "late", scan_slices(SeriesInstanceUID="1.2.840.999.3")[:5]).iterdir():
        file.rename(root / "study" / f"late_{file.name}")
    (root / "late").rmdir()
    structure_set(root / "study" / "rs.dcm", {"liver": [box(3)]})
    return root


def test_every_kind_with_its_size_from_the_header(ask: Ask, filled: Path) -> None:
    found = rows(ask)
    size = {"shape": [5, 7, 11], "spacing_mm": [0.7, 0.9, 3.0]}
    assert found["ct.nii.gz"] == {
        "path": "ct.nii.gz",
        "kind": "nifti",
        "shape": [61, 53, 29],
        "spacing_mm": [0.8, 0.9, 3.0],
    }
    for name, kind in (("a.nrrd", "nrrd"), ("b.mha", "metaimage"), ("c.nhdr", "nhdr"), ("d.mgz", "mgh")):
        assert found[f"more/{name}"] == {"path": f"more/{name}", "kind": kind, **size}
    assert found["more/e.png"] == {"path": "more/e.png", "kind": "png", "shape": [17, 13]}
    assert found["more/liver_seg.nii.gz"]["use"] == found["more/atlas.nii"]["use"] == "import_mask"
    assert found["study/rs.dcm"] == {"path": "study/rs.dcm", "kind": "RTSTRUCT", "use": "import_mask"}
    assert not [path for path in found if "notes" in path or "hidden" in path or path.endswith(".raw.gz")]


def test_dicom_files_are_grouped_by_series_that_open_image_takes(ask: Ask, filled: Path) -> None:
    series = [row for row in ask("list_files", root="study").result["files"] if row["kind"] == "dicom"]
    assert sorted((row["files"], tuple(row["shape"])) for row in series) == [(5, (37, 31, 5)), (13, (37, 31, 13))]
    for row in series:
        assert row["spacing_mm"] == [0.6, 0.8, 2.5]
        assert row["modality"] == "ct"
        opened = ask("open_image", path=row["path"], series=row["series"])
        assert opened.result["shape"] == row["shape"]


def test_no_value_of_a_header_is_shown(ask: Ask, filled: Path) -> None:
    reply = ask("list_files")
    shown = json.dumps(reply.result) + reply.text
    assert not [w for w in (*made_dicom.SECRETS, "Secret", str(filled)) if re.search(rf"\b{re.escape(w)}\b", shown)]


def test_files_of_one_structure_each_are_one_set_of_masks(ask: Ask, root: Path) -> None:
    (root / "ts").mkdir()
    for name in ("liver", "kidney_left", "vertebrae_L5", "autochthon_right"):
        save(root / "ts" / f"{name}.nii.gz", np.zeros((5, 7, 11), np.uint8))
    row = rows(ask)["ts"]
    assert (row["kind"], row["files"], row["use"]) == ("masks", 4, "import_mask")


def test_a_pattern_does_not_make_a_set_of_masks_of_a_part_of_a_folder(ask: Ask, root: Path) -> None:
    """import_mask would take the whole folder, the scan too."""
    names = ("kidney_left", "kidney_right", "adrenal_gland_left")
    for folder, more in (("apart", ("scan",)), ("masks", ("liver",))):
        (root / folder).mkdir()
        for name in (*names, *more):
            save(root / folder / f"{name}.nii.gz", np.zeros((2, 3, 5), np.uint8))
    assert set(rows(ask, pattern="apart/*_*")) == {f"apart/{name}.nii.gz" for name in names}
    assert rows(ask, pattern="masks/*_*")["masks"]["files"] == 4


def test_patterns_limits_and_roots(ask: Ask, root: Path, tmp_path: Path, settings: Settings) -> None:
    for number in range(12):
        save(root / f"mr_{number:02d}.nii.gz", np.zeros((2, 2, 2), np.uint8))
    assert len(rows(ask, pattern="MR_*")) == 12
    assert list(rows(ask, pattern="ct")) == ["ct.nii.gz"]
    reply = ask("list_files", limit=5)
    assert (len(reply.result["files"]), reply.result["more"], reply.result["folders"]) == (5, 8, {".": 13})
    assert "Nothing that can be opened" in ask("list_files", pattern="nothing").text
    assert "outside the allowed folders" in ask("list_files", root="..").text
    (tmp_path / "other").mkdir()
    save(tmp_path / "other" / "ct.nii.gz", np.zeros((2, 3, 4), np.uint8))
    with Desk(Settings(store=settings.store, roots=(root, tmp_path / "other"), factory=settings.factory)) as desk:
        found = {row["path"]: row for row in use(desk, "list_files", pattern="ct.nii").result.model_dump()["files"]}
        assert found["other/ct.nii.gz"]["shape"] == [2, 3, 4]
        opened = use(desk, "open_image", path="other/ct.nii.gz", modality="mr").result.model_dump()
        assert opened["shape"] == [2, 3, 4]
        assert use(desk, "list_files", root="other").result.model_dump()["roots"] == ["scans", "other"]


def test_links_and_damaged_files_do_no_harm(ask: Ask, root: Path, tmp_path: Path) -> None:
    save(tmp_path / "outside.nii.gz", np.zeros((2, 2, 2), np.uint8))
    (root / "link.nii.gz").symlink_to(tmp_path / "outside.nii.gz")
    (root / "folder").symlink_to(tmp_path)
    (root / "loop").symlink_to(root)
    (root / "bad.nii.gz").write_bytes(b"\x1f\x8b" + bytes(50))
    (root / "bad.nrrd").write_bytes(b"NRRD0004\nsizes: none\n\n")
    (root / "bad.mgz").write_bytes(b"")
    (root / "bad.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 50)
    os.mkfifo(root / "pipe.nii")
    found = rows(ask)
    assert {path: row["kind"] for path, row in found.items()} == {
        "ct.nii.gz": "nifti", "bad.nii.gz": "nifti", "bad.nrrd": "nrrd", "bad.mgz": "mgh",
    }  # fmt: skip


def test_it_ends_in_time_and_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        save(root / f"a{number}.nii.gz", np.zeros((2, 2, 2), np.uint8))
    clock = iter(range(100_000))
    monkeypatch.setattr(survey_module.time, "monotonic", lambda: float(next(clock)))
    found = survey(root, Door((root,)), seconds=30.0)
    assert not found.complete
    assert len(found.entries) < 41


def test_folders_may_lie_a_thousand_deep(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than Python's own stack holds; the path is still one that Linux opens."""
    content = (root / "ct.nii.gz").read_bytes()
    monkeypatch.chdir(root)
    for _ in range(1200):
        Path("a").mkdir()
        os.chdir("a")
    Path("b.nii.gz").write_bytes(content)
    try:
        found = survey(root, Door((root,)), seconds=60.0)
    finally:  # nothing that recurses, as pytest's own tidying does, could remove it later
        Path("b.nii.gz").unlink()
        for _ in range(1200):
            os.chdir("..")
            Path("a").rmdir()
    assert found.complete
    assert [entry.path.name for entry in found.entries] == ["b.nii.gz", "ct.nii.gz"]


def test_a_forest_of_empty_folders_ends_in_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        (root / f"d{number}").mkdir()
    clock = iter(range(100_000))
    monkeypatch.setattr(survey_module.time, "monotonic", lambda: float(next(clock)))
    assert not survey(root, Door((root,)), seconds=30.0).complete


def test_a_thousand_files_take_less_than_the_time_allowed(root: Path) -> None:
    content = (root / "ct.nii.gz").read_bytes()
    for number in range(1000):
        (root / f"c{number}.nii.gz").write_bytes(content)
    start = time.process_time()
    found = survey(root, Door((root,)), seconds=60.0)
    assert len(found.entries) == 1001
    assert time.process_time() - start < survey_module.SECONDS


def test_a_folder_of_volumes_is_answered_with_the_calls_to_make(ask: Ask, root: Path) -> None:
    (root / "mixed").mkdir()
    save(root / "mixed" / "t1.nii.gz", np.arange(8, dtype=np.int16).reshape(2, 2, 2))
    save(root / "mixed" / "lesion_mask.nii.gz", np.zeros((2, 2, 2), np.uint8))
    reply = ask("open_image", path="mixed")
    assert not reply.is_error
    assert reply.result["image_id"] is None
    assert [row["path"] for row in reply.result["files"]] == ["mixed/lesion_mask.nii.gz", "mixed/t1.nii.gz"]
    assert "open_image(path='mixed/t1.nii.gz')" in reply.text
    assert "import_mask(path='mixed/lesion_mask.nii.gz')" in reply.text
    (root / "empty").mkdir()
    assert "holds no DICOM image" in ask("open_image", path="empty").text


@pytest.mark.parametrize(
    "path", ["ct.nii.gz, b.nii.gz", "ct.nii.gz;b.nii.gz", "['ct.nii.gz', 'b.nii.gz']", "ct.nii.gz b.nii.gz"]
)
def test_several_paths_at_once_are_answered_with_a_call_for_each(ask: Ask, root: Path, path: str) -> None:
    save(root / "b.nii.gz", np.zeros((2, 2, 2), np.uint8))
    reply = ask("open_image", path=path)
    assert reply.is_error
    assert "open_image(path='ct.nii.gz'), open_image(path='b.nii.gz')" in reply.text


def test_a_list_and_a_pattern_say_what_to_call(ask: Ask, root: Path) -> None:
    assert (
        "Call once for each: open_image(path='a.nii'), open_image(path='b.nii')"
        in ask("open_image", path=["a.nii", "b.nii"]).text
    )
    assert "Call list_files(pattern='*.nii.gz')" in ask("open_image", path="*.nii.gz").text


def test_a_misspelt_path_is_answered_with_those_that_are_there(ask: Ask, root: Path, image_id: str) -> None:
    (root / "deep").mkdir()
    save(root / "deep" / "pelvis.nii.gz", np.zeros((2, 2, 2), np.uint8))
    assert "Did you mean 'deep/pelvis.nii.gz'?" in ask("open_image", path="pelvis.nii.gz").text
    assert "Did you mean 'deep/pelvis.nii.gz'?" in ask("import_mask", path="deep/pelwis.nii.gz", image_id=image_id).text
    assert "Did you mean 'deep'?" in ask("list_files", root="deepp").text
