"""The next step of the offline model: tool calls, or the answer with its citations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...retrieval.anatomy.structures import StructureTable
from ..reply import Reply
from .answers import Done, said_about_job, said_of_masks, say
from .answers import compared as said_compared
from .answers import described as said_described
from .answers import measured as said_measured
from .answers import report as said_report
from .intents import Task, understand

_WAIT_S = 120.0  # no client of ours gives up before
_LIKE = 0.6  # score of find_structures from which a word may have been meant
# Words of questions that name no structure.
_NO_NAMES = frozenset([
    "segment", "outline", "measure", "find", "show", "draw", "export", "save", "compare", "please", "where",
    "what", "which", "large", "volume", "size", "there", "their", "that", "this", "with", "from", "scan",
    "image", "picture", "mask", "masks", "does", "have", "many", "much", "could", "would", "tell", "about",
    "locate", "long", "wide",
])  # fmt: skip
_ABILITIES = (
    "I can segment structures by name, measure and compare them, find what words describe, draw slices, check a report, "
    "list models and structures, and export masks."
)


@dataclass(frozen=True)
class Wanted:
    """A tool call to make."""

    tool: str
    arguments: dict[str, Any]


Step = list[Wanted] | Reply


@dataclass(frozen=True)
class _Turn:
    """Everything a step may look at."""

    question: str
    task: Task
    images: tuple[str, ...]
    tools: tuple[str, ...]
    done: Sequence[Done]
    attached: frozenset[str]
    table: StructureTable = field(default_factory=StructureTable.bundled)

    def last(self, tool: str) -> Done | None:
        """The latest answer of a tool."""
        return next((call for call in reversed(self.done) if call.tool == tool), None)

    def all(self, tool: str) -> list[Done]:
        """Every answer of a tool, jobs replaced by their result."""
        return [call for call in self.done if call.tool == tool]


def next_step(
    question: str, images: tuple[str, ...], tools: tuple[str, ...], done: Sequence[Done], *, attached: frozenset[str]
) -> Step:
    """What to do after these calls."""
    turn = _Turn(question, understand(question), images, tools, resolved(done), attached)
    waiting = unfinished(done)
    if waiting is not None:
        return [Wanted("get_job", {"job_id": waiting, "wait_s": _WAIT_S})]
    return _PLANS[turn.task.kind](turn)


def unfinished(done: Sequence[Done]) -> str | None:
    """The job the last call left running, if it did."""
    if not done or done[-1].is_error or done[-1].tool == "cancel_job":
        return None
    last = done[-1]
    job = last.result.get("job_id")
    asked_once = last.tool == "get_job" and last.result.get("state") not in ("queued", "running")
    return None if not job or asked_once or last.result.get("state") == "done" else str(job)


def resolved(done: Sequence[Done]) -> list[Done]:
    """Calls with the results of their jobs put in: a finished `get_job` counts as the tool that began it."""
    tidy: list[Done] = []
    for call in done:
        if call.tool == "get_job" and call.result.get("state") == "done" and call.result.get("result"):
            tidy.append(
                Done(call.call_id, str(call.result["tool"]), call.arguments, False, call.text, call.result["result"])
            )
        elif not (call.tool in ("segment", "segment_described", "check_report") and call.result.get("job_id")):
            tidy.append(call)
    return tidy


def _needs_image(turn: _Turn) -> Reply | None:
    if turn.images or turn.task.handles:
        return None
    return say("question", "Which scan do you mean? Name one with --image.")


def _segment_calls(turn: _Turn) -> Step | None:
    """Segmentation of what was asked on every image, or None once it is there."""
    asked = _needs_image(turn)
    if asked is not None:
        return asked
    if turn.task.unclear:
        left, right = turn.table.expand(turn.task.unclear)[:2]
        return say("question", f"Do you mean the {left}, the {right}, or both?")
    if not turn.task.structures:
        return _search(turn)
    had = {call.arguments.get("image_id", call.result.get("image_id")) for call in turn.all("segment")}
    had |= {call.result.get("image_id") for call in turn.all("segment")}
    left_over = [image for image in dict.fromkeys(turn.images) if image not in had]
    if left_over:
        return [
            Wanted("segment", {"image_id": image, "structures": list(turn.task.structures), "wait_s": _WAIT_S})
            for image in left_over
        ]
    return None


def _search(turn: _Turn) -> Step:
    """No known word in the question: ask the table, then ask back."""
    found = turn.last("find_structures")
    if found is None and "find_structures" in turn.tools:
        return [Wanted("find_structures", {"query": understandable(turn)})]
    rows = found.result.get("structures", []) if found is not None else []
    near = [row["structure"] for row in rows if row.get("score", 0) >= _LIKE][:4]
    if not near:
        return say("refusal", f"I do not know what to look for in that. {_ABILITIES}")
    return say("question", f"Which structure do you mean: {', '.join(near)}?")


def understandable(turn: _Turn) -> str:
    """The question's longer words, for the search."""
    words = [word.strip("?.,!'\"") for word in turn.question.split()]
    telling = [word for word in words if len(word) > 3 and word.lower() not in _NO_NAMES]
    return " ".join(telling)[:200] or turn.question[:200]


