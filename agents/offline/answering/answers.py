"""Sentences out of tool results, each citing the call and handle it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, hypot, log
from typing import Any

from ....tools.describing.comparing import volume_error
from ....tools.desk.results import CUT
from ...reply import Cite, Reply, Statement
from ..turn import Done

_MOST = 12


def say(kind: str, text: str, call: Done | None = None, more: str = "") -> Reply:
    """One statement; `more` names files or other handles and carries no claim."""
    cites = [Cite(call_id=call.call_id)] if call is not None else []
    statements = [Statement(text=text, cites=cites)]
    statements += [Statement(text=more, cites=cites)] if more else []
    return Reply.model_validate({"kind": kind, "statements": statements})


def said_of_masks(calls: Sequence[Done]) -> Reply:
    """Verdicts, with volumes where they are given."""
    rows = [(call, row) for call in calls for row in call.result.get("masks", [])]
    statements = [_verdict(call, row, several=len(calls) > 1) for call, row in rows[:_MOST]]
    return Reply(kind="answer", statements=statements or [Statement(text="Nothing was segmented.")])


def _verdict(call: Done, row: dict[str, Any], *, several: bool) -> Statement:
    place = f" in {call.result.get('image_id')}" if several else ""
    verdict = str(row["verdict"]).replace("_", " ")
    text = f"The {row['structure']} is {verdict}{place}"
    if row.get("volume_ml") is not None:
        text += f", {row['volume_ml']:g} ml{CUT if row.get('volume_is') == 'cut by the edge' else ''}"
    text += "."
    if row["verdict"] == "unsure":
        text += " Do not rely on this mask."
    return Statement(text=text, cites=[Cite(call_id=call.call_id, handle=row.get("mask_id") or "")])


def measured(segmented: Sequence[Done], call: Done) -> Reply:
    """Volume, diameters and intensity; unsure ones are called so, missing ones listed."""
    rows = {row["mask_id"]: (done, row) for done in segmented for row in done.result.get("masks", []) if row["mask_id"]}
    several = len(segmented) > 1
    statements = []
    for row in call.result.get("measurements", [])[:_MOST]:
        statements.append(Statement(text=_numbers(row), cites=[Cite(call_id=call.call_id, handle=row["mask_id"])]))
        done, seen = rows.get(row["mask_id"], (None, None))
        if done is not None and seen is not None and (seen["verdict"] == "unsure" or several):
            statements.append(_verdict(done, {**seen, "volume_ml": None}, several=several))
    missing = [(done, row) for done in segmented for row in done.result.get("masks", []) if not row["mask_id"]]
    statements += [_verdict(done, row, several=several) for done, row in missing[:_MOST]]
    return Reply(kind="answer", statements=[*statements, *_larger(call, [row for _done, row in rows.values()])])


def _numbers(row: dict[str, Any]) -> str:
    name = row.get("structure") or row["mask_id"]
    parts = []
    if row.get("volume_ml") is not None:
        parts.append(f"{row['volume_ml']:g} ml{CUT if row.get('truncated_at') else ''}")
    parts += _lengths(row)
    if row.get("intensity") and row["intensity"]["unit"] == "HU":
        parts.append(f"mean {row['intensity']['mean']:g} HU")
    if not parts:
        return f"The {name} could not be measured: {' '.join(row.get('reasons', []))}"
    return f"The {name} measures {', '.join(parts)}."


def _lengths(row: dict[str, Any]) -> list[str]:
    """A vessel's width across its course; of what has several parts each one's; else in its slice and along the body."""
    lengths, across = row.get("diameters"), row.get("across")
    parts = [part["lengths"]["longest_3d_mm"] for part in row.get("parts") or () if part["lengths"]]
    if across:
        return [f"{across['median_mm']:g} mm across its centre line, {across['widest_mm']:g} mm at its widest"]
    if len(parts) > 1:
        return [f"the longest diameters of its {len(parts)} parts {', '.join(f'{mm:g}' for mm in parts[:4])} mm"]
    if not lengths:
        return []
    said = [f"{lengths['longest_axial_mm']:g} mm by {lengths['perpendicular_mm']:g} mm in its largest axial slice"]
    if lengths.get("craniocaudal_mm") is not None:
        said.append(f"{lengths['craniocaudal_mm']:g} mm craniocaudally")
    return said


def _larger(call: Done, seen: Sequence[dict[str, Any]]) -> list[Statement]:
    """Which of two measured things is the larger, when both volumes are complete and differ by more than their error."""
    rows = call.result.get("measurements", [])
    if len(rows) != 2 or any(row.get("volume_is") != "complete" for row in rows):
        return []
    a, b = sorted(rows, key=lambda row: -row["volume_ml"])
    if not a.get("structure") or a["structure"] == b.get("structure"):
        return []
    cites = [Cite(call_id=call.call_id, handle=row["mask_id"]) for row in (a, b)]
    dice = {
        row["mask_id"]: row["confidence"]
        for row in seen
        if str(row.get("confidence_is")).startswith("expected Dice")  # where it is not calibrated, 20 % are the error
    }
    error = hypot(*(volume_error(dice.get(row["mask_id"])) for row in (a, b)))
    if not b["volume_ml"] or log(a["volume_ml"] / b["volume_ml"]) > error:
        return [Statement(text=f"The {a['structure']} is larger than the {b['structure']}.", cites=cites)]
    text = f"Which is larger is not certain: both volumes together may be off by a factor of {exp(error):.2f}."
    return [Statement(text=text, cites=cites)]


def compared(call: Done) -> Reply:
    """Dice and distances."""
    row = call.result
    text = f"Dice {row['dice']:g}, IoU {row['iou']:g}"
    if row.get("hd95_mm") is not None:
        text += f", HD95 {row['hd95_mm']:g} mm, ASSD {row['assd_mm']:g} mm"
    return say("answer", f"{text}.", call)


def described(call: Done) -> Reply:
    """The best candidate, a question when several fit, or that nothing does."""
    rows = [row for row in call.result.get("candidates", []) if row.get("mask_id")]
    if not rows:
        kind = "refusal" if call.result.get("verdict") == "unsupported" else "answer"
        return say(kind, call.text or "Nothing in the scan matches that description.", call)
    if call.result.get("ambiguous"):
        listed = ", ".join(_which(row) for row in rows[:4])
        return say("question", f"Several candidates fit; which one is meant: {listed}?", call)
    best = rows[0]
    cite = Cite(call_id=call.call_id, handle=best["mask_id"])
    text = f"The best candidate is {best['mask_id']}, its verdict is {str(best.get('verdict', 'unsure')).replace('_', ' ')}."
    return Reply(kind="answer", statements=[Statement(text=text, cites=[cite])])


def _which(row: dict[str, Any]) -> str:
    size = f", {row['volume_ml']:g} ml" if row.get("volume_ml") is not None else ""
    return f"the {row['structure']}{size} ({row['mask_id']})" if row.get("structure") else str(row["mask_id"])


def report(call: Done) -> Reply:
    """What was contradicted first, then the counts, then what else the check saw."""
    rows = call.result.get("findings", [])
    cite = [Cite(call_id=call.call_id)]
    summary = str(call.result.get("summary", "")).split(". ", 1)[0].rstrip(".") + "."  # the tool's own counts
    statements = [Statement(text=summary, cites=cite)]
    for row in [row for row in rows if row["judgement"] == "contradicted"][:_MOST]:
        masks = [proof["mask_id"] for proof in row["evidence"] if proof.get("mask_id")]
        text = f"'{' '.join(row['sentence'].split())[:120]}' is contradicted: {row['reasons'][0]}"
        statements.append(
            Statement(text=text, cites=[*cite, *(Cite(call_id=call.call_id, handle=m) for m in masks[:2])])
        )
    statements += [
        Statement(text=f"In the report itself: {line}", cites=cite) for line in call.result["contradictions"][:5]
    ]
    odd = [row["structure"] for row in call.result.get("unmentioned", []) if row.get("implausible")]
    if odd:
        statements.append(Statement(text=f"Implausible masks no sentence mentions: {', '.join(odd[:8])}.", cites=cite))
    return Reply(kind="answer", statements=statements)


def said_about_job(call: Done) -> Reply:
    """How a job stands."""
    row = call.result
    return say("answer", f"The job is {row.get('state', 'unknown')}. {row.get('error') or ''}".strip(), call)
