"""The Inspector's command line, a client that is not ours, lists the tools strictly and calls every one of them."""

import json
from collections.abc import Iterator
from typing import Any

import nibabel
import numpy as np
import pytest

from ostensor.tools.registry import TOOLS

from .. import node_packages
from ..toys.desks import AFFINE, HERE, save, toy_scan
from ..toys.lines import http_server

Found = dict[str, Any]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    node_packages.package("@modelcontextprotocol/inspector")
    root = tmp_path_factory.mktemp("scans")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        organs = {
            "liver": (slice(8, 25), slice(10, 30), slice(5, 17)),
            "spleen": (slice(40, 50), slice(30, 41), slice(20, 29)),
        }
        save(root / "ct.nii.gz", toy_scan(**organs))
        labels = np.zeros(toy_scan(**organs).shape, dtype=np.uint8)
        labels[organs["liver"]] = 1
        nibabel.save(nibabel.Nifti1Image(labels, AFFINE), root / "label.nii.gz")
        save(root / "later.nii.gz", toy_scan(**{**organs, "liver": (slice(8, 27), slice(10, 30), slice(5, 17))}))
    with http_server(tmp_path_factory.mktemp("inspected") / "store", root, "all") as address:
        yield address


def inspect(url: str, *words: str) -> Any:
    """What the Inspector prints; its exit status is 0, or the test fails with what it said."""
    program = node_packages.package("@modelcontextprotocol/inspector") / "clients" / "launcher" / "build" / "index.js"
    done = node_packages.run(str(program), "--cli", url, *words, "--connect-timeout", "60000", "--format", "json")
    assert done.returncode == 0, f"{words}: {done.returncode} {done.stderr[-2000:]} {done.stdout[-500:]}"
    return json.loads(done.stdout), done.stderr


def called(url: str, tool: str, **given: Any) -> Found:
    words = ("--method", "tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(given), "-q")
    answer = inspect(url, *words)[0]
    return dict(answer.get("result", answer)["structuredContent"])


def finished(url: str, tool: str, **given: Any) -> Found:
    """The answer of a long tool: the Inspector gives a call one minute, so the rest is waited for as a job."""
    found = called(url, tool, wait_s=10, **given)
    for _ in range(20):
        if found.get("state", "done") not in ("queued", "running"):
            break
        found = called(url, "get_job", job_id=found["job_id"], wait_s=30)
    assert found.get("state") in (None, "done"), found
    return dict(found.get("result") or found)


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_schemas_of_all_tools_are_portable(url: str, era: str) -> None:
    """Exit status 6 would mean a schema that some hosts cannot read."""
    answer, said = inspect(url, "--method", "tools/list", "--strict", "--protocol-era", era)
    names = {tool["name"] for tool in answer.get("result", answer)["tools"]}
    assert {entry.name for entry in TOOLS if entry.ui != ("app",)} <= names, (
        "pages' own tools only where pages are shown"
    )
    assert "Path: inputSchema" not in said, "not even a warning about what models have to write"


@pytest.fixture(scope="module")
def handles(url: str) -> dict[str, str]:
    """An image with two masks and a later one with one, all made through the Inspector."""
    image = called(url, "open_image", path="ct.nii.gz", modality="ct")["image_id"]
    liver, spleen = finished(url, "segment", image_id=image, structures=["liver", "spleen"])["masks"]
    later = called(url, "open_image", path="later.nii.gz", modality="ct")["image_id"]
    grown = finished(url, "segment", image_id=later, structures=["liver"])["masks"][0]
    edited = called(url, "edit_mask", operation="grow", mask_ids=[liver["mask_id"]], amount_mm=5)["mask_id"]
    job = called(url, "segment_described", image_id=image, description="the liver", wait_s=0)["job_id"]
    point = [{"kind": "point", "at": [[9, 9, 9]]}]
    refined = finished(url, "refine_mask", handle=image, frame="index", prompts=point, model="grow-from-seeds")
    return {
        "IMAGE": image, "LIVER": liver["mask_id"], "SPLEEN": spleen["mask_id"], "GROWN": grown["mask_id"], "JOB": job,
        "EDITED": edited, "REFINED": refined["refinement_id"],
    }  # fmt: skip


CALLS: dict[str, Found] = {
    "get_job": {"job_id": "JOB", "wait_s": 30},
    "cancel_job": {"job_id": "JOB"},
    "find_structures": {"query": "hepar"},
    "list_files": {},
    "list_handles": {"kind": "masks"},
    "import_mask": {"path": "label.nii.gz", "image_id": "IMAGE"},
    "list_models": {},
    "measure": {"mask_ids": ["LIVER", "SPLEEN"]},
    "compare_masks": {"mask_a": "LIVER", "mask_b": "SPLEEN"},
    "edit_mask": {"operation": "union", "mask_ids": ["LIVER", "SPLEEN"]},
    "refine_mask": {
        "handle": "LIVER",
        "frame": "index",
        "prompts": [{"kind": "point", "at": [[9, 9, 9]]}],
        "model": "grow-from-seeds",
    },
    "branch_refinement": {"refinement_id": "REFINED", "step": 1},
    "undo_refinement": {"refinement_id": "REFINED"},
    "render": {"image_id": "IMAGE", "mask_ids": ["LIVER"]},
    "derive": {"quantity": "ratio", "mask_ids": ["LIVER", "SPLEEN"]},
    "export": {"mask_ids": ["LIVER"]},
    "assess_mask": {"mask_id": "LIVER"},
    "merge_masks": {"mask_ids": ["LIVER", "EDITED"]},
    "compare_studies": {"before_mask_ids": ["LIVER"], "after_mask_ids": ["GROWN"]},
    "predict_prognosis": {"ehr": {"disease": "lung cancer", "age_years": 66, "sex": "male", "overall_stage": "II"}},
}
LONG: dict[str, Found] = {
    "segment_described": {"image_id": "IMAGE", "description": "the liver"},
    "run_batch": {"paths": ["ct.nii.gz"], "structures": ["liver"], "formats": ["csv"]},
    "check_report": {"image_id": "IMAGE", "report": "The liver is normal."},
    "write_prompts": {"mask_id": "LIVER", "n": 3},
    "stress_description": {"image_id": "IMAGE", "description": "the liver"},
    "synthesize_image": {"modality": "ct", "mask_ids": ["LIVER", "SPLEEN"], "engine": "classical"},
    "inpaint_image": {"image_id": "IMAGE", "mask_ids": ["LIVER"], "engine": "classical"},
    "translate_image": {"image_id": "IMAGE", "modality": "mr", "steps": 1},
}


def test_no_tool_is_forgotten() -> None:
    """`open_image` and `segment` make the handles of the others; tools of pages are tried by the page's own tests."""
    assert {"open_image", "segment", *CALLS, *LONG} == {entry.name for entry in TOOLS if entry.ui != ("app",)}


@pytest.mark.slow
@pytest.mark.parametrize("tool", [*CALLS, *LONG])
def test_every_tool_can_be_called(url: str, handles: dict[str, str], tool: str) -> None:
    if tool in CALLS:
        assert called(url, tool, **filled(CALLS[tool], handles))
    else:
        assert finished(url, tool, **filled(LONG[tool], handles))


def filled(given: Any, handles: dict[str, str]) -> Any:
    """Arguments with the handles in their places."""
    if isinstance(given, dict):
        return {name: filled(value, handles) for name, value in given.items()}
    if isinstance(given, list):
        return [filled(value, handles) for value in given]
    return handles.get(given, given) if isinstance(given, str) else given
