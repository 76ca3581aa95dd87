"""The committed questions, asked of the offline model and of a scripted one; `README.md` says how they were written.

Bodies are made and networks know them, so these test planning and answering. What a right answer is comes from
`questions.jsonl`, which was written apart from the planner.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage

from ostensor.agents.ask import Answered
from ostensor.agents.reply import Cite, Reply, Statement
from ostensor.benchmarks.questions.judge import Question, faults, load
from ostensor.benchmarks.questions.run import Judged, knowing_desk, put, table_of
from ostensor.imaging.errors import OstensorError
from ostensor.tools.desk.desk import Desk

from ..scripted import Scripted, replies

QUESTIONS = load(Path(__file__).with_name("questions.jsonl"))
LEAST = 0.9


@pytest.fixture(autouse=True)
def toys() -> None:
    """Networks that know the made bodies here, not the toys."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with knowing_desk(tmp_path_factory.mktemp("questions")) as desk:
        yield desk


@pytest.fixture(scope="module")
def answers(asked: Desk) -> dict[str, Answered | OstensorError]:
    """What the offline model answers, or the error it ends with."""
    found: dict[str, Answered | OstensorError] = {}
    for name, question in QUESTIONS.items():
        try:
            found[name] = put(asked, question, QUESTIONS)
        except OstensorError as error:
            found[name] = error
    return found


def judged(asked: Desk, question: Question, answered: Answered | OstensorError) -> Judged:
    if isinstance(answered, OstensorError):
        return Judged(question, str(answered), (), ("raised",))
    return Judged(question, answered.text, (), faults(question, answered, asked.settings.roots))


def test_nine_of_ten_questions_are_answered_or_rightly_declined(
    asked: Desk, answers: dict[str, Answered | OstensorError]
) -> None:
    rows = [judged(asked, question, answers[name]) for name, question in QUESTIONS.items()]
    failed = [f"{row.question.id} {row.question.question}: {row.faults}" for row in rows if row.faults]
    assert len(failed) <= (1 - LEAST) * len(rows), "\n".join([*failed, *table_of(rows)])
    lesions = [row for row in rows if row.question.kind == "lesion"]
    assert [row.said for row in lesions if not row.question.answerable and " absent" in row.said] == []


def test_a_chat_model_that_plans_so_passes_too(asked: Desk, answers: dict[str, Answered | OstensorError]) -> None:
    """The path of `--model`, every question: the same calls and words from a scripted model go through its tools, limits
    and ledger, and the judge says of them what it said before."""
    wrong = []
    for question in QUESTIONS.values():
        first = answers[question.id]
        if isinstance(first, OstensorError) or first.reply is None:
            wrong.append(f"{question.id}: no reply to say again")
            continue
        script: list[AIMessage] = [
            AIMessage(
                content="",
                tool_calls=[{"name": c["tool"], "args": c["arguments"], "id": c["call_id"], "type": "tool_call"}],
            )
            for c in first.calls
        ]
        said = [(one.text, [(cite.call_id, cite.handle) for cite in one.cites]) for one in first.reply.statements]
        again = put(asked, question, QUESTIONS, Scripted(script=[*script, replies(*said, kind=first.reply.kind)]))
        if again.text != first.text:
            wrong.append(f"{question.id}: {again.text[:200]!r} instead of {first.text[:200]!r}")
        elif faults(question, again, asked.settings.roots) != faults(question, first, asked.settings.roots):
            wrong.append(f"{question.id}: {faults(question, again, asked.settings.roots)}")
    assert wrong == []


ASKED = Question("x", "volume", "any", "How large is the liver?", None,
                 {"structures": ["liver"], "what": ["volume"], "compare": False, "format": None}, True, "Its volume in ml.")  # fmt: skip
SEEN = {
    "call_id": "c0",
    "tool": "segment",
    "arguments": {"structures": ["liver"]},
    "is_error": False,
    "text": "",
    "result": {},
}


def answered(*texts: str, calls: tuple[dict, ...] = (SEEN,), kind: str = "answer", **facts: object) -> Answered:
    statements = [Statement(text=text, cites=[Cite(call_id="c0")]) for text in texts]
    return Answered("t", Reply(kind=kind, statements=statements), calls=calls, **facts)  # type: ignore[arg-type]


def test_the_judge_names_each_fault() -> None:
    """Each right answer with one thing broken by hand."""
    right = "The liver measures 5 ml."
    assert faults(ASKED, answered(right), ()) == ()
    assert faults(ASKED, answered("It is fine."), ())[-1] == "gives no volume"
    assert faults(ASKED, answered("It is fine.", right), ()) == ("does not open with the answer: It is fine.",)
    assert faults(ASKED, answered(right, calls=()), ()) == ("did not look for liver",)
    assert faults(ASKED, answered(right, removed=("x",)), ()) == ("a claim was not borne out",)
    assert "refused" in faults(ASKED, answered("No.", kind="refusal"), ())


def test_the_judge_wants_the_file_asked_for(tmp_path: Path) -> None:
    wants = {**ASKED.wants, "what": ["export"], "format": "dicom_seg"}
    question = Question("x", "export", "any", "Export", None, wants, True, "One file.")
    rows = [{"format": "nifti", "path": "a.nii.gz"}]
    wrote = {**SEEN, "tool": "export", "result": {"files": rows}}
    (tmp_path / "a.nii.gz").write_bytes(b"x")
    found = faults(question, answered("Written: a.nii.gz.", calls=(SEEN, wrote)), (tmp_path,))
    assert found == ("the files are ['nifti'], not dicom_seg",)


def test_the_judge_wants_a_decline_and_no_claim_of_absence() -> None:
    question = Question("x", "lesion", "any", "Stones?", None, {**ASKED.wants, "what": ["lesion"]}, False, "Cannot tell.",
                        says_not=(r"is absent",))  # fmt: skip
    assert faults(question, answered("I cannot say: no model looks for stones."), ()) == ()
    assert faults(question, answered("A stone is absent."), ()) == ("says is absent", "declines nothing")


def test_every_question_is_well_formed() -> None:
    lines = Path(__file__).with_name("questions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len({json.loads(line)["id"] for line in lines}) == len(lines) >= 170
    assert all(one.follows is None or one.follows in QUESTIONS for one in QUESTIONS.values())
