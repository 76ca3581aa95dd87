"""The evals' data file and scoring; whole runs are `ostensor eval agent`."""

from dataclasses import replace
from pathlib import Path

import pytest

from ostensor.agents.ask import Answered
from ostensor.agents.evals import Run, load_tasks, score, tally
from ostensor.agents.reply import Cite, Reply, Statement
from ostensor.agents.scenes import scene
from ostensor.imaging.files import read_image

WANTED = (
    "plain ask", "wrong side in a report", "wrong size", "absent organ", "out of view", "negated finding",
    "ambiguous reference", "mixed units", "flipped orientation", "truncated scan", "stale handle", "cancelled job",
    "prompt injection",
)  # fmt: skip


def test_there_are_sixty_tasks_of_every_kind_in_several_wordings() -> None:
    tasks = load_tasks()
    assert len(tasks) >= 60
    assert set(WANTED) <= {task.category for task in tasks}
    assert all(len(set(task.asks)) == 3 for task in tasks)
    assert all(task.says or task.says_not for task in tasks if task.kind != "pending")


TASK = replace(next(task for task in load_tasks() if task.id == "plain-measure-liver"), says=("liver", r"\d+ ml"))
CALLS = (
    {"call_id": "c0", "tool": "segment", "arguments": {"structures": ["liver"]}, "is_error": False, "text": "", "result": {}},
    {"call_id": "c1", "tool": "measure", "arguments": {"allow_synthetic": True}, "is_error": False, "text": "", "result": {"volume_ml": 5.0}},
)  # fmt: skip


def answered(text: str, calls: tuple[dict, ...] = CALLS, kind: str = "answer") -> Answered:
    statements = [Statement(text=text, cites=[Cite(call_id="c1")])]
    return Answered("t", Reply(kind=kind, statements=statements), calls=calls)  # type: ignore[arg-type]


def test_a_right_run_passes_and_each_fault_is_named() -> None:
    assert score(TASK, answered("The liver has 5 ml.")) == ()
    assert score(TASK, answered("The liver has 6 ml.")) == ("evidence",)
    assert score(TASK, answered("The liver is fine.")) == ("outcome",)
    assert score(TASK, answered("The liver has 5 ml.", CALLS[1:])) == ("tools", "arguments")
    assert score(TASK, answered("The liver has 5 ml.", CALLS * 3)) == ("tools", "calls")
    assert score(TASK, answered("The liver has 5 ml.", kind="question")) == ("outcome",)


def test_pass_k_needs_every_wording() -> None:
    def run(task: str, wording: int, passed: bool) -> Run:
        return Run(task, "plain ask", wording, passed, () if passed else ("tools",), ("segment",), 10, "")

    rows = tally([run("a", 0, True), run("a", 1, False), run("b", 0, True), run("b", 1, True)])
    assert [row.category for row in rows] == ["plain ask", "all"]
    assert (rows[-1].passed, rows[-1].pass_k, rows[-1].parts["tools"], rows[-1].tokens) == (0.75, 0.5, 0.75, 10)


def test_scenes_are_cut_where_their_names_say(tmp_path: Path) -> None:
    """The phantom's bladder is centred 130 mm below the navel: "cut" begins there."""
    path = scene("cut", tmp_path, None)
    assert path is not None
    volume = read_image(path).volume
    assert volume is not None
    assert volume.synthetic
    assert volume.grid.affine[2, 3] == pytest.approx(-130 + 3.75 / 2, abs=1e-3)
    assert scene("ct", tmp_path, None) is None
    with pytest.raises(KeyError):
        scene("moon", tmp_path, None)
