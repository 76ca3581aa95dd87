"""Answers as they travel: what rows share is said once, and nothing is said that says nothing.

An assistant pays for every character. Provenance, geometry and warnings that rows share stand beside the rows; details that are empty
are left out. `unpacked` gives programs the rows whole again. Left out for good, but kept in
the mask's resource, are the handles something was made from, a network's own word beside a calibrated confidence, lengths of
masks about which a report says no size, and all but the first doubt of masks it does not mention.
"""

from __future__ import annotations

import copy
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from ...tools.desk.results import ImageResult
from ...tools.registry import TOOLS
from ...tools.reports.results import ReportFinding, Unmentioned
from ..packing.findings import share_findings, shorten_unmentioned, whole_findings

DETAILS: Mapping[str, frozenset[str]] = {
    "ImageResult": frozenset({"alias", "series", "files"}),
    "ImportedRow": frozenset({"volume_ml", "file_ml", "warnings"}),
    "MaskRow": frozenset({"agreement", "confidence_is", "mean_sigmoid", "volume_90_ml", "nearest", "reason"}),
    "Measurement": frozenset({"radiomics"}),
    "Provenance": frozenset({"model", "weights_sha256", "licence", "purpose", "engine", "choice", "seed"}),
    "ReportFinding": frozenset({"status", "location", "change"}),
}
"""Kind of row or answer -> its fields that are left out when empty; the others are there, so that programs need not ask whether they are."""

Values = dict[str, Any]
USUAL: Mapping[str, Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    "MaskRow": {
        "volume_is": lambda row: "not given" if row.get("volume_ml") is None else "cut by the edge" if row.get("truncated_at") else "complete"
    },
    "Evidence": {"tool": lambda row: "segment"},
    "Unmentioned": {"implausible": lambda row: row.get("verdict") == "unsure"},
}  # fmt: skip
"""Kind of row -> its fields that are left out where they say what the row's other fields, or most rows, say already."""

SAME = (
    "confidence_is",
    "inputs",
    "uncertainty",
    "section",
)  # fields of rows that are said once where all rows say the same
MADE_BY, GEOMETRY, NOTES, EVIDENCE_BY = "made_by", "geometry", "notes", "evidence_by"
RESULTS: dict[str, type[BaseModel]] = {entry.name: entry.result for entry in TOOLS}


def packed(kind: type[BaseModel], values: Mapping[str, Any]) -> Values:
    """A result (its plain values) as it travels; of a job, what its tool answered, too."""
    made = _without_empty(kind, values)
    if made.get("result"):
        made["result"] = short(str(values.get("tool")), values["result"])
    if made.get("summary"):
        made["summary"] = made["summary"].split(". ", 1)[0].removesuffix(".") + "."  # the answer's words have the rest
    provenances: Values = {}
    for name, row_kind, rows in _rows_of(kind, made):
        for row in rows:
            _share_provenance(row, provenances)
            if row.get("asked_as") == row.get("structure"):
                row.pop("asked_as", None)
            if row.get("confidence") is not None:
                row.pop("mean_sigmoid", None)
        if "geometry" in row_kind.model_fields:
            _share_geometry(made, rows)
        for field in SAME:
            said = [row[field] for row in rows if field in row]
            if len(said) > 1 and len(said) == len(_that_say(field, rows)) and all(one == said[0] for one in said):
                made[field] = said[0]
                for row in rows:
                    row.pop(field, None)
        if row_kind is ReportFinding:
            made[EVIDENCE_BY] = share_findings(rows)
        if row_kind is Unmentioned:
            shorten_unmentioned(rows)
        notes = _shared_warnings(rows)
        if notes:
            made[NOTES] = {**made.get(NOTES, {}), name: notes}
    if len(provenances) == 1:
        for _name, _kind, rows in _rows_of(kind, made):
            for row in rows:
                row.pop(MADE_BY, None)
    if provenances:
        made[MADE_BY] = provenances
    return made


def unpacked(kind: type[BaseModel], wire: Mapping[str, Any]) -> Values:
    """The plain values of a result again, every row whole but for what is left out for good."""
    made: Values = copy.deepcopy(dict(wire))
    if made.get("result"):
        made["result"] = whole(str(made.get("tool")), made["result"])
    provenances, geometry, notes = made.pop(MADE_BY, {}), made.pop(GEOMETRY, None), made.pop(NOTES, {})
    if geometry is not None and GEOMETRY in kind.model_fields:
        made[GEOMETRY], geometry = geometry, None
    by = str(made.pop(EVIDENCE_BY, ""))
    same = {field: made.pop(field) for field in SAME if field in made and field not in kind.model_fields}
    only = next(iter(provenances)) if len(provenances) == 1 else None
    for name, row_kind, rows in _rows_of(kind, made):
        for row in rows:
            key = row.pop(MADE_BY, only)
            if "provenance" in row_kind.model_fields and "provenance" not in row and key in provenances:
                row["provenance"] = {"inputs": [], **provenances[key]}
            if geometry is not None and row.get("mask_id") and "geometry" in row_kind.model_fields:
                row.setdefault("geometry", {**geometry, "side_checked": row.pop("side_checked", False)})
            if "asked_as" in row_kind.model_fields:
                row.setdefault("asked_as", row.get("structure", ""))
        for field, value in same.items():
            if field in row_kind.model_fields:
                for row in _that_say(field, rows):
                    row.setdefault(field, copy.deepcopy(value))
        if row_kind is ReportFinding:
            whole_findings(rows, by)
        for note in notes.get(name, ()):
            for place in note["rows"]:
                rows[place]["warnings"] = [*rows[place].get("warnings", []), note["text"]]
    return _with_defaults(kind, made)


