"""The whole loop: questions in, checked answers out; with the offline model and with scripted ones."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from ostensor.agents.ask import MOST_TOOL_CALLS, Answered, ask, chat_model, resume, thread_of
from ostensor.agents.toolbox import open_toolbox
from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.server.mcp.server import build_server
from ostensor.tools.desk.desk import Desk

from .conftest import Question
from .scripted import Scripted, calls, replies


def tools_of(answered: Answered) -> list[str]:
    """Calls in order, without waiting for jobs on a busy machine."""
    return [call["tool"] for call in answered.calls if call["tool"] != "get_job"]


VOXEL_ML = 0.8 * 0.9 * 3.0 / 1000


def test_a_volume_is_measured_and_cited(question: Question) -> None:
    """The toy's liver is a block of 17 x 20 x 12 voxels."""
    answered = question("How large is the liver?")
    assert tools_of(answered) == ["segment", "measure"]
    assert f"{17 * 20 * 12 * VOXEL_ML:.2f}" in answered.text
    assert answered.reply is not None
    cite = answered.reply.statements[0].cites[0]
    assert cite.call_id == answered.calls[-1]["call_id"]
    assert cite.handle.startswith("msk_")
    assert answered.removed == ()


@pytest.mark.parametrize(
    ("words", "kind", "said", "tools"),
    [
        ("How big is the kidney?", "question", "left kidney, the right kidney, or both", []),
        ("Segment both kidneys and the pancreas", "answer", "pancreas is unsupported", ["segment"]),
        ("Is the urinary bladder there?", "answer", "urinary bladder is absent", ["segment"]),
        ("Show me the liver", "answer", "picture", ["segment", "render"]),
        ("Where is the mass in the upper liver?", "answer", "No area inside the liver", ["segment_described"]),
        ("Measure msk_000000000000", "refusal", "Unknown mask", ["measure"]),
        ("Write me a poem", "refusal", "I can segment", ["find_structures"]),
        ("What is the prognosis?", "question", "--ehr", []),
        ("Which models are there?", "answer", "toy-ct", ["list_models"]),
        ("Check the report", "question", "Which report", []),
    ],
)  # fmt: skip
def test_intents(question: Question, words: str, kind: str, said: str, tools: list[str]) -> None:
    answered = question(words)
    assert answered.reply is not None
    assert answered.reply.kind == kind
    assert said in answered.text
    assert tools_of(answered) == tools
    assert answered.removed == ()


def test_a_report_is_checked_without_the_model_reading_it(question: Question) -> None:
    answered = question("Check this report", report="The liver is normal. The left kidney is surgically absent.")
    assert tools_of(answered) == ["check_report"]
    assert answered.calls[0]["arguments"]["report"] == "@report"
    assert "1 supported, 1 contradicted" in answered.text
    assert "the left kidney is present" in answered.text


def test_the_same_question_gives_the_same_calls_and_ids(question: Question) -> None:
    first, second = (question("How large is the liver?") for _ in range(2))
    assert first.reply == second.reply
    assert first.calls == second.calls


def test_an_llms_wrong_number_is_refused_once_and_then_removed(question: Question) -> None:
    def ask_again(messages: list) -> object:
        assert "The ledger refuses this answer" in messages[-1].content
        assert "'99' is not in the results it cites" in messages[-1].content
        return replies(("It has 98 ml.", [("c0", "")]), ("The scan was looked at.", []), number=91)

    script = [
        lambda messages: calls("list_models"),
        replies(("It has 99 ml.", [("c0", "")])),
        ask_again,
    ]
    answered = question("Which models are there?", model=Scripted(script=script))
    assert answered.text == "The scan was looked at. One statement was left out, because no tool result bears it out."
    assert answered.removed == ("Statement 1: '98' is not in the results it cites.",)


def test_tool_errors_come_back_for_the_model_to_read(question: Question) -> None:
    def reads(messages: list) -> object:
        assert messages[-1].status == "error"
        assert "Unknown model 'lever'" in messages[-1].content
        return replies(("It failed.", []))

    script = [
        lambda m: calls("segment", image_id=m[-1].content[1]["text"].split()[1], structures=["liver"], model="lever"),
        reads,
    ]
    assert question("Segment the liver", model=Scripted(script=script)).text == "It failed."


def test_a_model_that_never_stops_calling_is_stopped(question: Question) -> None:
    endless = [calls("list_models", number) for number in range(60)]
    with pytest.raises(Exception, match="without a final answer"):
        question("Which models are there?", model=Scripted(script=endless))
    assert len(endless) == 60
    assert MOST_TOOL_CALLS < 60