def _failed(turn: _Turn, *tools: str) -> Reply | None:
    for call in turn.done:
        if call.tool in tools and call.is_error:
            return say("refusal", call.text, call)
        if call.tool == "get_job" and call.result.get("state") in ("failed", "cancelled", "lost"):
            return said_about_job(call)
    return None


def _segment(turn: _Turn) -> Step:
    return _segment_calls(turn) or _failed(turn, "segment", "get_job") or said_of_masks(turn.all("segment"))


def _measure(turn: _Turn) -> Step:
    masks = [handle for handle in turn.task.handles if handle.startswith("msk_")]
    if not masks:
        step = _segment_calls(turn) or _failed(turn, "segment", "get_job")
        if step is not None:
            return step
        masks = found_masks(turn.all("segment"))
    if not masks:
        return said_of_masks(turn.all("segment"))
    if turn.last("measure") is None:
        arguments: dict[str, Any] = {"mask_ids": masks}
        if turn.task.allow_synthetic:
            arguments["allow_synthetic"] = True
        return [Wanted("measure", arguments)]
    measured = turn.last("measure")
    assert measured is not None
    if measured.is_error and turn.all("segment"):
        seen = said_of_masks(turn.all("segment"))
        return Reply(kind="refusal", statements=[*seen.statements, *say("refusal", measured.text, measured).statements])
    return _failed(turn, "measure") or said_measured(turn.all("segment"), measured)


def found_masks(segmented: Sequence[Done]) -> list[str]:
    """Masks worth measuring, at most 40."""
    rows = [row for call in segmented for row in call.result.get("masks", [])]
    return [row["mask_id"] for row in rows if row.get("mask_id")][:40]


def _compare(turn: _Turn) -> Step:
    masks = [handle for handle in turn.task.handles if handle.startswith("msk_")]
    if len(masks) == 2:
        if turn.last("compare_masks") is None:
            return [Wanted("compare_masks", {"mask_a": masks[0], "mask_b": masks[1]})]
        done = turn.last("compare_masks")
        assert done is not None
        return _failed(turn, "compare_masks") or said_compared(done)
    return _measure(turn)


def _render(turn: _Turn) -> Step:
    masks = [handle for handle in turn.task.handles if handle.startswith("msk_")]
    step = None
    if not masks and (turn.task.structures or turn.task.unclear):
        step = _segment_calls(turn) or _failed(turn, "segment", "get_job")
    if step is not None:
        return step
    asked = _needs_image(turn)
    if asked is not None:
        return asked
    if turn.last("render") is None:
        shown = masks or found_masks(turn.all("segment"))
        image = _image_of(turn)
        return [Wanted("render", {"image_id": image, "mask_ids": shown[:20], "view": turn.task.view or "montage"})]
    drawn = turn.last("render")
    assert drawn is not None
    seen = said_of_masks(turn.all("segment")).statements if turn.all("segment") else []
    reply = _failed(turn, "render") or say("answer", "The picture is drawn.", drawn)
    return Reply(kind=reply.kind, statements=[*seen, *reply.statements])


def _image_of(turn: _Turn) -> str:
    named = [handle for handle in turn.task.handles if handle.startswith("img_")]
    return (*named, *turn.images)[0]


def _export(turn: _Turn) -> Step:
    masks = [handle for handle in turn.task.handles if handle.startswith("msk_")]
    if not masks:
        step = _segment_calls(turn) or _failed(turn, "segment", "get_job")
        if step is not None:
            return step
        masks = found_masks(turn.all("segment"))
    if not masks:
        return said_of_masks(turn.all("segment"))
    done = turn.last("export")
    if done is None:
        return [Wanted("export", {"mask_ids": masks, "folder": "."})]
    if done.is_error:
        return say("refusal", f"Nothing was exported. {done.text}", done)
    names = ", ".join(str(row["path"]) for row in done.result.get("files", []))
    return say("answer", "The masks were exported and read back; the files are in the first root folder.", done, names)


