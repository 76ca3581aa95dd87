"""What travels is short and whole: rows come back as they were, and what programs rely on is always there."""

import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from mcp import Client
from pydantic import BaseModel

from ostensor.server.mcp.server import build_server
from ostensor.server.mcp.wire import RESULTS, packed, unpacked
from ostensor.tools.deriving.results import DerivedResult, DerivedRow, InputRow
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.results import (
    Geometry,
    ImageResult,
    JobResult,
    MaskRow,
    Provenance,
    SegmentResult,
)
from ostensor.tools.reports.results import ReportResult
from ostensor.tools.running import use

from ...toys.desks import Reply

RECEIPT = Geometry(
    shape=[512, 512, 300],
    affine=[[-0.7, 0, 0, 180], [0, -0.7, 0, 170], [0, 0, 1.25, -400], [0, 0, 0, 1]],
    axis_codes="LPS",
    max_affine_difference=0.0,
    side_checked=False,
)
WARNING = "The structure reaches the inferior edge of the scan: its volume is that of the part inside."


def mask_row(name: str, **changes: Any) -> MaskRow:
    made = Provenance(
        tool="segment", version="0.1.0", inputs=["img_0123456789ab"], model="sat-mini-abdomen-2d",
        weights_sha256="0e88" * 16, licence="CC BY 4.0", purpose="any", engine="openvino cpu bf16",
    )  # fmt: skip
    values: dict[str, Any] = {
        "structure": name, "asked_as": name, "verdict": "present", "mask_id": "msk_0123456789ab", "confidence": 0.9312,
        "confidence_is": "expected Dice (a long text)", "mean_sigmoid": 0.9712, "volume_ml": 155.09,
        "volume_is": "complete", "volume_90_ml": [131.2, 163.44], "truncated_at": [], "side": "left",
        "geometry": RECEIPT, "provenance": made,
    }  # fmt: skip
    return MaskRow(**{**values, **changes})


def segmented() -> SegmentResult:
    rows = [
        mask_row("left kidney", geometry=RECEIPT.model_copy(update={"side_checked": True})),
        mask_row("liver", warnings=[WARNING, "More."], truncated_at=["inferior"], side=None, asked_as="Leber"),
        mask_row("spleen", warnings=[WARNING]),
        mask_row("gallbladder", verdict="absent", mask_id=None, confidence=None, confidence_is="", mean_sigmoid=None,
                 volume_ml=None, volume_is="not given", volume_90_ml=None, side=None, geometry=None, reason="Not seen."),
    ]  # fmt: skip
    return SegmentResult(image_id="img_0123456789ab", masks=rows)


def without_inputs(values: Any) -> Any:
    """As values come back: what is left out for good is empty."""
    if isinstance(values, dict):
        gone = {
            "inputs": [],
            "mean_sigmoid": None if values.get("confidence") is not None else values.get("mean_sigmoid"),
        }
        return {k: gone.get(k, without_inputs(v)) if k in gone else without_inputs(v) for k, v in values.items()}
    return [without_inputs(one) for one in values] if isinstance(values, list) else values


def test_a_row_is_short_and_what_rows_share_is_said_once() -> None:
    full = segmented().model_dump(mode="json")
    wire = packed(SegmentResult, full)
    assert max(len(json.dumps(wire["masks"][n], separators=(",", ":"))) for n in (0, 2, 3)) <= 250
    assert json.dumps(wire).count("weights_sha256") == 1
    assert json.dumps(wire).count("LPS") == 1
    assert json.dumps(wire).count(WARNING) == 1
    assert wire["notes"] == {"masks": [{"text": WARNING, "rows": [1, 2]}]}
    assert wire["masks"][1]["warnings"] == ["More."]
    assert len(json.dumps(wire)) < 0.55 * len(json.dumps(full))


def test_rows_of_two_models_cut_by_the_scan_are_short_too() -> None:
    other = mask_row("liver").provenance.model_copy(update={"model": "sat-mini-torso"})
    cut = {"volume_is": "cut by the edge", "truncated_at": ["inferior"], "side": "midline"}
    rows = [mask_row("right kidney", asked_as="kidneys"), mask_row("aorta", **cut), mask_row("heart", provenance=other)]
    sent = packed(SegmentResult, SegmentResult(image_id="i", masks=rows).model_dump(mode="json"))
    assert max(len(compact(row)) for row in sent["masks"]) <= 250