def test_export_waits_for_approval_and_goes_on_in_another_process(
    question: Question, desk: Desk, folder: Path, root: Path
) -> None:
    waiting = question("Export the liver mask", folder=folder)
    assert [one["name"] for one in waiting.pending] == ["export"]
    assert list(root.glob("liver_*")) == []
    script = f"""
import sys, anyio
from pathlib import Path
from ostensor.agents.ask import resume
from ostensor.tools.desk.desk import Desk
from ostensor.server.mcp.server import build_server
from ostensor.tools.desk.settings import Settings
async def main():
    with Desk(Settings(store=Path({str(desk.settings.store)!r}), roots=(Path({str(root)!r}),))) as desk:
        print((await resume({waiting.thread_id!r}, "approve", build_server(desk), folder=Path({str(folder)!r}))).text)
anyio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "exported and read back" in done.stdout, done.stderr
    assert len(list(root.glob("liver_*.nii.gz"))) == 1


def test_a_rejected_export_writes_nothing(question: Question, desk: Desk, folder: Path, root: Path) -> None:
    waiting = question("Export the liver mask", folder=folder)

    async def reject() -> str:
        return (await resume(waiting.thread_id, "reject", build_server(desk), folder=folder)).text

    assert "Nothing was exported" in anyio.run(reject)
    assert list(root.glob("liver_*")) == []


def test_graph_state_holds_handles_only(question: Question, folder: Path) -> None:
    """150 findings and a picture: the checkpoints of a run stay small, and the counts are still the tool's."""
    question("Show me the liver", folder=folder)
    answered = question("Check this report", report="The liver is normal. " * 150, folder=folder)
    assert "150 findings: 150 supported" in answered.text
    assert [path.name for path in (folder, *folder.iterdir()) if path.stat().st_mode & 0o077] == [], "reports lie there"
    with sqlite3.connect(folder / "checkpoints.sqlite") as database:
        sizes = [row[0] for row in database.execute("select length(checkpoint) from checkpoints")]
        writes = database.execute("select value from writes").fetchall()
    assert max(len(row[0] or b"") for row in writes) < 200_000
    assert max(sizes) < 200_000
    assert not any(b"\x89PNG" in (row[0] or b"") or b"iVBOR" in (row[0] or b"") for row in writes)


@pytest.mark.parametrize(
    ("name", "kind", "fact"),
    [
        ("gpt", BadCall, "'gpt' is no model"),
        ("nope:x", BadCall, "Unknown provider 'nope'"),
        ("anthropic:claude", Unavailable, "pip install langchain-anthropic"),
    ],
)
def test_models_that_cannot_be_used_get_one_clear_sentence(name: str, kind: type[Exception], fact: str) -> None:
    with pytest.raises(kind, match=fact) as caught:
        chat_model(name)
    assert "\n" not in str(caught.value)


def test_refusals_before_anything_runs(question: Question, desk: Desk, folder: Path) -> None:
    with pytest.raises(BadCall, match="question is empty"):
        question("  ")
    with pytest.raises(BadCall, match="does not exist"):
        question("Segment the liver", images=["none.nii.gz"])

    async def go_on() -> None:
        await resume("../../etc", "approve", build_server(desk), folder=folder)

    with pytest.raises(BadCall, match="Unknown run"):
        anyio.run(go_on)


def test_progress_reaches_the_listener_and_protocol_errors_are_answers(desk: Desk) -> None:
    told: list[dict] = []

    async def run() -> tuple[str, bool]:
        async with open_toolbox(build_server(desk)) as box:
            missing = await box.call("no_such_tool", {})
            assert missing.is_error
            blocks = await box.tools(("list_models",))[0].ainvoke(
                {"type": "tool_call", "name": "list_models", "args": {}, "id": "x"}
            )
            again = await box.tools(("list_models",))[0].ainvoke(
                {"type": "tool_call", "name": "list_models", "args": {}, "id": "x"}
            )
            assert blocks.content == again.content
            return missing.text, missing.is_error

    assert "no_such_tool" in anyio.run(run)[0]
    assert told == []


def test_two_scans_are_compared(question: Question) -> None:
    answered = question("Compare the liver", images=["ct.nii.gz", "ct.nii.gz"])
    assert tools_of(answered) == ["segment", "measure"]
    assert json.dumps(answered.calls)


def test_ask_needs_no_report_folder(desk: Desk) -> None:
    async def run() -> str:
        return (await ask("Which models are there?", build_server(desk))).text

    assert "toy-ct" in anyio.run(run)


def test_a_question_may_follow_another(question: Question, folder: Path) -> None:
    """What was asked before names the structure; it permits no tool of its own, and is kept for the next one."""
    answered = question("And its volume?", earlier=["Show me the liver, then export it"], folder=folder)
    assert tools_of(answered) == ["segment", "measure"]
    assert "The liver measures" in answered.text
    kept = thread_of(answered.thread_id, folder)
    assert (kept.question, kept.earlier) == ("And its volume?", ("Show me the liver, then export it",))


def test_the_format_asked_for_is_the_one_that_waits_for_approval(question: Question, folder: Path) -> None:
    waiting = question("Export the liver as DICOM SEG", folder=folder)
    assert waiting.pending[0]["args"]["format"] == "dicom_seg"
    declined = question("Export the liver as an OBJ mesh", folder=folder)
    assert declined.pending == ()
    assert "OBJ is not offered" in declined.text


def test_a_lesion_no_model_looks_for_is_declined_and_not_absent(question: Question) -> None:
    answered = question("Any metastases in the liver?")
    assert answered.reply is not None
    assert answered.reply.kind == "refusal"
    assert "no model here looks for metastasis" in answered.text
    assert "absent" not in answered.text
