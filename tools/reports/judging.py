"""From a finding and its evidence to a judgement: supported, contradicted or cannot tell, with the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...retrieval.anatomy.lesions import is_lesion
from ...retrieval.anatomy.structures import StructureTable
from ...retrieval.reports.findings import Finding
from ..desk.results import CUT
from .lengths import TOLERANCE_SHARE, judge_length
from .results import Evidence, Judgement

# Upper limit of the spleen's volume in healthy adults on CT.
# Source: Prassopoulos et al. 1997, Eur Radiol 7:246 (140 patients, 107 to 315 ml).
LARGEST_NORMAL_ML = {"spleen": 314.5}
SYNTHETIC = (
    "synthetic input: the image was made by a program, so nothing in it speaks for or against a patient's report."
)


@dataclass(frozen=True)
class Judged:
    """A judgement and its reasons, the decisive one first."""

    judgement: Judgement
    reasons: tuple[str, ...]


def judge_finding(finding: Finding, evidence: Sequence[Evidence], *, partner: Evidence | None = None) -> Judged:
    """The judgement on one finding.

    Args:
        evidence: what tools said about the structure, one row per half of a pair; or about the
            lesion's candidates, if a model can see such lesions.
        partner: the same structure on the other side, if it was looked at.
    """
    unsure = _not_a_claim(finding)
    if unsure:
        return Judged("cannot_tell", (unsure,))
    if not evidence:
        return Judged("cannot_tell", (f"no model for it: nothing here looks for {_name(finding)}.",))
    if finding.lesion:
        return _lesion(finding, evidence)
    judged = [_structure(finding, row, partner) for row in evidence]
    return _together(judged)


def _not_a_claim(finding: Finding) -> str:
    if finding.disputed:
        return finding.disputed
    says = {
        "hypothetical": "the sentence only considers it; it claims nothing about the image.",
        "historical": "the sentence speaks about the past.",
        "family": "the sentence speaks about somebody else.",
    }
    return says.get(finding.presence, "")


def _name(finding: Finding) -> str:
    place = f" in the {finding.structure}" if finding.lesion and finding.structure else ""
    return f"a {finding.lesion}{place}" if finding.lesion else f"the {finding.structure}"


def _together(judged: Sequence[Judged]) -> Judged:
    """Several halves or candidates: one contradiction decides, else one doubt."""
    reasons = tuple(dict.fromkeys(reason for one in judged for reason in one.reasons))
    for judgement in ("contradicted", "cannot_tell"):
        mine = [one for one in judged if one.judgement == judgement]
        if mine:
            first = tuple(reason for one in mine for reason in one.reasons)
            return Judged(mine[0].judgement, tuple(dict.fromkeys((*first, *reasons))))
    return Judged("supported", reasons)


def _structure(finding: Finding, row: Evidence, partner: Evidence | None) -> Judged:
    name = row.structure
    blocked = _no_verdict(row)
    if blocked:
        return Judged("cannot_tell", (blocked,))
    if finding.presence == "absent":
        return _said_absent(finding, row, partner)
    if row.verdict == "absent":
        return Judged("contradicted", (f"structure absent in image: the {name} was looked for and not found.",))
    if row.verdict == "unsure":
        size = judge_length(finding, row)
        return Judged("cannot_tell", (f"the mask of the {name} is unsure.", *([size[1]] if size else ())))
    doubts: list[str] = []
    reasons = [f"the {name} is present{_volume(row)}."]
    for judged in (_place(finding, row), _size(finding, row, partner), _amount(finding, row), _state(finding, row)):
        if judged is not None and judged.judgement == "contradicted":
            return Judged("contradicted", judged.reasons)
        if judged is not None:
            (doubts if judged.judgement == "cannot_tell" else reasons).extend(judged.reasons)
    return Judged("cannot_tell", (*doubts, *reasons)) if doubts else Judged("supported", tuple(reasons))


def _no_verdict(row: Evidence) -> str:
    if row.verdict == "unsupported":
        return f"no model for it: nothing here segments the {row.structure} on this kind of image."
    if row.verdict == "outside_view":
        return f"structure outside the view: the scan seems not to show the {row.structure}."
    return ""


def _said_absent(finding: Finding, row: Evidence, partner: Evidence | None) -> Judged:
    name = row.structure
    if row.verdict == "absent":
        return Judged("supported", (f"the {name} was looked for and not found.",))
    if row.verdict == "unsure":
        return Judged("cannot_tell", (f"the mask of the {name} is unsure.",))
    reasons = [f"the report says it is absent, but the {name} is present{_volume(row)}."]
    if partner is not None and partner.verdict == "absent":
        reasons.insert(0, f"side mismatch: it is the {partner.structure} that was not found.")
    return Judged("contradicted", tuple(reasons))


def _place(finding: Finding, row: Evidence) -> Judged | None:
    """A side said of an unpaired organ must be the one it lies on."""
    said = finding.side
    if said not in ("left", "right") or row.structure.startswith(said) or row.side not in ("left", "right"):
        return None
    if said != row.side:
        return Judged(
            "contradicted", (f"side mismatch: the report says {said}, the {row.structure} lies on the {row.side}.",)
        )
    return Judged("supported", (f"it lies on the {row.side}.",))


def _size(finding: Finding, row: Evidence, partner: Evidence | None) -> Judged | None:
    found = judge_length(finding, row)
    if found is None:
        return None
    judgement, reason = found
    reasons = [reason]
    if judgement == "contradicted" and partner is not None and partner.verdict == "present":
        other = judge_length(finding, partner)
        if other is not None and other[0] == "supported":
            reasons.insert(0, f"side mismatch: the size fits the {partner.structure}.")
    return Judged(judgement, tuple(reasons))


def _agrees(said: float, measured: float, bound: str, allowed: float) -> bool:
    if bound == "at most":
        return measured <= said + allowed
    if bound == "at least":
        return measured >= said - allowed
    return abs(measured - said) <= allowed


def _amount(finding: Finding, row: Evidence) -> Judged | None:
    said = finding.volume_ml
    if said is None:
        return None
    if row.volume_ml is None:
        return Judged("cannot_tell", (f"the {row.structure} has no volume in ml.",))
    if row.is_cut:
        reason = (
            f"the edge of the scan cuts it: {row.volume_ml:g} ml is of the part inside, the report says {said:g} ml."
        )
        return Judged("cannot_tell", (reason,))
    allowed = TOLERANCE_SHARE * said
    agrees = _agrees(said, row.volume_ml, finding.bound, allowed)
    words = "volume agrees" if agrees else "volume outside tolerance"
    reason = f"{words}: the report says {said:g} ml, measured {row.volume_ml:g} ml (tolerance {allowed:g} ml)."
    return Judged("supported" if agrees else "contradicted", (reason,))


def _state(finding: Finding, row: Evidence) -> Judged | None:
    """What is said of size in words; only where a normal range with a source is known."""
    if finding.status not in ("enlarged", "small"):
        return None
    limit = LARGEST_NORMAL_ML.get(row.structure)
    if finding.status == "small" or limit is None or row.volume_ml is None:
        return Judged(
            "cannot_tell", (f"no sourced normal size is known here to call the {row.structure} {finding.status}.",)
        )
    if row.volume_ml > limit:
        return Judged("supported", (f"enlarged: {row.volume_ml:g} ml is above the normal {limit:g} ml.",))
    if row.is_cut:
        return Judged("cannot_tell", (f"{row.volume_ml:g} ml is of the part inside the scan, which cuts it.",))
    return Judged("contradicted", (f"not enlarged: {row.volume_ml:g} ml is within the normal {limit:g} ml.",))


def _lesion(finding: Finding, rows: Sequence[Evidence]) -> Judged:
    """Judge a lesion by a model that can see such lesions; the host's absence alone also tells."""
    table = StructureTable.bundled()
    candidates = [row for row in rows if row.tool == "segment_described" or is_lesion(table, row.structure)]
    hosts = [row for row in rows if row not in candidates]
    if finding.presence != "absent" and hosts and all(row.verdict == "absent" for row in hosts):
        names = " and ".join(row.structure for row in hosts)
        return Judged("contradicted", (f"structure absent in image: the {names} was looked for and not found.",))
    seen = [row for row in candidates if row.verdict == "present"]
    if not candidates or all(row.verdict in ("unsupported", "outside_view", "unsure") for row in candidates):
        return Judged(
            "cannot_tell", (f"no model for it: nothing here is able to see {_name(finding)}.", *_host_note(hosts))
        )
    if finding.presence == "absent":
        if seen:
            return Judged("contradicted", (f"{_name(finding)} was found{_volume(seen[0])}.",))
        return Judged("supported", (f"{_name(finding)} was looked for and not found.",))
    if not seen:
        judgement: Judgement = "cannot_tell" if finding.presence == "possible" else "contradicted"
        return Judged(judgement, (f"{_name(finding)} was looked for and not found.",))
    if finding.side in ("left", "right") and all(row.side not in (finding.side, None, "midline") for row in seen):
        return Judged("contradicted", (f"side mismatch: found on the {seen[0].side}, the report says {finding.side}.",))
    judged = [judge_length(finding, row) for row in seen]
    sized = [one for one in judged if one is not None]
    best = next((one for one in sized if one[0] == "supported"), sized[0] if sized else None)
    if best is not None and best[0] != "supported":
        return Judged(best[0], (best[1],))
    return Judged("supported", (f"{_name(finding)} was found.", *([best[1]] if best else ())))


def _host_note(hosts: Sequence[Evidence]) -> tuple[str, ...]:
    return tuple(f"the {row.structure} itself is {row.verdict.replace('_', ' ')}." for row in hosts[:2])


def _volume(row: Evidence) -> str:
    if row.volume_ml is None:
        return ""
    return f" ({row.volume_ml:g} ml{CUT if row.is_cut else ''})"
