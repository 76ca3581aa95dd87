"""The score of the agent on a file of questions: `python -m ostensor.benchmarks.questions.run QUESTIONS [--failed] [id ...]`.

Scans are made bodies and networks know every structure in them, so the score is of planning and answering; what seeing
costs is `ostensor eval agent`. An export that waits for a person is approved, and its files are looked at.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from ...agents.ask import Answered, ask, resume
from ...imaging.errors import OstensorError
from ...server.mcp.server import build_server
from ...tools.desk.desk import Desk
from ...tools.desk.settings import Settings
from ...tools.running import use
from ..machine import commit
from .bodies import files_of
from .judge import Question, faults, load
from .networks import FACTORY, knowing_catalogue

Model = Callable[[Question], object]


@dataclass(frozen=True)
class Judged:
    """A question, what was answered, and what is wrong with it."""

    question: Question
    said: str
    called: tuple[str, ...]
    faults: tuple[str, ...]


@contextmanager
def knowing_desk(folder: Path) -> Iterator[Desk]:
    """A desk whose networks know every structure of the made bodies."""
    scans = folder / "scans"
    scans.mkdir(exist_ok=True)
    settings = Settings(store=folder / "store", roots=(scans,), toolsets=("all",), factory=FACTORY, threads=1)
    with knowing_catalogue(), Desk(settings) as desk:
        yield desk


def put(desk: Desk, question: Question, questions: dict[str, Question], model: object = "offline") -> Answered:
    """Ask a question of its scan, after those it follows, and approve what waits."""
    folder = desk.settings.roots[0]
    images = [_opened(desk, path, modality) for path, modality in files_of(question.scan, folder)]
    earlier = [one.question for one in _before(question, questions)]

    async def go() -> Answered:
        kept = desk.store.folder / "agent"
        server = build_server(desk)
        answered = await ask(question.question, server, images=images, earlier=earlier, model=model, folder=kept)  # type: ignore[arg-type]
        if answered.pending:
            again = model if not isinstance(model, str) else None
            answered = await resume(answered.thread_id, "approve", server, folder=kept, model=again)  # type: ignore[arg-type]
        return answered

    return anyio.run(go)


def _before(question: Question, questions: dict[str, Question]) -> list[Question]:
    """What was asked before, the first first."""
    if question.follows is None:
        return []
    return [*_before(questions[question.follows], questions), questions[question.follows]]


def _opened(desk: Desk, path: Path, modality: str) -> str:
    return str(use(desk, "open_image", path=path.name, modality=modality).result.model_dump()["image_id"])


def judged(desk: Desk, question: Question, questions: dict[str, Question], model: object = "offline") -> Judged:
    """A question asked and judged; an error of ours is a fault."""
    try:
        answered = put(desk, question, questions, model)
    except OstensorError as error:
        return Judged(question, str(error), (), ("raised",))
    called = tuple(f"{call['tool']}{'!' if call['is_error'] else ''}" for call in answered.calls)
    return Judged(question, answered.text, called, faults(question, answered, desk.settings.roots))


def table_of(rows: Sequence[Judged]) -> list[str]:
    """Passed of asked by kind, the whole last."""
    asked = Counter(row.question.kind for row in rows)
    passed = Counter(row.question.kind for row in rows if not row.faults)
    lines = [f"{kind:24s} {passed[kind]:3d} of {count:3d}" for kind, count in asked.items()]
    share = sum(passed.values()) / max(1, len(rows))
    return [*lines, f"{'all':24s} {sum(passed.values()):3d} of {len(rows):3d} ({share:.0%})"]


def main(arguments: Sequence[str]) -> None:
    """Print the score by kind, and every failed question with its faults."""
    words = [word for word in arguments if not word.startswith("--")]
    questions = load(Path(words[0]))
    wanted = [questions[name] for name in words[1:]] or list(questions.values())
    with tempfile.TemporaryDirectory() as name, knowing_desk(Path(name)) as desk:
        rows = [judged(desk, one, questions) for one in wanted]
    for row in rows:
        if row.faults or "--all" in arguments:
            print(f"{row.question.id} [{row.question.scan}] {row.question.question}")
            print(f"    {', '.join(row.called)}\n    {row.said}")
            for fault in row.faults:
                print(f"    ! {fault}")
    print("\n".join([f"Commit {commit()}, {len(rows)} questions", *table_of(rows)]))


if __name__ == "__main__":
    main(sys.argv[1:])
