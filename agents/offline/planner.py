"""The next step of the offline model: tool calls, or the answer with its citations."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ..reply import Reply
from . import work
from .answering import replies
from .answering.answers import compared as said_compared
from .answering.answers import described as said_described
from .answering.answers import measured as said_measured
from .answering.answers import report as said_report
from .answering.answers import said_about_job, say
from .asking.intents import understand
from .asking.talk import ABILITIES, filled, ready
from .turn import Done, Step, Turn, Wanted, cite, tell

_LIKE = 0.55  # score of find_structures from which a word may have been meant
# Words of questions that name no structure.
_NO_NAMES = frozenset([
    "segment", "outline", "measure", "find", "show", "draw", "export", "save", "compare", "please", "where",
    "what", "which", "large", "volume", "size", "there", "their", "that", "this", "with", "from", "scan",
    "image", "picture", "mask", "masks", "does", "have", "many", "much", "could", "would", "tell", "about",
    "locate", "long", "wide",
])  # fmt: skip
_EXAMPLES = "Ask for example 'How large is the liver?' or 'Which kidney is larger?'."
_WHICH_SCAN = "Which scan do you mean? Name one with --image."


def next_step(
    question: str,
    images: tuple[str, ...],
    tools: tuple[str, ...],
    done: Sequence[Done],
    *,
    attached: frozenset[str],
    earlier: Sequence[str] = (),
) -> Step:
    """What to do after these calls."""
    turn = Turn(question, understand(question, earlier=earlier), images, tools, resolved(done), attached)
    waiting = unfinished(done)
    if waiting is not None:
        return [Wanted("get_job", {"job_id": waiting, "wait_s": work.WAIT_S})]
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


def _needs_image(turn: Turn) -> Reply | None:
    if turn.images or turn.task.handles:
        return None
    return say("question", _WHICH_SCAN)


def _work(turn: Turn) -> Step:
    """The ordinary question: look, measure, derive, draw, export, then answer."""
    asked = _needs_image(turn) or _asked_back(turn)
    if asked is not None:
        return asked
    failed = _failed(turn, "segment", "get_job")
    if failed is not None:
        return failed
    calls = work.next_calls(turn)
    if calls:
        return calls
    return _names_nothing(turn) or _refused(turn) or replies.answer(turn)


def _asked_back(turn: Turn) -> Reply | None:
    if not turn.task.unclear:
        return None
    left, right = turn.table.expand(turn.task.unclear)[:2]
    return say("question", f"Do you mean the {left}, the {right}, or both?")


def _names_nothing(turn: Turn) -> Step | None:
    """No known word in the question: ask the table, then ask back."""
    task = turn.task
    needs_none = ("spacing", "contrast", "render", "export", "list", "draft", "lesion")
    if task.structures or task.lesions or turn.found or task.handles or task.asks(*needs_none):
        return None
    if not task.wants:
        return _search(turn)
    if turn.last("find_structures") is None and not _has_names(turn):
        return say("question", f"What shall I look at? Name a structure. {_EXAMPLES}")
    return _search(turn)


def _has_names(turn: Turn) -> bool:
    """Whether a word is left that might be a structure."""
    return bool([word for word in _telling(turn) if word not in _NO_NAMES])


def _refused(turn: Turn) -> Reply | None:
    """A measurement of named masks that was refused."""
    if turn.masks_named and not turn.found:
        measured = turn.last("measure")
        if measured is not None and not measured.is_error:
            return said_measured([], measured)
        return _failed(turn, "measure", "derive", "render", "export")
    return None


def _search(turn: Turn) -> Step:
    found = turn.last("find_structures")
    if found is None and "find_structures" in turn.tools:
        return [Wanted("find_structures", {"query": " ".join(_telling(turn))[:200] or turn.question[:200]})]
    rows = found.result.get("structures", []) if found is not None else []
    near = [row["structure"] for row in rows if row.get("score", 0) >= _LIKE][:4]
    nearest = [] if found is None else [str(name) for name in found.result.get("nearest", [])]
    if "ventricle" in turn.task.text and not near:
        near = nearest
    if not near:
        return say("refusal", f"I do not know what to look for in that. {ABILITIES} {_EXAMPLES}")
    return say("question", f"Which structure do you mean: {', '.join(near)}?")


def _telling(turn: Turn) -> list[str]:
    """The question's longer words, for the search."""
    words = [word.strip("?.,!'\"") for word in turn.task.text.split()]
    return [word for word in words if len(word) > 3 and word.lower() not in _NO_NAMES]


def _failed(turn: Turn, *tools: str) -> Reply | None:
    for call in turn.done:
        if call.tool in tools and call.is_error:
            return say("refusal", call.text, call)
        if call.tool == "get_job" and call.result.get("state") in ("failed", "cancelled", "lost"):
            return said_about_job(call)
    return None


def _compare_masks(turn: Turn) -> Step:
    a, b = turn.masks_named
    done = turn.last("compare_masks")
    if done is None:
        return [Wanted("compare_masks", {"mask_a": a, "mask_b": b})]
    return _failed(turn, "compare_masks") or said_compared(done)