def whole(tool: str, wire: Mapping[str, Any] | None) -> Values:
    """What a tool answered, its rows whole again; answers of tools that are not ours stay as they are."""
    values = dict(wire or {})
    return unpacked(RESULTS[tool], values) if tool in RESULTS else values


def short(tool: str, values: Mapping[str, Any]) -> Values:
    """What a tool answered, as it travels; answers of tools that are not ours stay as they are."""
    return packed(RESULTS[tool], values) if tool in RESULTS else dict(values)


def _rows_of(kind: type[BaseModel], made: Mapping[str, Any]) -> Iterator[tuple[str, type[BaseModel], list[Values]]]:
    """Name, kind and rows of every list of models."""
    for name, field in kind.model_fields.items():
        inner, many = model_in(field.annotation)
        if many and inner is not None and isinstance(made.get(name), list):
            yield name, inner, made[name]


def model_in(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model inside an annotation, if any, and whether it is a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    found = [model_in(part) for part in parts if isinstance(part, type) or typing.get_args(part)]
    inner = next((model for model, _many in found if model is not None), None)
    return inner, inner is not None and (origin is list or any(many for _model, many in found))


def _without_empty(kind: type[BaseModel], values: Mapping[str, Any], level: int = 0) -> Values:
    """Values without what is empty: of the answer itself and its rows details, of rows parts, too, of their parts everything."""
    made = {}
    for name, value in values.items():
        field = kind.model_fields.get(name)
        inner, many = model_in(field.annotation) if field is not None else (None, False)
        if inner is not None and isinstance(value, dict):
            value = _without_empty(inner, value, level + 1)
        elif inner is not None and many and isinstance(value, list):
            value = [_without_empty(inner, one, level + 1) for one in value]
        may_go = level > 1 or name in DETAILS.get(kind.__name__, ()) or (level == 1 and inner is not None)
        may_go = may_go or (
            kind is ImageResult
            and values.get("image_id") is None
            and name not in ("image_id", "warnings", "spacing_mm", "intensity_unit")
        )
        is_usual = level > 1 and value is False and field is not None and field.default is False
        rule = USUAL.get(kind.__name__, {}).get(name)
        is_usual = is_usual or (rule is not None and rule(values) == value)
        if not is_usual and not (may_go and value in (None, "", [], {})):
            made[name] = value
    return made


def _with_defaults(kind: type[BaseModel], made: Mapping[str, Any]) -> Values:
    """Fields that were left out, as they were: their default, or what is empty of their type."""
    whole: Values = {}
    for name, field in kind.model_fields.items():
        value = made.get(name, _Missing)
        inner, many = model_in(field.annotation)
        rule = USUAL.get(kind.__name__, {}).get(name)
        if value is _Missing and rule is not None:
            value = rule(made)
        if value is _Missing:
            value = (
                field.get_default(call_default_factory=True) if not field.is_required() else _empty_of(field.annotation)
            )
        if inner is not None and isinstance(value, dict):
            value = _with_defaults(inner, value)
        elif inner is not None and many and isinstance(value, list):
            value = [_with_defaults(inner, one) for one in value]
        whole[name] = value
    return whole


class _Missing:
    pass


def _empty_of(annotation: Any) -> Any:
    kind = typing.get_origin(annotation) or annotation
    return [] if kind is list else {} if kind is dict else "" if kind is str else None


def _that_say(field: str, rows: Sequence[Values]) -> list[Values]:
    """Rows that say something there when they are whole."""
    return [row for row in rows if field != "confidence_is" or row.get("confidence") is not None]


def _share_provenance(row: Values, shared: Values) -> None:
    found = row.pop("provenance", None)
    if found is None:
        return
    found = {name: value for name, value in found.items() if name != "inputs" and value is not None}
    key = str(found.get("model") or found["tool"])
    while shared.setdefault(key, found) != found:
        key += "'"
    row[MADE_BY] = key


def _share_geometry(made: Values, rows: Sequence[Values]) -> None:
    """One receipt for rows on one grid, with the largest difference of all; which sides were checked stays in the row."""
    receipts = [row["geometry"] for row in rows if row.get("geometry")]
    if not receipts or any(
        one["shape"] != receipts[0]["shape"] or one["affine"] != receipts[0]["affine"] for one in receipts
    ):
        return
    largest = max(one["max_affine_difference"] for one in receipts)
    made[GEOMETRY] = {**receipts[0], "max_affine_difference": largest}
    made[GEOMETRY].pop("side_checked", None)
    for row in rows:
        found = row.pop("geometry", None)
        if found and found.get("side_checked"):
            row["side_checked"] = True


def _shared_warnings(rows: Sequence[Values]) -> list[Values]:
    """Warnings that several rows bear, each with the places of these rows; taken out of the rows."""
    counts = Counter(text for row in rows for text in row.get("warnings", ()) if isinstance(text, str))
    notes = []
    for text in (text for text, count in counts.items() if count > 1):
        places = [n for n, row in enumerate(rows) if text in row.get("warnings", ())]
        notes.append({"text": text, "rows": places})
        for n in places:
            rows[n]["warnings"] = [one for one in rows[n]["warnings"] if one != text]
    return notes
