"""Inputs recreated from public bug reports, each put to the server over MCP; what is right stands in the cases' README."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.from_thread
import nibabel
import numpy as np
import pydicom
import pytest
from mcp import Client, StdioServerParameters

from ..conftest import ROOT

CASES = ROOT.parent / "shared" / "cases"
Calls = Sequence[tuple[str, dict[str, Any] | Callable[["list[Answer]"], dict[str, Any]]]]
Ask = Callable[[Calls], "list[Answer]"]
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not CASES.is_dir(), reason="needs the cases beside the checkout (../shared/cases)"),
]


@dataclass(frozen=True)
class Answer:
    is_error: bool
    text: str
    result: dict[str, Any]

    @property
    def words(self) -> str:
        """Everything a reader or a program sees."""
        return self.text + json.dumps(self.result)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Every case in a folder of its name, beside a scan that no network takes, for reports."""
    folder = tmp_path_factory.mktemp("cases")
    made = np.arange(2048, dtype=np.int16).reshape(16, 16, 8)
    nibabel.save(nibabel.Nifti1Image(made, np.diag([20.0, 20.0, 30.0, 1.0])), folder / "tiny.nii.gz")
    for case in sorted(path.name for path in CASES.iterdir() if path.is_dir()):
        (folder / case).mkdir()
        env = {**os.environ, "DATA": str(shared_data)}
        subprocess.run(
            [sys.executable, CASES / case / "make.py", folder / case], check=True, env=env, capture_output=True
        )
    return folder


@pytest.fixture(scope="module")
def ask(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Calls], list[Answer]]]:
    """Calls to one server over stdio, in order."""
    store = tmp_path_factory.mktemp("store")
    serve = ["-m", "ostensor.commands", "serve", "--toolsets", "all", "--store", str(store), "--root", str(root)]
    server = StdioServerParameters(command=sys.executable, args=serve, env={**os.environ, "OMP_NUM_THREADS": "1"})

    async def call(client: Client, calls: Calls) -> list[Answer]:
        done: list[Answer] = []
        for name, arguments in calls:
            reply = await client.call_tool(name, arguments(done) if callable(arguments) else arguments)
            text = "".join(getattr(part, "text", "") for part in reply.content)
            done.append(Answer(bool(reply.is_error), text, reply.structured_content or {}))
        return done

    with anyio.from_thread.start_blocking_portal() as portal, portal.wrap_async_context_manager(Client(server, read_timeout_seconds=250)) as client:  # fmt: skip
        yield lambda calls: portal.call(call, client, calls)


def first_mask(done: list[Answer]) -> list[str]:
    return [next(row["mask_id"] for row in done[-1].result["masks"] if row["mask_id"])]


def hippocampi(path: str) -> Calls:
    return [
        ("open_image", {"path": path}),
        ("segment", lambda done: {"image_id": opened_in(done), "structures": ["hippocampi"], "wait_s": 200}),
    ]


def opened_in(done: list[Answer]) -> str:
    return str(done[0].result["image_id"])


def opened(ask: Ask, *paths: str) -> list[Answer]:
    answers = ask([("open_image", {"path": path}) for path in paths])
    assert not any(one.is_error for one in answers), [one.text for one in answers]
    return answers


@pytest.mark.parametrize("case", ["01_anonymiser_words", "03_unknown_sop_class"])
def test_an_element_that_is_no_dicom_is_dropped_or_mended_and_said(case: str, ask: Ask, root: Path) -> None:
    export: Calls = [("export", lambda done: {"mask_ids": first_mask(done), "folder": case, "format": "dicom_seg"})]
    *_, exported = ask([*hippocampi(f"{case}/scan"), *export])
    assert not exported.is_error, exported.text
    (file,) = exported.result["files"]
    assert file["warnings"]
    assert "Olive" not in exported.words
    assert pydicom.dcmread(root / file["path"]).Modality == "SEG"


def test_a_mosaic_becomes_slices_or_is_refused_by_its_name(ask: Ask) -> None:
    (answer,) = ask([("open_image", {"path": "04_mosaic/mosaic"})])
    assert "mosaic" in answer.text.lower()
    assert answer.is_error or answer.result["shape"][2] == 9


def test_three_times_of_six_places_are_not_eighteen_parts(ask: Ask) -> None:
    (answer,) = ask([("open_image", {"path": "05_trigger_time_per_slice/cine"})])
    assert "one of 3" in answer.text
    assert answer.text.count("6 slices") == 3


@pytest.mark.parametrize("name", ["top.dcm", "empty.dcm"])
def test_a_rescale_at_the_top_is_honoured_or_the_values_are_not_called_hu(name: str, ask: Ask) -> None:
    (answer,) = opened(ask, f"07_enhanced_toplevel_rescale/{name}")
    assert answer.result["intensity_range"] == [-1000, 40] or answer.result["intensity_unit"] != "HU"


def test_no_spacing_in_the_file_is_no_millimetre_in_any_answer(ask: Ask) -> None:
    for answer in opened(ask, *(f"08_no_voxel_size/bare.{kind}" for kind in ("nrrd", "mha", "mhd"))):
        assert answer.result["spacing_mm"] is None
        assert "voxel size" in answer.words
        assert " mm" not in answer.text.replace("in mm", "")


def test_no_orientation_in_the_file_is_no_side(ask: Ask) -> None:
    for answer in opened(ask, *(f"10_nrrd_without_orientation/{name}.nrrd" for name in ("spacings", "handed"))):
        assert answer.result["spacing_mm"] == pytest.approx([0.7, 0.7, 5])
        assert any("left" in one.lower() or "side" in one.lower() for one in answer.result["warnings"])