def _describe(turn: _Turn) -> Step:
    asked = _needs_image(turn)
    if asked is not None:
        return asked
    if "segment_described" not in turn.tools:
        what = " and ".join(turn.task.lesions) or "what you describe"
        return say("refusal", f"No model here is able to see {what}. {_ABILITIES}")
    done = turn.last("segment_described")
    if done is None:
        return [Wanted("segment_described", {"image_id": turn.images[0], "description": turn.task.description})]
    return _failed(turn, "segment_described") or said_described(done)


def _report(turn: _Turn) -> Step:
    asked = _needs_image(turn)
    if asked is not None:
        return asked
    if "report" not in turn.attached:
        return say("question", "Which report? Give its text with --report.")
    if "check_report" not in turn.tools:
        return say("refusal", "This server does not offer check_report.")
    done = turn.last("check_report")
    if done is None:
        arguments: dict[str, Any] = {"image_id": turn.images[0], "report": "@report", "wait_s": _WAIT_S}
        if turn.task.allow_synthetic:
            arguments["allow_synthetic"] = True
        return [Wanted("check_report", arguments)]
    return _failed(turn, "check_report") or said_report(done)


def _list(turn: _Turn) -> Step:
    done = turn.last("list_models")
    if done is None:
        named = {"structure": turn.task.structures[0]} if turn.task.structures else {}
        return [Wanted("list_models", named)]
    if done.is_error:
        return say("refusal", done.text, done)
    ready = [row for row in done.result.get("models", []) if row["weights"] == "bundled" or row["structures"]]
    names = sorted({name for row in ready for name in row["structures"]})
    text = f"Ready models: {', '.join(row['model'] for row in ready) or 'none'}."
    return say("answer", f"{text} Structures they segment: {', '.join(names)}." if names else text, done)


def _find(turn: _Turn) -> Step:
    done = turn.last("find_structures")
    if done is None:
        return [Wanted("find_structures", {"query": understandable(turn)})]
    return _failed(turn, "find_structures") or say("answer", done.text, done)


def _prognosis(turn: _Turn) -> Step:
    if "predict_prognosis" not in turn.tools:
        return say("refusal", f"This server does not offer a prognosis. {_ABILITIES}")
    if "ehr" not in turn.attached:
        return say("question", "Which patient? Give the health record with --ehr (JSON, a CSV row or a FHIR bundle).")
    tumours = [handle for handle in turn.task.handles if handle.startswith("msk_")]
    wanted = [*turn.task.lesions, *turn.task.structures] if turn.images and not tumours else []
    segmented = turn.last("segment")
    if wanted and segmented is None:
        return [Wanted("segment", {"image_id": turn.images[0], "structures": wanted, "wait_s": _WAIT_S})]
    if segmented is not None and not segmented.is_error:
        tumours += [row["mask_id"] for row in segmented.result.get("masks", []) if row["mask_id"]]
    measured = turn.last("measure")
    if tumours and measured is None:
        return [Wanted("measure", {"mask_ids": tumours, "what": ["volume", "diameters"]})]
    done = turn.last("predict_prognosis")
    if done is None:
        seen = {"image_id": turn.images[0], "mask_ids": tumours} if turn.images and tumours else {}
        return [Wanted("predict_prognosis", {"ehr": "@ehr", **seen})]
    if done.is_error or done.result.get("refused"):
        return say("refusal", done.text, done)
    sizes = said_measured([segmented] if segmented else [], measured).statements if measured else []
    outlook = say("answer", done.text, done)
    return outlook.model_copy(update={"statements": [*sizes, *outlook.statements]})


def _job(turn: _Turn) -> Step:
    tool = "cancel_job" if turn.task.kind == "cancel" else "get_job"
    jobs = [handle for handle in turn.task.handles if handle.startswith("job_")]
    if not jobs:
        return say("question", "Which job? Name its job_ handle.")
    done = turn.last(tool) or (turn.done[-1] if turn.done else None)
    if done is None:
        arguments: dict[str, Any] = {"job_id": jobs[0]}
        return [Wanted(tool, arguments)]
    if done.is_error:
        return say("refusal", done.text, done)
    return said_about_job(done)


def _unknown(turn: _Turn) -> Step:
    del turn
    return say("refusal", f"I cannot do that. {_ABILITIES}")


_PLANS: dict[str, Callable[[_Turn], Step]] = {
    "report": _report, "prognosis": _prognosis, "job": _job, "cancel": _job, "export": _export, "compare": _compare,
    "render": _render, "measure": _measure, "describe": _describe, "list": _list, "find": _find, "segment": _segment,
    "unknown": _unknown,
}  # fmt: skip