def _talk(turn: Turn) -> Step:
    said = turn.task.said
    assert said is not None
    listed = turn.last("list_models")
    if said.kind == "models" and listed is None and "list_models" in turn.tools:
        return [Wanted("list_models", {})]
    text = filled(said, turn.models, turn.images)
    kind = "answer" if said.kind == "models" else said.kind
    reply = say(kind, text)
    return reply.model_copy(update={"statements": [tell(text, *cite(listed))]})


def _describe(turn: Turn) -> Step:
    asked = _needs_image(turn)
    if asked is not None:
        return asked
    if "segment_described" not in turn.tools:
        what = " and ".join(turn.task.lesions) or "what you describe"
        return say("refusal", f"No model here is able to see {what}. {ABILITIES}")
    done = turn.last("segment_described")
    if done is None:
        return [Wanted("segment_described", {"image_id": turn.images[0], "description": turn.task.description})]
    reply = _failed(turn, "segment_described") or said_described(done)
    if reply.kind == "refusal" and not turn.task.lesions:
        ask = tell("Which structure is meant? Please name it.", *cite(done))
        return Reply(kind="question", statements=[ask, *reply.statements])
    return reply


def _report(turn: Turn) -> Step:
    asked = _needs_image(turn)
    if asked is not None:
        return asked
    if "report" not in turn.attached and not turn.task.quoted:
        if turn.task.structures and turn.task.asks("compare", "ejection"):
            return _work(turn)
        return say("question", "Which report? Give its text with --report.")
    if "check_report" not in turn.tools:
        return say("refusal", "This server does not offer check_report.")
    done = turn.last("check_report")
    if done is None:
        text = "@report" if "report" in turn.attached else turn.task.quoted
        arguments: dict[str, Any] = {"image_id": turn.images[0], "report": text, "wait_s": work.WAIT_S}
        if turn.task.allow_synthetic:
            arguments["allow_synthetic"] = True
        return [Wanted("check_report", arguments)]
    if "report" in turn.attached or done.is_error:
        return _failed(turn, "check_report") or said_report(done)
    return _with_quoted(turn, said_report(done))


def _with_quoted(turn: Turn, judged: Reply) -> Step:
    """Numbers of the structures that a quoted report names, then what the check says."""
    calls = work.next_calls(turn)
    if calls:
        return calls
    seen = replies.answer(turn).statements if turn.task.wants else []
    return Reply(kind="answer", statements=[*seen, *judged.statements])


def _list(turn: Turn) -> Step:
    done = turn.last("list_models")
    if done is None:
        named = {"structure": turn.task.structures[0]} if turn.task.structures else {}
        return [Wanted("list_models", named)]
    if done.is_error:
        return say("refusal", done.text, done)
    if turn.task.structures:
        return _can(turn, done)
    kinds = [kind for kind in ("ct", "mr", "pet") if re.search(rf"\b{kind}i?\b", turn.task.text)]
    rows = [row for row in turn.models if not kinds or set(kinds) & set(row["modalities"])]
    names = sorted({name for row in rows for name in row["structures"]})
    text = f"Ready models: {', '.join(row['model'] for row in rows) or 'none'}."
    return say("answer", f"{text} Structures they segment: {', '.join(names)}." if names else text, done)


def _can(turn: Turn, done: Done) -> Reply:
    """Whether a structure can be segmented: yes with which models, or no and how to add one."""
    name = turn.task.structures[0]
    able = [row["model"] for row in ready(turn.models) if name in row["structures"]]
    if able:
        return say("answer", f"Yes, the {name} can be segmented, by {', '.join(able)}.", done)
    text = f"No, no model here segments the {name}. {done.text} 'ostensor models import' adds weights of your own."
    return say("answer", text, done)


def _find(turn: Turn) -> Step:
    done = turn.last("find_structures")
    if done is None:
        return [Wanted("find_structures", {"query": " ".join(_telling(turn))[:200] or turn.question[:200]})]
    return _failed(turn, "find_structures") or say("answer", done.text, done)


def _prognosis(turn: Turn) -> Step:
    if "ehr" not in turn.attached:
        return say("question", _NO_OUTLOOK)
    if "predict_prognosis" not in turn.tools:
        return say("refusal", f"This server does not offer a prognosis. {ABILITIES}")
    tumours = [handle for handle in turn.task.handles if handle.startswith("msk_")]
    wanted = [*turn.task.lesions, *turn.task.structures] if turn.images and not tumours else []
    segmented = turn.last("segment")
    if wanted and segmented is None:
        return [Wanted("segment", {"image_id": turn.images[0], "structures": wanted, "wait_s": work.WAIT_S})]
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


def _job(turn: Turn) -> Step:
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


def _unknown(turn: Turn) -> Step:
    if turn.last("find_structures") is None and "find_structures" not in turn.tools:
        return say("refusal", f"I cannot do that. {ABILITIES}")
    return _search(turn)


_NO_OUTLOOK = (
    "I cannot predict anyone's outlook from a scan, nor whether a disease comes or spreads: please talk with the treating doctors. "
    "For a research-only estimate for a group of patients, which patient is it? Give the health record with --ehr (JSON, a CSV "
    "row or a FHIR bundle)."
)
_PLANS: dict[str, Callable[[Turn], Step]] = {
    "talk": _talk, "report": _report, "prognosis": _prognosis, "job": _job, "cancel": _job, "compare_masks": _compare_masks,
    "describe": _describe, "list": _list, "find": _find, "work": _work, "unknown": _unknown,
}  # fmt: skip
