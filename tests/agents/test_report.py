"""A language model as second reader: what the text bears out is added, the rest dropped and told; neither reader wins."""

from dataclasses import replace
from typing import Any

import pytest
from langchain_core.runnables import Runnable, RunnableLambda

from ostensor.agents.report import ReadFinding, ReadReport, check_with_llm, merge
from ostensor.imaging.errors import BadCall
from ostensor.retrieval.anatomy.structures import StructureTable
from ostensor.retrieval.reports.findings import find_findings
from ostensor.retrieval.reports.text import split_report
from ostensor.tools.desk.desk import Desk
from ostensor.tools.reports.judging import judge_finding
from ostensor.tools.reports.results import Evidence, ReportResult
from ostensor.tools.running import use

from .scripted import Scripted

TABLE = StructureTable.bundled()
TEXT = "The liver looks fine. A cyst of 12 mm in the left kidney. The largest gland below the stomach is fatty."


def merged(**read: Any) -> tuple[list[str], list[str]]:
    """Structures of all findings, and the notes."""
    parsed = split_report(TEXT)
    found = merge(parsed, find_findings(parsed), [ReadFinding(**read)], TABLE)
    return [finding.structure for finding in found.findings], [note.reason for note in found.notes]


RULED = [finding.structure for finding in find_findings(split_report(TEXT))]


def test_a_finding_the_rules_missed_is_added() -> None:
    structures, notes = merged(sentence=2, structure="pancreas")
    assert sorted(structures) == sorted([*RULED, "pancreas"])
    assert notes == []


@pytest.mark.parametrize(
    ("read", "fact"),
    [
        ({"sentence": 2, "structure": "pancreas", "size_mm": 30}, "read 30 mm, but the sentence does not say it"),
        ({"sentence": 2, "structure": "pancreas", "side": "left"}, "read the side left"),
        ({"sentence": 2, "structure": "pancreas", "lesion": "tumour"}, "read 'tumour', but"),
        ({"sentence": 2, "structure": "flux capacitor"}, "no structure known here"),
    ],
)
def test_what_the_sentence_does_not_say_is_dropped_and_told(read: dict[str, Any], fact: str) -> None:
    structures, notes = merged(**read)
    assert structures == RULED
    assert len(notes) == 1
    assert fact in notes[0]


TWO = "A cyst of 12 mm in the left kidney and a stone of 4 mm in the right kidney."
CYST = {"sentence": 0, "structure": "kidneys", "lesion": "cyst"}


@pytest.mark.parametrize(
    ("read", "fact"),
    [
        ({**CYST, "side": "left", "presence": "absent"}, "the presence (absent and present)"),
        ({**CYST, "side": "right"}, "the side (right and left)"),
        ({**CYST, "side": "left", "size_mm": 4}, "the size (4 mm and 12 mm)"),
        ({**CYST, "structure": "liver"}, "the structure (liver and left kidney)"),
    ],
)
def test_what_the_readers_read_differently_is_disputed_and_nothing_else_is(read: dict[str, Any], fact: str) -> None:
    """The right reading is given by hand; the scan would bear the rules' reading out, and still nothing is judged."""
    parsed = split_report(TWO)
    found = merge(parsed, find_findings(parsed), [ReadFinding(**read)], TABLE)
    cyst, stone = found.findings
    assert fact in cyst.disputed
    assert stone.disputed == ""
    assert [fact in note.reason for note in found.notes] == [True]
    seen = Evidence(tool="segment", structure="left kidney", verdict="present", side="left")
    lesion = Evidence(
        tool="segment_described", structure="left kidney", verdict="present", side="left", longest_3d_mm=12
    )
    assert judge_finding(cyst, [seen, lesion]).judgement == "cannot_tell"
    assert fact in judge_finding(cyst, [seen, lesion]).reasons[0]
    assert judge_finding(replace(cyst, disputed=""), [seen, lesion]).judgement == "supported"


def test_readers_that_agree_dispute_nothing() -> None:
    parsed = split_report(TWO)
    reading = [
        ReadFinding(sentence=0, structure="kidneys", lesion="cyst", side="left", size_mm=12),
        ReadFinding(sentence=0, structure="kidneys", lesion="stone", side="right"),
    ]
    found = merge(parsed, find_findings(parsed), reading, TABLE)
    assert [finding.disputed for finding in found.findings] == ["", ""]
    assert found.notes == ()


def test_sentences_that_do_not_exist_are_ignored() -> None:
    assert merged(sentence=99, structure="liver") == (RULED, [])


class Reader(Scripted):
    answer: ReadReport

    def with_structured_output(self, schema: Any, **_: Any) -> Runnable[Any, Any]:
        assert schema is ReadReport
        return RunnableLambda(lambda messages: self.answer)


def test_both_readers_findings_are_held_against_the_scan(desk: Desk) -> None:
    image = use(desk, "open_image", path="ct.nii.gz").result.model_dump()["image_id"]
    model = Reader(script=[], answer=ReadReport(findings=[ReadFinding(sentence=2, structure="spleen")]))
    result = check_with_llm(desk, image, TEXT, model=model).result
    assert isinstance(result, ReportResult)
    judged = {row.structure: row.judgement for row in result.findings}
    assert judged["liver"] == "supported"
    assert judged["spleen"] == "supported"
    with pytest.raises(BadCall, match="is no model"):
        check_with_llm(desk, image, TEXT, model="gpt")
