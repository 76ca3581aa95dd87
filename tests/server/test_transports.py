"""The same behaviour in memory, over stdio and over HTTP, for clients of the handshake era and of 2026-07-28."""

import base64
import json
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult, InputRequiredResult, PromptReference, ResourceTemplateReference

from ostensor.tools.desk.settings import DEFAULT_TOOLSETS
from ostensor.tools.registry import TOOLS

from ..toys.desks import HERE, save, toy_scan
from ..toys.lines import ERAS, TRANSPORTS, Line, line

LIVER = (slice(8, 25), slice(10, 30), slice(5, 17))
YES = ElicitResult(action="accept", content={"approved": True})
NO = ElicitResult(action="decline")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A scan with a liver, and one that takes ten seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        root = tmp_path_factory.mktemp("scans")
        save(root / "ct.nii.gz", toy_scan(liver=LIVER))
        slow = toy_scan(liver=LIVER)
        slow[0, 0, 0] = 3000
        save(root / "slow.nii.gz", slow)
        yield root


@pytest.fixture(scope="module", params=[f"{t} {e}" for t in TRANSPORTS for e in ERAS])
def open_line(request: pytest.FixtureRequest, scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    transport, era = request.param.split()
    with line(transport, era, tmp_path_factory.mktemp("line"), scans) as made:
        yield made


@pytest.fixture
def wire(open_line: Line) -> Line:
    """The connection, with a person who says no and nothing asked yet."""
    open_line.says = NO
    open_line.asked.clear()
    return open_line


def opened(wire: Line, name: str = "ct.nii.gz") -> str:
    return str((wire.call("open_image", path=name).structured_content or {})["image_id"])


def liver_of(wire: Line) -> str:
    found = wire.call("segment", image_id=opened(wire), structures=["liver"], wait_s=60)
    return str((found.structured_content or {})["masks"][0]["mask_id"])


def record(wire: Line, uri: str) -> dict[str, Any]:
    return dict(json.loads(wire.run(wire.client.read_resource, uri).contents[0].text))


def test_the_client_speaks_the_era_asked_for(wire: Line) -> None:
    spoken = wire.client.session.protocol_version
    assert (spoken == "2026-07-28") == (wire.era == "2026-07-28"), spoken


def test_the_tools_are_those_of_the_registry(wire: Line) -> None:
    names = [tool.name for tool in wire.run(wire.client.list_tools).tools]
    assert names == [entry.name for entry in TOOLS if entry.toolset in DEFAULT_TOOLSETS and entry.ui != ("app",)]


def test_text_and_structure_of_an_answer_each_say_everything(wire: Line) -> None:
    """Voxels from the block that was drawn: 17 x 20 x 12 of 0.8 x 0.9 x 3.0 mm."""
    found = wire.call("segment", image_id=opened(wire), structures=["liver"], wait_s=60)
    row = (found.structured_content or {})["masks"][0]
    assert row["volume_ml"] == pytest.approx(17 * 20 * 12 * 0.8 * 0.9 * 3.0 / 1000, rel=1e-3)
    text = found.content[0].text
    assert row["mask_id"] in text
    assert text.startswith(f"Present: liver {row['volume_ml']:g} ml")


@pytest.mark.parametrize(
    ("tool", "given", "fact"),
    [
        ("open_image", {"path": "none.nii.gz"}, "none.nii.gz"),
        ("open_image", {"file": "ct.nii.gz"}, "'file' is not an argument"),
        ("compare_masks", {"mask_a": "msk_a", "mask_b": "msk_b", "tolerance_mm": -1}, "tolerance_mm"),
        ("measure", {"mask_ids": ["msk_none"]}, "msk_none"),
    ],
)
def test_a_wrong_call_is_an_answer_a_model_can_read(wire: Line, tool: str, given: dict[str, Any], fact: str) -> None:
    found = wire.call(tool, **given)
    assert found.is_error
    assert fact in found.content[0].text
    assert "Traceback" not in found.content[0].text
    assert found.structured_content is None


def test_progress_rises_while_a_call_lasts(wire: Line) -> None:
    heard: list[float] = []

    async def hear(done: float, total: float | None, message: str | None) -> None:
        heard.append(done / (total or 1.0))

    found = wire.call("segment", image_id=opened(wire, "slow.nii.gz"), structures=["liver"], wait_s=3, progress=hear)
    job = (found.structured_content or {})["job_id"]
    assert wire.call("cancel_job", job_id=job).structured_content["state"] == "cancelled"
    assert len(heard) >= 2
    assert heard == sorted(set(heard))
    assert 0.0 <= heard[0] < heard[-1] < 1.0


def last_job(wire: Line, job: str) -> str:
    return str((wire.call("get_job", job_id=job, wait_s=10).structured_content or {})["state"])


def running(wire: Line, image_id: str) -> str:
    """A slow job, begun and left running."""
    found = wire.call("segment", image_id=image_id, structures=["liver"], wait_s=0)
    return str((found.structured_content or {})["job_id"])


def test_a_call_that_is_cancelled_stops_its_work(wire: Line) -> None:
    image_id = opened(wire, "slow.nii.gz")
    job = running(wire, image_id)  # the next call joins it
    given = {"image_id": image_id, "structures": ["liver"], "wait_s": 60}
    waiting = wire.portal.start_task_soon(wire.client.call_tool, "segment", given)
    with pytest.raises(TimeoutError):
        waiting.result(timeout=1.0)
    waiting.cancel()
    with pytest.raises(CancelledError):
        waiting.result(timeout=10.0)
    assert last_job(wire, job) == "cancelled"


def test_a_call_that_times_out_stops_its_work(wire: Line) -> None:
    image_id = opened(wire, "slow.nii.gz")
    job = running(wire, image_id)
    with pytest.raises(MCPError) as caught:
        wire.call("segment", image_id=image_id, structures=["liver"], wait_s=60, timeout_s=1.0)
    assert caught.value.code == -32001
    assert last_job(wire, job) == "cancelled"


def test_a_file_is_replaced_only_when_the_person_says_yes(wire: Line) -> None:
    mask_id = liver_of(wire)
    name = f"liver_{mask_id}.nii.gz"
    (wire.root / name).unlink(missing_ok=True)
    assert not wire.call("export", mask_ids=[mask_id]).is_error
    assert wire.asked == []
    (wire.root / name).write_bytes(b"corrected by hand")
    refused = wire.call("export", mask_ids=[mask_id])
    assert refused.is_error
    assert "did not approve" in refused.content[0].text
    assert wire.asked == [f"Replace {name} in '.'? Changes made by hand would be lost."]
    assert (wire.root / name).read_bytes() == b"corrected by hand"
    wire.says = YES
    assert not wire.call("export", mask_ids=[mask_id]).is_error
    assert (wire.root / name).read_bytes() != b"corrected by hand"
    (wire.root / name).unlink()


def test_an_approval_holds_only_for_the_call_it_was_given_for(wire: Line) -> None:
    if wire.era != "2026-07-28":
        pytest.skip("handshake clients answer inside the call: there is no second call to change")
    mask_id = liver_of(wire)
    name = wire.root / f"liver_{mask_id}.nii.gz"
    other = wire.root / "other"
    other.mkdir(exist_ok=True)
    for file in (name, other / name.name):
        file.write_bytes(b"corrected by hand")
    session = wire.client.session
    asked = wire.run(session.call_tool, "export", {"mask_ids": [mask_id]}, allow_input_required=True)
    assert isinstance(asked, InputRequiredResult)
    answers = dict.fromkeys(asked.input_requests or {}, YES)

    def again(folder: str) -> Any:
        return wire.run(
            session.call_tool,
            "export",
            {"mask_ids": [mask_id], "folder": folder},
            input_responses=answers,
            request_state=asked.request_state,
            allow_input_required=True,
        )

    with pytest.raises(MCPError, match="requestState"):
        again("other")
    assert (other / name.name).read_bytes() == b"corrected by hand"
    name.unlink()


def test_voxels_read_in_pieces_are_the_scan(wire: Line, scans: Path) -> None:
    image_id = opened(wire)
    facts = record(wire, f"ostensor://image/{image_id}")
    x, y, z = facts["shape"]
    step = min(7, facts["slices_per_read"])
    pieces = []
    for first in range(0, z, step):
        uri = f"ostensor://image/{image_id}/slab/{first}/{min(first + step, z) - 1}"
        pieces.append(base64.b64decode(wire.run(wire.client.read_resource, uri).contents[0].blob))
    array = np.frombuffer(b"".join(pieces), facts["dtype"]).reshape((x, y, z), order="F")
    assert facts["orientation"] == "LPS"
    np.testing.assert_array_equal(array, toy_scan(liver=LIVER))


def test_a_masks_pieces_are_the_mask(wire: Line) -> None:
    uri = f"ostensor://mask/{liver_of(wire)}/slab/4/6"
    piece = np.frombuffer(base64.b64decode(wire.run(wire.client.read_resource, uri).contents[0].blob), np.uint8)
    truth = np.zeros((61, 53, 29), np.uint8)
    truth[LIVER] = 1
    np.testing.assert_array_equal(piece.reshape((61, 53, 3), order="F"), truth[:, :, 4:7])


@pytest.mark.parametrize(("piece", "fact"), [("3/2", "none of 0 to 28"), ("0/29", "none of 0 to 28"), ("a/b", "whole")])
def test_pieces_that_are_none_are_refused(wire: Line, piece: str, fact: str) -> None:
    with pytest.raises(MCPError, match=fact):
        wire.run(wire.client.read_resource, f"ostensor://image/{opened(wire)}/slab/{piece}")


def test_an_unknown_handle_is_an_unknown_resource(wire: Line) -> None:
    with pytest.raises(MCPError, match="Unknown image"):
        record(wire, "ostensor://image/img_none")


def test_prompts_lay_out_the_work_with_what_is_known(wire: Line) -> None:
    names = [prompt.name for prompt in wire.run(wire.client.list_prompts).prompts]
    assert names == ["check_report", "measure_lesion", "compare_studies"]
    image_id = opened(wire)
    given = {"before_image_id": image_id, "after_image_id": "later.nii.gz", "lesion": "the cyst in the liver"}
    text = wire.run(wire.client.get_prompt, "compare_studies", given).messages[0].content.text
    assert f"{image_id}, unknown, 61 x 53 x 29 voxels of 0.8 x 0.9 x 3 mm" in text
    assert "open_image(path='later.nii.gz')" in text
    assert text.index("segment_described") < text.index("2. Call compare_studies")


def test_a_prompt_without_arguments_asks_for_them(wire: Line) -> None:
    for name in ("check_report", "measure_lesion", "compare_studies"):
        assert "ask me" in wire.run(wire.client.get_prompt, name).messages[0].content.text


def test_handles_and_names_are_completed(wire: Line) -> None:
    image_id = opened(wire)
    template = ResourceTemplateReference(type="ref/resource", uri="ostensor://image/{image_id}")
    prompt = PromptReference(type="ref/prompt", name="compare_studies")
    for reference, name in ((template, "image_id"), (prompt, "before_image_id"), (prompt, "after_image_id")):
        found = wire.run(wire.client.complete, reference, {"name": name, "value": image_id[:6]})
        assert image_id in found.completion.values
