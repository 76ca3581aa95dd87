"""Why a description has no answer, or no sure one, in sentences; and the answer in a few words."""

from __future__ import annotations

from collections.abc import Sequence

from ...retrieval.descriptions.description import Description
from ..desk.desk import Desk
from .results import Candidate, DescribedResult
from .things import Scored


def nothing_understood(desk: Desk, description: Description) -> str:
    """Why a sentence that means too little here is `unsupported`, with the closest names."""
    words = ", ".join(f"'{word}'" for word in description.unused[:6]) or "none of it"
    near = ", ".join(row.name for row, _score in desk.table.search(description.text[:100], 3))
    return (
        f"The description names nothing that can be looked for: not understood: {words}. "
        f"Closest names: {near}. Say a structure, or an area and the organ it lies in."
    )


def left_out(description: Description) -> str:
    """Why a sentence of which words are left over is `unsupported`; every such word is named."""
    words = _listed(description)
    return (
        f"Not understood: {words}. Nothing was pointed at, because the answer would leave {words} out. "
        f"Say it in other words, or ask for the {description.target or 'structure'} without."
    )


def doubt(best: Scored, rows: Sequence[Candidate], description: Description) -> str:
    """What speaks against the best candidate, or limits what was compared; "" when nothing does."""
    row = rows[0]
    if row.failed:
        return "Nothing fits every claim; see what failed."
    alone = [str(fit.claim) for fit in best.fits if fit.among == 1 and fit.claim.kind != "count"]
    doubts = [f"Not checked: {'; '.join(row.unchecked)}."] if row.unchecked else []
    doubts += [f"There was nothing to compare with for: {', '.join(alone)}."] if alone else []
    cut = [one.structure for one in rows if one.volume_is == "cut by the edge"]
    if cut and any(fit.among > 1 and fit.claim.kind == "rank" for fit in best.fits):
        doubts.append(f"Compared were the parts inside the scan, which cuts: {', '.join(cut)}.")
    doubts += [f"A network read the words {_listed(description)} by itself."] if description.unused else []
    return " ".join(doubts)


def undecided(kept: list[Scored]) -> str:
    """Which candidates the sentence does not tell apart, with the numbers where they differ by less than the error."""
    fitting = [one for one in kept if one.fits_all]
    tied = {str(fit.claim) for one in fitting for fit in one.fits if fit.tied}
    shown = [
        f"{one.thing.name}: {fit.reason}" for one in fitting for fit in one.fits if str(fit.claim) in tied and fit.among
    ]
    if shown:
        return f"The order lies inside the error of the measurement: {'; '.join(shown[:4])}."
    return f"{len(fitting)} candidates fit equally well; the sentence does not tell them apart."


def say_result(result: DescribedResult) -> str:
    """The answer in a few words."""
    if not result.candidates:
        return f"{(result.verdict or 'absent').replace('_', ' ').capitalize()}: {result.reason}"[:1500]
    parts = []
    for number, row in enumerate(result.candidates, start=1):
        size = f", {row.volume_ml:g} ml" if row.volume_ml is not None else ""
        but = f"; does not hold: {'; '.join(row.failed)}" if row.failed else ""
        parts.append(f"{number}. {row.structure} ({row.verdict}, score {row.score:.2f}{size}{but}) {row.mask_id}")
    lead = "Ambiguous, ask which is meant: " if result.ambiguous else ""
    unused = f" Not used: {', '.join(result.unused_words[:5])}." if result.unused_words else ""
    why = f" {result.reason}" if result.reason else ""
    return f"{lead}{'. '.join(parts)}.{why}{unused}"[:1500]


def _listed(description: Description) -> str:
    return ", ".join(f"'{word}'" for word in description.unused[:6])
