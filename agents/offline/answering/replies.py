"""The answer to an ordinary question: for each want the verdict or number first, then what it rests on."""

from __future__ import annotations

from ...reply import Reply, Statement
from ..asking.wants import Want
from ..turn import Turn, cite, tell
from ..work import (
    is_lesion_only,
    masks_of,
    needs_numbers,
    seen_lesions,
)
from .answers import said_of_masks
from .caveats import caveats
from .comparing import compared, in_range
from .made import contrast, files, notes, pictures, spacing
from .numbers import parts_wanted, said_numbers
from .seen import (
    counted,
    listed,
    missing,
    offered,
    rows_of,
    said_edge,
    said_lesion,
    said_side,
    said_sureness,
    said_tube,
    said_verdict,
)

_MOST = 12


def answer(turn: Turn) -> Reply:
    """Everything that was asked, in its order."""
    said: list[Statement] = []
    for want in turn.task.wants:
        said += _of(turn, want)
    said += missing(turn)
    made = pictures(turn) + files(turn)
    if (
        all(set(want.aspects) <= {"export", "render", "segment", "where", "phases", "list"} for want in turn.task.wants)
        and made
    ):
        said = made + said  # the file or picture is the answer; the verdicts are its evidence
    else:
        said += made
    said = contrast(turn) + said + spacing(turn) + notes(turn)
    unique = list({one.text: one for one in said}.values())
    if not unique:
        return said_of_masks(turn.all("segment"))
    return Reply(kind="refusal" if _declines_all(turn) else "answer", statements=unique)


def _declines_all(turn: Turn) -> bool:
    return not turn.found and all(is_lesion_only(want) for want in turn.task.wants)


def _of(turn: Turn, want: Want) -> list[Statement]:
    asks, said = set(want.aspects), list[Statement]()
    lesion = (want.lesions or "lesion" in asks) and not seen_lesions(turn, want)
    if lesion and (is_lesion_only(want) or not masks_of(turn, want)):
        return [said_lesion(turn, want), *([offered(turn, want)] if want.structures else [])]
    if asks & {"list", "draft"}:
        said += listed(turn, want)
    if "thickness" in asks:
        said.append(
            tell("Wall thickness is measured by no tool here, so it cannot be given.", *cite(turn.last("segment")))
        )
    if "error" in asks and "compare" not in asks:
        said += [said_sureness(one) for one in masks_of(turn, want)]
    if "enlarged" in asks:
        tubes = [one for one in masks_of(turn, want) if turn.table.is_tube(one.name) and one.measured is not None]
        said += [said_tube(turn, one) for one in tubes] + in_range(turn, want)
    derived = compared(turn, want)
    first = asks & {"volume", "size", "length", "diameter", "density"}  # numbers that can be given all the same
    said += [one for one in derived if not (first and _is_refusal(turn, one))]
    if "list" in asks:
        pass
    elif "count" in asks and "parts" not in asks:
        said += counted(turn, want)
    elif asks & {"presence", "segment"} or not (needs_numbers(want) or asks & {"render", "export", "list", "contrast"}):
        said += [said_verdict(turn, one) for one in rows_of(turn, want) if one.mask_id]
    if "edge" in asks:
        said += [said_edge(one) for one in masks_of(turn, want)]
    if needs_numbers(want) and "draft" not in asks:
        said += _numbers(turn, want)
    said += [one for one in derived if first and _is_refusal(turn, one)]
    if "error" in asks and "compare" in asks:
        said += [said_sureness(one) for one in masks_of(turn, want)]
    if "where" in asks:
        said = [said_side(one) for one in masks_of(turn, want) if one.row.get("side")] + said
    if lesion:
        said.append(said_lesion(turn, want))
    return said + caveats(turn, want)


def _is_refusal(turn: Turn, one: Statement) -> bool:
    """Whether a statement only says why a number was not derived."""
    return any(call.is_error and call.call_id == cited.call_id for call in turn.all("derive") for cited in one.cites)


def _numbers(turn: Turn, want: Want) -> list[Statement]:
    parts = parts_wanted(want.aspects, turn.task.text)
    phases = len(turn.images) > 1
    masks = [one for one in masks_of(turn, want) if one.measured is not None]
    order = sorted(masks, key=lambda one: one.row["verdict"] != "present")
    said = [
        said_numbers(one, parts, turn.task.text, turn.task.language, phase=f" in {one.image_id}" if phases else "")
        for one in order[:_MOST]
    ]
    said += [said_verdict(turn, one, volume=False) for one in order if one.row["verdict"] == "unsure"]
    if turn.last("measure") is not None and turn.last("measure").is_error:  # type: ignore[union-attr]
        call = turn.last("measure")
        said.append(tell(call.text if call else "", *cite(call)))
    return said
