"""The Inspector's command line, a client that is not ours, lists the tools strictly and calls every one of them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ostensor.tools.registry import TOOLS

from .. import node_packages
from ..tools.conftest import HERE, save, toy_scan
from ..tools.lines import http_server

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


def error(url: str, tool: str, **given: Any) -> str:
    """What a tool refuses with: exit status 5 is the Inspector's for that."""
    program = node_packages.package("@modelcontextprotocol/inspector") / "clients" / "launcher" / "build" / "index.js"
    words = ("--method", "tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(given), "--format", "json")
    done = node_packages.run(str(program), "--cli", url, *words)
    assert done.returncode == 5, done.stderr
    return done.stdout


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_schemas_of_all_tools_are_portable(url: str, era: str) -> None:
    """Exit status 6 would mean a schema that some hosts cannot read."""
    answer, said = inspect(url, "--method", "tools/list", "--strict", "--protocol-era", era)
    names = [tool["name"] for tool in answer.get("result", answer)["tools"]]
    assert names == [entry.name for entry in TOOLS]
    assert "Path: inputSchema" not in said, "not even a warning about what models have to write"


@pytest.mark.slow
def test_every_tool_can_be_called(url: str) -> None:
    image = called(url, "open_image", path="ct.nii.gz", modality="ct")["image_id"]
    rows = called(url, "segment", image_id=image, structures=["liver", "spleen"], wait_s=100)["masks"]
    liver, spleen = (row["mask_id"] for row in rows)
    later_image = called(url, "open_image", path="later.nii.gz", modality="ct")["image_id"]
    later = called(url, "segment", image_id=later_image, structures=["liver"], wait_s=100)["masks"][0]["mask_id"]
    waiting = called(url, "segment_described", image_id=image, description="the liver", wait_s=0)
    job = waiting["job_id"]
    calls: dict[str, Found] = {
        "get_job": {"job_id": job, "wait_s": 60},
        "cancel_job": {"job_id": job},
        "find_structures": {"query": "hepar"},
        "list_models": {},
        "segment_described": {"image_id": image, "description": "the liver", "wait_s": 100},
        "measure": {"mask_ids": [liver, spleen]},
        "compare_masks": {"mask_a": liver, "mask_b": spleen},
        "edit_mask": {"operation": "union", "mask_ids": [liver, spleen]},
        "render": {"image_id": image, "mask_ids": [liver]},
        "export": {"mask_ids": [liver]},
        "assess_mask": {"mask_id": liver},
        "compare_studies": {"before_mask_ids": [liver], "after_mask_ids": [later]},
        "predict_prognosis": {"ehr": {"disease": "lung cancer", "age_years": 66, "sex": "male", "overall_stage": "II"}},
        "write_prompts": {"mask_id": liver, "n": 3, "wait_s": 100},
        "stress_description": {"image_id": image, "description": "the liver", "wait_s": 100},
        "synthesize_image": {"modality": "ct", "mask_ids": [liver, spleen], "engine": "classical", "wait_s": 100},
        "viewer_open": {"image_id": image},
        "viewer_slices": {"image_id": image, "view": "axial", "first": 3},
        "viewer_point": {"image_id": image, "ras_index": [10, 20, 7]},
        "check_report": {"image_id": image, "report": "The liver is normal.", "wait_s": 100},
    }
    refused = {
        "translate_image": {"image_id": image, "modality": "mr", "wait_s": 100},
        "inpaint_image": {"image_id": image, "mask_ids": [liver], "wait_s": 100},
    }
    assert {"open_image", "segment", *calls, *refused} == {entry.name for entry in TOOLS}
    for tool, given in refused.items():  # their networks are no part of the toys: the refusal is what must arrive
        assert "weights" in error(url, tool, **given).lower(), tool
    for tool, given in calls.items():
        assert called(url, tool, **given), tool
