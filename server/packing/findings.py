"""Findings of a checked report, short: a mask that several findings rest on is told once."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any

Values = dict[str, Any]
_AS_FINDING = "as_finding"  # beside the mask_id of evidence: the place of the finding that has it whole
_AT = "at"  # first and last character in the report
_BY_NOBODY = ("unsupported", "outside_view")  # verdicts without a model
_LENGTHS = (
    "longest_axial_mm", "longest_3d_mm", "perpendicular_mm", "craniocaudal_mm", "transverse_mm", "anteroposterior_mm",
    "parts", "across", "no_length", "slice_index",
)  # fmt: skip


def share_findings(findings: Sequence[Values]) -> str:
    """Take out what an earlier finding says, and lengths of masks about which no finding says a size.

    Returns:
        The model of most of the evidence, taken out of it, too; "" when there is none.
    """
    sized = {
        proof.get("mask_id")
        for finding in findings
        for proof in finding.get("evidence") or ()
        if finding.get("size_mm") is not None
    }
    seen: list[tuple[int, Values]] = []
    previous: tuple[int, str] | None = None
    for number, finding in enumerate(findings):
        finding[_AT] = [finding.pop("start"), finding.pop("end")]
        place = (int(finding["sentence_number"]), str(finding["sentence"]))
        if place[0] == _next(previous, place[1]):
            del finding["sentence_number"]
        previous = place
        proofs = finding.get("evidence") or []
        for at, proof in enumerate(proofs):
            if proof.get("mask_id") not in sized:
                proof = {name: value for name, value in proof.items() if name not in _LENGTHS}
            first = next((n for n, other in seen if other == proof), None)
            if first is None or not proof.get("mask_id"):
                seen.append((number, proof))
                proofs[at] = proof
            else:
                proofs[at] = {"mask_id": proof["mask_id"], _AS_FINDING: first}
    return _share_model([proof for _number, proof in seen])


def _share_model(proofs: Sequence[Values]) -> str:
    models = Counter(proof["model"] for proof in proofs if "model" in proof)
    if not models or any("model" not in proof and proof.get("verdict") not in _BY_NOBODY for proof in proofs):
        return ""
    usual = str(models.most_common(1)[0][0])
    for proof in proofs:
        if proof.get("model") == usual:
            del proof["model"]
    return usual


def whole_findings(findings: Sequence[Values], model: str) -> None:
    """Give back what `share_findings` took, but for those lengths."""
    for proof in (proof for finding in findings for proof in finding.get("evidence") or ()):
        if model and _AS_FINDING not in proof and proof.get("verdict") not in _BY_NOBODY:
            proof.setdefault("model", model)
    previous: tuple[int, str] | None = None
    for finding in findings:
        finding["start"], finding["end"] = finding.pop(_AT)
        sentence = str(finding.get("sentence"))
        previous = (finding.setdefault("sentence_number", _next(previous, sentence)), sentence)
        for at, proof in enumerate(finding.get("evidence") or ()):
            if _AS_FINDING in proof:
                there = findings[proof[_AS_FINDING]]["evidence"]
                finding["evidence"][at] = copy.deepcopy(next(o for o in there if o.get("mask_id") == proof["mask_id"]))


def shorten_unmentioned(rows: Sequence[Values]) -> None:
    """Of masks that no sentence mentions only the first doubt; their records have all."""
    for row in rows:
        row["reasons"] = list(row.get("reasons") or ())[:1]


def _next(previous: tuple[int, str] | None, sentence: str) -> int:
    """The number a sentence has where findings follow one another without a gap."""
    if previous is None:
        return 0
    return previous[0] + (previous[1] != sentence)
