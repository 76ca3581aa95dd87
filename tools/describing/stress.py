"""`stress_description`: does a sentence keep its mask when it is said otherwise, and lose it when it says otherwise?"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ... import __version__
from ...imaging.errors import BadCall
from ...imaging.masks.dice import dice
from ...retrieval.descriptions.description import BadDescription, Description
from ...retrieval.descriptions.parser import parse
from ...retrieval.descriptions.prompts import alike
from ...retrieval.descriptions.wording import name, say
from ...retrieval.descriptions.words import irrelevant
from ..desk.desk import Answer, Call, Desk
from ..desk.job import Job, answer_job, run_job
from ..desk.results import Provenance, Verdict
from .described import Wanted, describe, read
from .prompting import same_meaning
from .results import DescribedResult, StressResult, StressRow

SAME = 0.8  # Dice from which the mask counts as kept
LOST = 0.1  # Dice below which it counts as lost
_PLACES = (
    "left",
    "right",
    "top",
    "bottom",
    "upper",
    "lower",
    "front",
    "back",
    "anterior",
    "posterior",
    "superior",
    "inferior",
)
_OTHER = dict(zip(_PLACES, ("right", "left", "bottom", "top", "lower", "upper", "back", "front", "posterior", "anterior", "inferior", "superior"), strict=True))  # fmt: skip
Kind = Literal["paraphrase", "side_swap", "location_swap", "negation", "irrelevant"]


@dataclass(frozen=True)
class Variant:
    """A changed sentence and what should become of the mask."""

    kind: Kind
    text: str
    expected: str


def stress_description(
    desk: Desk,
    call: Call,
    image_id: Annotated[str, Field(description="From open_image.")],
    description: Annotated[str, Field(description="The sentence to test, as for segment_described.")],
    paraphrases: Annotated[int, Field(description="How many other wordings.", ge=1, le=12)] = 5,
    seed: Annotated[int, Field(description="Same seed, same sentences.", ge=0)] = 0,
    wait_s: Annotated[float, Field(description="Seconds to wait before a job_id is returned.", ge=0, le=300)] = 20.0,
) -> Answer:
    """Test how stable segment_described is for a sentence: paraphrases, swapped sides and places, negation, nonsense.

    Paraphrases must keep the mask (Dice at least 0.8). A swapped side or place must be followed: another mask that
    fits the new words, none, or one marked as not fitting. Negations and sentences about other things must give no mask. Shares are over the
    sentences of a kind, null when none could be made. Use it before trusting a wording in a study.
    Example: stress_description(image_id="img_...", description="the left kidney")
    """
    desk.store.image(image_id)
    wanted = Wanted(image_id, read(desk, description), "auto", None, 3)

    def work(job: Job) -> StressResult:
        return stressed(job, wanted, paraphrases, seed)

    arguments = {"image_id": image_id, "description": description, "paraphrases": paraphrases, "seed": seed}
    record = run_job(desk, call, "stress_description", arguments, work, wait_s=wait_s)
    return answer_job(record, StressResult, _summary, {"image_id": image_id})


def _summary(result: StressResult) -> str:
    return f"{(result.verdict or '').capitalize()}: {result.reason}"


def stressed(job: Job, wanted: Wanted, count: int, seed: int) -> StressResult:
    """Ask every changed sentence and compare its mask with the original's.

    Raises:
        BadCall: the description itself finds nothing, so there is no mask to lose.
    """
    desk = job.desk
    base = describe(job.part(0.0, 0.5), wanted)
    if not base.candidates:
        raise BadCall(
            f"The description finds nothing here ({base.verdict}): {base.reason} Only one that finds a mask can be tested."
        )
    first = base.candidates[0]
    mask = desk.store.mask(first.mask_id).array
    changed = variants(desk, wanted.description, count, seed)
    rows = []
    for number, variant in enumerate(changed):
        rows.append(_row(job.quiet(), wanted, variant, mask))
        job.report(0.5 + 0.5 * (number + 1) / len(changed), f"{number + 1} of {len(changed)} sentences")
    return _summed(wanted, first.mask_id, first.structure, rows, seed)


def variants(desk: Desk, description: Description, count: int, seed: int) -> list[Variant]:
    """The changed sentences, the same for the same seed."""
    rng = random.Random(f"{seed} {description.text}")
    made = _paraphrases(desk, description, count, rng)
    made += _swaps(desk, description)
    phrase = name(description, desk.table, "expert", rng).text
    bare = phrase.removeprefix("the ")
    made += [
        Variant("negation", text, "no mask") for text in (f"not {phrase}", f"There is no {bare}", f"without {phrase}")
    ]
    return made + [Variant("irrelevant", text, "no mask") for text in irrelevant()]


def _paraphrases(desk: Desk, description: Description, count: int, rng: random.Random) -> list[Variant]:
    kept: list[str] = []
    for number in range(30 * count):
        text = say(description, desk.table, "expert" if number % 2 else "lay", rng).text
        try:
            said = parse(text, desk.table)
        except BadDescription:
            continue
        fresh = not any(alike(text, other) for other in (description.text, *kept))
        if fresh and said.understood == 1 and same_meaning(said, description, description.structure):
            kept.append(text)
        if len(kept) == count:
            break
    return [Variant("paraphrase", text, "the same mask") for text in kept]


def _swaps(desk: Desk, description: Description) -> list[Variant]:
    """Each place word turned into its opposite, one at a time."""
    made: list[Variant] = []
    for place in dict.fromkeys(re.findall(r"\b(" + "|".join(_PLACES) + r")(?=\b|most\b)", description.text.lower())):
        text = re.sub(rf"\b{place}(?=\b|most\b)", _OTHER[place], description.text, flags=re.IGNORECASE)
        kind: Kind = "side_swap" if place in ("left", "right") else "location_swap"
        if text.lower() not in (description.text.lower(), *(one.text.lower() for one in made)):
            made.append(
                Variant(kind, text, "another mask that fits the new words, none, or a word that they do not fit")
            )
    return made


def _row(
    job: Job, wanted: Wanted, variant: Variant, mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> StressRow:
    desk = job.desk
    verdict: Verdict | Literal["refused"]
    try:
        changed = Wanted(wanted.image_id, parse(variant.text, desk.table), wanted.model, None, 3)
        answer = describe(job, changed)
        verdict, reason = answer.verdict or "absent", answer.reason
    except BadDescription as error:
        answer, verdict, reason = DescribedResult(image_id=wanted.image_id), "refused", str(error)
    best = answer.candidates[0] if answer.candidates else None
    overlap = dice(desk.store.mask(best.mask_id).array, mask) if best is not None else 0.0
    if variant.kind == "paraphrase":
        held = overlap >= SAME
    elif variant.kind in ("side_swap", "location_swap"):
        held = best is None or bool(best.failed) or overlap < SAME
    else:
        held = best is None
    return StressRow(
        kind=variant.kind,
        text=variant.text,
        expected=variant.expected,
        verdict=verdict,
        structure=best.structure if best is not None else None,
        dice_to_original=round(overlap, 4),
        held=held,
        reason=reason,
    )


def _summed(wanted: Wanted, mask_id: str, structure: str, rows: Sequence[StressRow], seed: int) -> StressResult:
    said = [row for row in rows if row.kind == "paraphrase"]
    swapped = [row for row in rows if row.kind in ("side_swap", "location_swap")]
    shares = {
        "paraphrase_stable": _share([row.held for row in said]),
        "swaps_followed": _share([row.held for row in swapped]),
        "swaps_lost": _share([row.dice_to_original < LOST for row in swapped]),
        "negations_refused": _share([row.held for row in rows if row.kind == "negation"]),
        "irrelevant_refused": _share([row.held for row in rows if row.kind == "irrelevant"]),
    }
    verdict, reason = judged(shares, len(said), len(swapped))
    made = StressResult(
        image_id=wanted.image_id,
        mask_id=mask_id,
        structure=structure,
        verdict=verdict,
        reason=reason,
        paraphrase_dice=round(float(np.mean([row.dice_to_original for row in said])), 4) if said else None,
        rows=list(rows),
        provenance=Provenance(
            tool="stress_description", version=__version__, inputs=[wanted.image_id, mask_id], seed=seed
        ),
    )
    return made.model_copy(update=shares)


def judged(
    shares: Mapping[str, float | None], said: int, swapped: int
) -> tuple[Literal["stable", "sensitive", "unstable"], str]:
    """The verdict: stable when every kind holds at 0.95, unstable when one is below 0.5 (own choices)."""
    wanted = {
        key: shares[key] for key in ("paraphrase_stable", "swaps_followed", "negations_refused", "irrelevant_refused")
    }
    known = {key: value for key, value in wanted.items() if value is not None}
    worst = min(known, key=lambda key: known[key])
    told = ", ".join(f"{key.replace('_', ' ')} {value:.0%}" for key, value in known.items())
    reason = f"{told} ({said} paraphrases, {swapped} swaps)."
    if known[worst] >= 0.95:
        return "stable", reason
    return ("unstable" if known[worst] < 0.5 else "sensitive"), f"{reason} Weakest: {worst.replace('_', ' ')}."


def _share(held: Sequence[bool]) -> float | None:
    return round(sum(held) / len(held), 4) if held else None