def test_every_row_comes_back_whole() -> None:
    full = segmented().model_dump(mode="json")
    again = unpacked(SegmentResult, packed(SegmentResult, full))
    for row in (again["masks"], full["masks"]):
        for one in row:
            one["warnings"].sort()
    assert again == without_inputs(full)
    assert SegmentResult.model_validate(again)


def test_rows_of_two_models_each_name_theirs() -> None:
    other = mask_row("heart").provenance.model_copy(update={"model": "sat-mini-torso"})
    rows = [mask_row("liver"), mask_row("heart", provenance=other)]
    full = SegmentResult(image_id="img_0123456789ab", masks=rows).model_dump(mode="json")
    wire = packed(SegmentResult, full)
    assert [row["made_by"] for row in wire["masks"]] == ["sat-mini-abdomen-2d", "sat-mini-torso"]
    assert unpacked(SegmentResult, wire) == without_inputs(full)


def test_masks_on_two_grids_keep_their_receipts() -> None:
    other = RECEIPT.model_copy(update={"shape": [3, 3, 3]})
    full = SegmentResult(image_id="i", masks=[mask_row("liver"), mask_row("spleen", geometry=other)]).model_dump(mode="json")  # fmt: skip
    wire = packed(SegmentResult, full)
    assert "geometry" not in wire
    assert unpacked(SegmentResult, wire) == without_inputs(full)


def test_what_programs_rely_on_is_there_though_it_is_empty() -> None:
    row = packed(SegmentResult, segmented().model_dump(mode="json"))["masks"][3]
    assert (row["mask_id"], row["confidence"], row["truncated_at"], row["warnings"]) == (None, None, [], [])
    assert "volume_90_ml" not in row


def test_a_jobs_result_is_packed_as_its_tools_answer_is() -> None:
    full = segmented().model_dump(mode="json")
    job = JobResult(job_id="job_1", tool="segment", state="done", progress=1.0, result=full).model_dump(mode="json")
    wire = packed(JobResult, job)
    assert wire["result"] == packed(SegmentResult, full)
    back = unpacked(JobResult, wire)["result"]
    assert {row["structure"]: row["provenance"]["model"] for row in back["masks"]}["liver"] == "sat-mini-abdomen-2d"


@pytest.mark.parametrize("kind", sorted(set(RESULTS.values()), key=lambda one: one.__name__), ids=lambda one: one.__name__)  # fmt: skip
def test_an_empty_answer_of_every_kind_comes_back(kind: type[BaseModel]) -> None:
    """Fields left out are filled in again with what the schema says is nothing."""
    empty = unpacked(kind, packed(kind, {}))
    assert set(empty) == set(kind.model_fields)


def test_a_tool_answers_packed_and_programs_read_it_whole(desk: Desk, ask: Callable[..., Reply], image_id: str) -> None:
    whole = ask("segment", image_id=image_id, structures=["liver", "spleen"]).result
    sent = anyio.run(sent_once, desk, "segment", {"image_id": image_id, "structures": ["liver", "spleen"]})
    assert sent == packed(SegmentResult, whole)
    assert set(sent["made_by"]) == {whole["masks"][0]["provenance"]["model"]}
    assert sent["geometry"]["shape"] == whole["masks"][1]["geometry"]["shape"]