def test_pet_headers_give_suv_only_where_they_can(ask: Ask) -> None:
    slopes, admin, weightless, counts = opened(
        ask, *(f"12_pet_headers/{name}" for name in ("slopes", "admin", "weightless", "counts"))
    )
    assert not slopes.is_error
    assert not admin.is_error
    for answer in (weightless, counts):
        assert "SUV" not in answer.result["intensity_unit"]
        assert answer.result["warnings"], "the reason is said"


def test_null_and_nothing_mean_the_default(ask: Ask) -> None:
    answers = ask(
        [
            ("open_image", {"path": "14_llm_null_arguments/ct.nii.gz", "modality": None, "series": ""}),
            (
                "segment",
                lambda done: {
                    "image_id": opened_in(done), "structures": ["liver"], "model": None, "context": "", "wait_s": 200,
                },
            ),
            ("list_models", {"structure": None, "task": ""}),
            ("open_image", {"path": "14_llm_null_arguments/42", "series": None}),
        ]
    )  # fmt: skip
    assert [one.is_error for one in answers[:3]] == [False] * 3
    assert answers[2].result["models"]
    assert "Error executing" not in answers[3].text


def reports(ask: Ask, root: Path, case: str) -> list[list[dict[str, Any]]]:
    """The findings of each text of a case."""

    def check(text: str) -> tuple[str, Callable[[list[Answer]], dict[str, Any]]]:
        return "check_report", lambda done: {"image_id": opened_in(done), "report": text, "wait_s": 200}

    texts = [path.read_text() for path in sorted((root / case).glob("report_*.txt"))]
    answers = ask([("open_image", {"path": "tiny.nii.gz", "modality": "mr"}), *map(check, texts)])
    assert not any(one.is_error for one in answers)
    return [one.result["findings"] for one in answers[1:]]


def test_none_after_a_colon_denies(ask: Ask, root: Path) -> None:
    for findings in reports(ask, root, "15_report_colon_none"):
        assert {one["presence"] for one in findings if one["lesion"]} == {"absent"}


def test_each_side_organ_and_size_goes_to_its_own_finding(ask: Ask, root: Path) -> None:
    found = [
        {(one["lesion"] or "", one["structure"], one["presence"], one["size_mm"]) for one in findings}
        for findings in reports(ask, root, "16_report_two_sides")
    ]
    lengths = {("", "right kidney", "present", 101.0), ("", "left kidney", "present", 114.0)}
    assert found == [
        {("cyst", "left kidney", "present", None), ("stone", "right kidney", "present", None)},
        {("cyst", "left kidney", "present", 12.0), ("stone", "right kidney", "present", 5.0)},
        {("mass", "right kidney", "absent", None), ("cyst", "left kidney", "present", 20.0)},
        lengths,
        lengths,
    ]


def test_numbers_are_read_whole(ask: Ask, root: Path) -> None:
    volume, hyphen, hyphen_cm, point, comma, three, between = reports(ask, root, "17_report_numbers")
    assert volume[0]["volume_ml"] == 1482
    for findings, size in ((hyphen, 12), (hyphen_cm, 25), (point, 8), (comma, 114), (three, 32)):
        assert len(findings) == 1
        assert (findings[0]["size_mm"], findings[0]["count"]) == (size, None)
    assert between[0]["size_mm"] in (3, 4)


def test_negative_for_denies_all_that_follows(ask: Ask, root: Path) -> None:
    both, liver, without, however = reports(ask, root, "19_report_negative_for")
    for findings in (both, liver, without):
        assert {one["presence"] for one in findings if one["lesion"]} == {"absent"}
    assert len([one for one in both if one["lesion"]]) == 2
    assert {one["presence"] for one in however if one["lesion"] == "cyst"} == {"present"}


def test_a_file_of_labels_one_voxel_wide_opens(ask: Ask) -> None:
    opened(ask, "20_one_voxel_lesion/lab.nii.gz")


@pytest.mark.parametrize("name", ["unit", "byte", "hu"])
def test_a_ct_not_in_hu_is_refused_by_what_needs_hu_or_said_everywhere(name: str, ask: Ask) -> None:
    wanted = ["liver", "left hip bone"]
    first, found = ask(
        [
            ("open_image", {"path": f"22_ct_not_in_hu/{name}.nii.gz", "modality": "ct"}),
            ("segment", lambda done: {"image_id": opened_in(done), "structures": wanted, "wait_s": 250}),
        ]
    )
    assert (first.result["intensity_unit"] == "HU") == (name == "hu")
    said = "HU" in json.dumps(found.result.get("image_warnings"))
    fine = all(row["verdict"] in ("unsupported", "unsure") for row in found.result.get("masks", []))
    assert name == "hu" or found.is_error or said or fine


def test_links_inside_the_root_count(ask: Ask) -> None:
    for answer in opened(ask, "24_symlinked_slices/all", "24_symlinked_slices/some"):
        assert answer.result["shape"][2] == 6


def test_an_export_never_carries_the_identity_of_another_opening(ask: Ask, root: Path) -> None:
    case = "26_same_voxels_other_patient"
    calls: Calls = [
        *hippocampi(f"{case}/anonymous"),
        ("open_image", {"path": f"{case}/identified"}),
        ("open_image", {"path": f"{case}/plain.nii.gz"}),
        ("export", lambda done: {"mask_ids": first_mask(done[:2]), "folder": case, "format": "dicom_seg"}),
    ]
    *_, exported = ask(calls)
    assert not exported.is_error, exported.text
    assert pydicom.dcmread(root / exported.result["files"][0]["path"]).PatientID == "ANON-1"
