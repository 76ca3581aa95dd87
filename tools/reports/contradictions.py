"""Where a report contradicts itself: side, presence or size of the same thing in two sentences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from ...retrieval.anatomy.structures import StructureTable
from ...retrieval.reports.findings import Finding
from ...retrieval.reports.mentions import whole

# The same thing told twice in one report may differ by rounding: a tenth, or a millimetre.
ROUNDING_SHARE, ROUNDING_MM = 0.1, 1.0
_CLAIMS = ("present", "possible", "absent")
_MAX = 50


def contradictions(findings: Sequence[Finding], table: StructureTable) -> list[str]:
    """One sentence per pair of findings that cannot both be true, at most 50.

    Findings are compared within one kind of lesion (or the structure itself) and one organ, over
    different sentences. Sizes are compared in mm, so "12 mm" and "1.2 cm" agree.
    """
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        if finding.presence in _CLAIMS and (finding.structure or finding.lesion):
            groups.setdefault((whole(table, finding.structure), finding.lesion), []).append(finding)
    found: list[str] = []
    for group in groups.values():
        for a, b in combinations(group[:20], 2):
            if a.sentence != b.sentence:
                found += [text for text in (_side(a, b, group), _presence(a, b), _size(a, b, group)) if text]
    return list(dict.fromkeys(found))[:_MAX]


def _side(a: Finding, b: Finding, group: Sequence[Finding]) -> str:
    """Left here, right there; only where neither side is named twice, for two kidneys may each have a cyst."""
    if not a.lesion or {a.side, b.side} != {"left", "right"} or "absent" in (a.presence, b.presence):
        return ""
    if a.section == b.section or len({f.side for f in group if f.section == a.section}) > 1:
        return ""
    return f"The {a.lesion} is on the {a.side} in {_where(a)}, but on the {b.side} in {_where(b)}."


def _presence(a: Finding, b: Finding) -> str:
    if not _same_place(a, b) or {a.presence, b.presence} != {"present", "absent"}:
        return ""
    yes, no = (a, b) if a.presence == "present" else (b, a)
    if yes.status == "normal" and not yes.lesion and no.status != "removed":
        return ""
    return f"{_what(yes).capitalize()} is said to be present in {_where(yes)}, but absent in {_where(no)}."


def _size(a: Finding, b: Finding, group: Sequence[Finding]) -> str:
    if not _same_place(a, b) or a.size_mm is None or b.size_mm is None or a.bound or b.bound:
        return ""
    if a.section == b.section and len([f for f in group if f.section == a.section]) > 1 and a.lesion:
        return ""  # two lesions of one kind
    gap, larger = abs(a.size_mm - b.size_mm), max(a.size_mm, b.size_mm)
    if gap <= max(ROUNDING_MM, ROUNDING_SHARE * larger):
        return ""
    slip = " The digits are the same: is the unit right?" if _unit_slip(a.size_mm, b.size_mm) else ""
    return (
        f"{_what(a).capitalize()} measures {a.size_mm:g} mm in {_where(a)}, but {b.size_mm:g} mm in {_where(b)}.{slip}"
    )


def _unit_slip(a: float, b: float) -> bool:
    return abs(max(a, b) / max(min(a, b), 1e-9) - 10) < 1e-6


def _same_place(a: Finding, b: Finding) -> bool:
    return a.side == b.side or bool({"", "both"} & {a.side, b.side})


def _what(finding: Finding) -> str:
    place = f" of the {finding.structure}" if finding.structure and finding.lesion else ""
    return f"the {finding.lesion}{place}" if finding.lesion else f"the {finding.structure}"


def _where(finding: Finding) -> str:
    return f"sentence {finding.sentence + 1} ({finding.section})"