async def sent_once(desk: Desk, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    async with Client(build_server(desk)) as client:
        return dict((await client.call_tool(tool, arguments)).structured_content or {})


REPORT = """FINDINGS:
The liver is normal. The liver measures 4.3 cm.
The spleen is unremarkable.
The left kidney is surgically absent.
The spleen is normal.
There is a 12 mm cyst in the liver.
No pancreatic mass.
The urinary bladder has been removed.
"""


def test_a_checked_report_of_eight_findings_is_read_in_at_most_1500_tokens(desk: Desk, image_id: str) -> None:
    """Counted as characters of text and compact JSON / 4."""
    text, sent = anyio.run(told_once, desk, "check_report", {"image_id": image_id, "report": REPORT, "wait_s": 120})
    assert len(sent["findings"]) == 8
    for row in sent["findings"]:
        assert {"sentence", "structure", "side", "size_mm", "judgement", "reasons", "evidence"} <= set(row)
    assert (len(text) + len(compact(sent))) / 4 <= 1500


def test_a_mask_that_several_findings_rest_on_is_told_once_and_comes_back_to_each(desk: Desk, image_id: str) -> None:
    """Rows as the tool made them, but for lengths of masks about which the report says no size."""
    whole = use(desk, "check_report", image_id=image_id, report=REPORT, wait_s=120.0).result.model_dump(mode="json")
    sent = packed(ReportResult, whole)
    assert compact(sent).count("longest_3d_mm") == 1, "the liver's: it is the only one of a stated size"
    assert [proof["as_finding"] for row in sent["findings"] for proof in row["evidence"] if "as_finding" in proof] == [0, 2, 0]  # fmt: skip
    back = unpacked(ReportResult, sent)
    assert ReportResult.model_validate(back)
    lengths = {name for name in whole["findings"][0]["evidence"][0] if name.endswith("_mm")} | {"slice_index", "no_length"}  # fmt: skip
    for row, other in zip(back["findings"], whole["findings"], strict=True):
        for proof, told in zip(row["evidence"], other["evidence"], strict=True):
            if told["structure"] != "liver":
                for name in lengths:
                    told[name] = proof[name]
        assert row == other
    assert [row["implausible"] for row in back["unmentioned"]] == [row["implausible"] for row in whole["unmentioned"]]


def test_derived_numbers_of_the_same_inputs_say_them_once() -> None:
    inputs = [InputRow(name="end-diastolic volume", mask_id="msk_1", value=1.0, unit="ml")]
    rows = [
        DerivedRow(quantity=name, value=0.0, unit="ml", formula="f", inputs=inputs, uncertainty="Propagated.")
        for name in ("ejection_fraction", "stroke_volume")
    ]
    made = Provenance(tool="derive", version="0.1.0", inputs=["msk_1"])
    full = DerivedResult(values=rows, warnings=[], provenance=made).model_dump(mode="json")
    sent = packed(DerivedResult, full)
    assert sent["provenance"] == {"tool": "derive", "version": "0.1.0", "inputs": ["msk_1"]}
    assert [("inputs" in row, row["value"]) for row in sent["values"]] == [(False, 0.0), (False, 0.0)]
    assert compact(sent).count("end-diastolic volume") == 1
    assert unpacked(DerivedResult, sent) == full


def test_what_a_volume_is_of_goes_where_the_row_shows_it_and_comes_back() -> None:
    rows = [
        mask_row("liver"),
        mask_row("spleen", truncated_at=["inferior"], volume_is="cut by the edge"),
        mask_row("heart", volume_ml=None, volume_is="not given"),
        mask_row("aorta", truncated_at=["inferior"], volume_is="complete"),
    ]
    full = SegmentResult(image_id="i", masks=rows).model_dump(mode="json")
    sent = packed(SegmentResult, full)
    assert ["volume_is" in row for row in sent["masks"]] == [False, False, False, True]
    assert [row["volume_is"] for row in unpacked(SegmentResult, sent)["masks"]] == [row.volume_is for row in rows]


def test_a_folder_to_choose_from_says_nothing_of_an_image() -> None:
    full = ImageResult(image_id=None, files=[{"path": "a.nii.gz", "kind": "nifti"}]).model_dump(mode="json")
    sent = packed(ImageResult, full)
    assert set(sent) == {"image_id", "spacing_mm", "intensity_unit", "synthetic", "warnings", "files"}
    assert unpacked(ImageResult, sent) == full


def test_a_summary_is_not_said_twice() -> None:
    made = {"image_id": "i", "summary": "8 findings: 1 supported. Contradicted: 'This.': that."}
    assert packed(ReportResult, made)["summary"] == "8 findings: 1 supported."


def compact(values: Any) -> str:
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)


async def told_once(desk: Desk, tool: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    async with Client(build_server(desk)) as client:
        answer = await client.call_tool(tool, arguments)
    return " ".join(part.text for part in answer.content if part.type == "text"), dict(answer.structured_content or {})
