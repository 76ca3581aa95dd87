"""`ostensor eval agent`: tasks with known answers, scored on tools, arguments, outcome, evidence, calls and tokens.

Tasks are `eval_tasks.json`; each is asked in several wordings, and pass^k means that all of them passed.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
from pydantic import TypeAdapter

from ..imaging.errors import OstensorError
from ..imaging.samples import mni_template
from ..server.mcp.server import build_server
from ..tools.desk.desk import Desk
from ..tools.desk.settings import Settings
from .ask import Answered, ask
from .ledger import check
from .scenes import scene

TASKS = Path(__file__).with_name("eval_tasks.json")
_FREE = ("open_image", "get_job")  # may come in between without being counted as a choice
PARTS = ("tools", "arguments", "outcome", "evidence", "calls")


@dataclass(frozen=True)
class Task:
    """A question with what a right answer must look like.

    Attributes:
        asks: wordings of one question.
        tools: names in order; None when the choice is free.
        kind: "answer", "question", "refusal", "pending", or None when any will do.
        says, says_not: patterns that the answer must and must not hold, case aside.
        calls: most tool calls.
        setup: "cancelled job": the store holds one; its handle replaces {job}.
    """

    id: str
    category: str
    scene: str
    asks: tuple[str, ...]
    tools: tuple[str, ...] | None
    kind: str | None
    says: tuple[str, ...]
    says_not: tuple[str, ...]
    calls: int
    report: str = ""
    arguments: dict[str, dict[str, Any]] | None = None
    setup: str = ""


@dataclass(frozen=True)
class Run:
    """One wording of one task, scored.

    Attributes:
        wrong: parts that failed, of `PARTS`, or "error".
    """

    task: str
    category: str
    wording: int
    passed: bool
    wrong: tuple[str, ...]
    called: tuple[str, ...]
    tokens: int
    said: str


def load_tasks() -> tuple[Task, ...]:
    """Every task of the data file.

    Raises:
        ValueError: two tasks have one id.
    """
    tasks = TypeAdapter(tuple[Task, ...]).validate_json(TASKS.read_bytes())
    if len({task.id for task in tasks}) != len(tasks):
        raise ValueError("two tasks have one id")
    return tasks


def score(task: Task, answered: Answered) -> tuple[str, ...]:
    """The parts of a run that are wrong, of `PARTS`; empty when all is right."""
    free = set(_FREE) - set(task.tools or ())
    calls = [call for call in answered.calls if call["tool"] not in free]
    kind = "pending" if answered.pending else answered.reply.kind if answered.reply else "none"
    said = answered.text
    wrong = []
    if task.tools is not None and tuple(call["tool"] for call in calls) != task.tools:
        wrong.append("tools")
    if not _arguments_fit(task, calls):
        wrong.append("arguments")
    missing = [pattern for pattern in task.says if not re.search(pattern, said, re.IGNORECASE)]
    extra = [pattern for pattern in task.says_not if re.search(pattern, said, re.IGNORECASE)]
    if (task.kind is not None and kind != task.kind) or missing or extra:
        wrong.append("outcome")
    results = {call["call_id"]: {**call["result"], "answer": call["text"]} for call in answered.calls}
    if answered.removed or (answered.reply is not None and check(answered.reply, results)):
        wrong.append("evidence")
    if len(calls) > task.calls:
        wrong.append("calls")
    return tuple(wrong)


def _arguments_fit(task: Task, calls: Sequence[dict[str, Any]]) -> bool:
    for name, wanted in (task.arguments or {}).items():
        made = [call["arguments"] for call in calls if call["tool"] == name]
        if not any(all(arguments.get(key) == value for key, value in wanted.items()) for arguments in made):
            return False
    return True


def run_tasks(
    tasks: Sequence[Task],
    *,
    model: str = "offline",
    shared: Path | None = None,
    wordings: int = 3,
    tell: Callable[[Run], None] = lambda run: None,
) -> tuple[list[Run], list[str]]:
    """Every run, scored, and the ids of tasks whose scan is not here."""
    runs: list[Run] = []
    skipped: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        roots = (folder, mni_template().parent, *([shared] if shared is not None else []))
        with Desk(Settings(store=folder / "store", roots=roots, toolsets=("all",))) as desk:
            for task in sorted(tasks, key=lambda task: task.scene):  # a scan's features are computed once
                path = None if task.scene == "none" else scene(task.scene, folder, shared)
                if path is None and task.scene != "none":
                    skipped.append(task.id)
                    continue
                for number, words in enumerate(task.asks[:wordings]):
                    runs.append(_run(desk, task, number, words, path, model))
                    tell(runs[-1])
    return runs, skipped


def _run(desk: Desk, task: Task, number: int, words: str, path: Path | None, model: str) -> Run:
    images = [] if path is None else [_handle(desk, task, path)]
    question = words.replace("{job}", _cancelled_job(desk, images[0])) if task.setup else words

    async def go() -> Answered:
        return await ask(question, build_server(desk), images=images, report=task.report, model=model)

    try:
        answered = anyio.run(go)
    except OstensorError as error:
        return Run(task.id, task.category, number, False, ("error",), (), 0, str(error)[:300])
    wrong = score(task, answered)
    called = tuple(call["tool"] for call in answered.calls)
    return Run(task.id, task.category, number, not wrong, wrong, called, answered.tokens, answered.text[:300])


def _handle(desk: Desk, task: Task, path: Path) -> str:
    from ..tools.running import use

    modality = "mr" if task.scene.startswith("head") else "auto"
    return str(use(desk, "open_image", path=str(path), modality=modality).result.model_dump()["image_id"])


def _cancelled_job(desk: Desk, image_id: str) -> str:
    record = desk.store.create_job("segment", {"image_id": image_id, "structures": ["liver"]})
    return desk.jobs.cancel(record.job_id).job_id


@dataclass(frozen=True)
class Tally:
    """Scores of one category; shares in [0, 1].

    Attributes:
        pass_k: share of tasks of which every wording passed.
    """

    category: str
    tasks: int
    runs: int
    passed: float
    pass_k: float
    parts: dict[str, float]
    calls: float
    tokens: float


def tally(runs: Sequence[Run]) -> list[Tally]:
    """Scores by category, the whole last."""
    names = list(dict.fromkeys(run.category for run in runs))
    rows = [_tally(name, [run for run in runs if run.category == name]) for name in names]
    return [*rows, _tally("all", runs)] if runs else []


def _tally(name: str, runs: Sequence[Run]) -> Tally:
    groups = [list(group) for group in _by_task(runs)]
    return Tally(
        category=name,
        tasks=len(groups),
        runs=len(runs),
        passed=_share(run.passed for run in runs),
        pass_k=_share(all(run.passed for run in group) for group in groups),
        parts={part: _share(part not in run.wrong and "error" not in run.wrong for run in runs) for part in PARTS},
        calls=sum(len(run.called) for run in runs) / len(runs),
        tokens=sum(run.tokens for run in runs) / len(runs),
    )


def _by_task(runs: Sequence[Run]) -> Iterator[list[Run]]:
    for name in dict.fromkeys(run.task for run in runs):
        yield [run for run in runs if run.task == name]


def _share(found: Iterator[bool]) -> float:
    values = list(found)
    return round(sum(values) / len(values), 4)


def report_of(runs: Sequence[Run], skipped: Sequence[str], model: str) -> str:
    """Everything as JSON."""
    document = {"model": model, "scores": [asdict(row) for row in tally(runs)], "skipped": list(skipped)}
    return json.dumps({**document, "runs": [asdict(run) for run in runs]}, indent=1) + "\n"
