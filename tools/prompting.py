"""`write_prompts`: sentences that point at a mask, each proven true of it and of nothing else."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from .. import __version__
from ..imaging.errors import BadCall
from ..retrieval.describe import BadDescription, Description
from ..retrieval.describe_parser import parse
from ..retrieval.prompts import FAMILIES, Draft, Family, Knowledge, agnostic_meanings, alike, drafts, leaked_names
from .candidates import everything
from .described import CLOSE
from .desk import Answer, Call, Desk
from .finding import Finder, Found
from .language_results import PromptRow, PromptsResult
from .matching import Scene, Scored, ranked
from .results import Provenance

_TRIES = 40  # drafts per wanted prompt; templates repeat themselves
_CLASS_WORDS = ("organ", "bone", "muscle")


def write_prompts(
    desk: Desk,
    call: Call,
    mask_id: Annotated[str | None, Field(description="The mask to point at; or give image_id and structure.")] = None,
    image_id: Annotated[str | None, Field(description="With structure: the image to segment it in.")] = None,
    structure: Annotated[str | None, Field(description="With image_id: its name, e.g. 'left kidney'.")] = None,
    kinds: Annotated[
        list[Literal["anatomy", "position", "size"]],
        Field(description="'anatomy' names it or its function; 'position' and 'size' name no structure."),
    ] = list(FAMILIES),  # noqa: B006  (read only; pydantic copies it)
    audience: Annotated[Literal["expert", "lay"], Field(description="Whose words.")] = "expert",
    n: Annotated[int, Field(description="Prompts in all.", ge=1, le=60)] = 6,
    seed: Annotated[int, Field(description="Same seed, same prompts.", ge=0)] = 0,
) -> Answer:
    """Write free-form prompts that describe one mask, for testing or training models that read sentences.

    Facts come from the mask and from what else was found on the scan. Each prompt was read back and proven
    to fit this mask and nothing else found there; `evidence` has the numbers, `sources` where words come from.
    Fewer than n come back where little singles the mask out. Not a report.
    Example: write_prompts(mask_id="msk_0123456789ab", kinds=["position"], audience="lay")
    """
    finder, target = subject(desk, call, mask_id, image_id, structure)
    writer = Writer(desk, finder, target, everything(finder))
    rows: list[PromptRow] = []
    missing = []
    for number, family in enumerate(kinds := list(dict.fromkeys(kinds))):
        share = n // len(kinds) + (number < n % len(kinds))
        written = writer.write(family, audience, share, seed)
        rows += written
        if len(written) < share:
            missing.append(f"Only {len(written)} of {share} {family} prompts single this mask out.")
    result = PromptsResult(
        image_id=finder.image_id,
        mask_id=target.mask_id,
        structure=target.found.thing.name,
        audience=audience,
        prompts=rows,
        rejected=dict(writer.rejected),
        reasons=missing,
        paraphraser=desk.settings.paraphraser or None,
        provenance=Provenance(tool="write_prompts", version=__version__, inputs=[target.mask_id], seed=seed),
    )
    first = " | ".join(row.text for row in rows[:4])
    return Answer(" ".join([f"{len(rows)} prompts for the {result.structure}: {first}", *missing])[:1500], result)


@dataclass(frozen=True)
class Subject:
    """The mask prompts are about."""

    mask_id: str
    found: Found


def subject(desk: Desk, call: Call, mask_id: str | None, image_id: str | None, structure: str | None) -> tuple[Finder, Subject]:
    """The mask that was named, or the one `segment` finds for a structure.

    Raises:
        BadCall: neither or both were given, the mask has no structure's name, or nothing was found.
    """
    if (mask_id is None) == (structure is None) or (structure is not None and image_id is None):
        raise BadCall("Give either mask_id, or image_id together with structure. Facts are computed from the mask.")
    if mask_id is not None:
        record = desk.store.mask_record(mask_id)
        if image_id not in (None, record.image_id):
            raise BadCall(f"{mask_id} belongs to {record.image_id}, not to {image_id}. Leave image_id out.")
        finder = Finder(desk, f"write_{mask_id}", record.image_id, call.report, call.cancelled)
        name = record.structure or "unnamed structure"
        thing = finder.thing(name, desk.store.mask(mask_id), float(record.facts.get("confidence", 1.0)), mask_id=mask_id)
        if thing is None:
            raise BadCall(f"{mask_id} is empty. Prompts need something to point at.")
        return finder, Subject(mask_id, Found(thing, "present", "given"))
    assert image_id is not None
    assert structure is not None
    finder = Finder(desk, f"write_{image_id}", image_id, call.report, call.cancelled)
    name = desk.table.resolve(structure).name
    found = finder.structures([name])
    if not found or found[0].row is None or found[0].row.mask_id is None:
        nothing = finder.missing(name)
        raise BadCall(f"The {name} has no mask on this image ({nothing.verdict}): {nothing.reason} Choose another.")
    if len(found) > 1:
        names = ", ".join(one.thing.name for one in found)
        raise BadCall(f"'{structure}' is several masks here: {names}. Name one of them.")
    return finder, Subject(found[0].row.mask_id, found[0])


class Writer:
    """Drafts prompts and keeps those that are proven.

    Attributes:
        rejected: why drafts were thrown away, and how many.
    """

    def __init__(self, desk: Desk, finder: Finder, target: Subject, pool: list[Found]) -> None:
        self.desk, self.finder, self.target = desk, finder, target
        name = target.found.thing.name
        others = [one for one in pool if one.thing.name != name]
        self.pool = [target.found, *others]
        self.scene = Scene(finder.image.grid)
        self.rejected: Counter[str] = Counter()

    def write(self, family: Family, audience: Literal["expert", "lay"], count: int, seed: int) -> list[PromptRow]:
        """At most `count` proven prompts of one family; the same seed writes the same."""
        rng = random.Random(f"{seed} {family} {audience} {self.target.mask_id}")
        meanings = self._meanings(family)
        knowledge = knowledge_of(self.target.found.thing.name) if family == "anatomy" else ()
        source = drafts(meanings, family, audience, self.desk.table, rng, knowledge=knowledge)
        kept: list[PromptRow] = []
        for draft in self._with_paraphrases(source, count):
            row = self._checked(draft, kept)
            if row is not None:
                kept.append(row)
            if len(kept) == count:
                break
        return kept

    def _with_paraphrases(self, source: Iterator[Draft], count: int) -> Iterator[Draft]:
        """Each draft, followed by what a configured chat model makes of it."""
        for _number, draft in zip(range(_TRIES * count), source, strict=False):
            if self.desk.paraphraser is not None:
                for text in self.desk.paraphraser(draft.text, 2):
                    label = f"paraphrase:{self.desk.settings.paraphraser}"
                    yield Draft(text, draft.family, draft.meaning, (*draft.sources, label))
            yield draft

    def _meanings(self, family: Family) -> list[Description]:
        """What may be said: for the agnostic families, whatever singles the mask out."""
        if family != "anatomy":
            return [one for one in agnostic_meanings(family) if self._proof(one) is not None][:12]
        row = self.desk.table.get(self.target.found.thing.name)
        if row is None or row.name != self.target.found.thing.name:
            return []
        return [Description(text="", kind="structure", structure=row.name)]

    def _proof(self, meaning: Description) -> Scored | None:
        """The mask's fits when every claim holds of it and of no other; else None."""
        rivals = self.pool if meaning.kind == "any" else [self.target.found]
        order = ranked([one.thing for one in rivals], meaning.claims, self.scene)
        mine = next(one for one in order if one.thing is self.target.found.thing)
        sure = mine.fits_all and all(fit.share == 1 for fit in mine.fits if fit.claim.kind in ("rank", "extreme"))
        close = [one for one in order if one is not mine and one.fit >= mine.fit - CLOSE and one.fits_all]
        return mine if sure and not close and order[0] is mine else None

    def _checked(self, draft: Draft, kept: list[PromptRow]) -> PromptRow | None:
        """The row of a draft that says what it means, is true, unique, new, and leaks no name."""
        try:
            read = parse(draft.text, self.desk.table)
        except BadDescription as error:
            return self._reject(f"not readable: {error.kind}")
        if not same_meaning(read, draft.meaning, self.target.found.thing.name):
            return self._reject("says something else")
        if read.understood < 1:
            return self._reject("holds words nobody understands")
        proof = self._proof(draft.meaning)
        if proof is None:
            return self._reject("not proven of the mask")
        if draft.family != "anatomy" and leaked_names(draft.text, self.desk.table, _CLASS_WORDS):
            return self._reject("names a structure")
        if any(alike(draft.text, row.text) for row in kept):
            return self._reject("near-duplicate")
        return PromptRow(
            text=draft.text,
            kind=draft.family,
            sources=[*draft.sources, f"mask:{self.target.mask_id}"],
            checked=True,
            claims=[str(claim) for claim in draft.meaning.claims] or [f"is the {self.target.found.thing.name}"],
            evidence=[f"{fit.claim}: {fit.reason}" for fit in proof.fits] or [f"segmented as {self.target.found.thing.name}"],
        )

    def _reject(self, why: str) -> None:
        self.rejected[why] += 1


def same_meaning(read: Description, meant: Description, name: str) -> bool:
    """Whether a sentence was read as it was meant; a side that the structure's name says already is no difference."""

    def claims(one: Description) -> set[object]:
        return {claim for claim in one.claims if not (one.kind == "structure" and claim.kind == "side" and claim.value in name)}

    same_target = (read.kind, read.structure, read.part, read.density) == (meant.kind, meant.structure, meant.part, meant.density)
    return same_target and claims(read) == claims(meant)


def knowledge_of(name: str) -> tuple[Knowledge, ...]:
    """Passages about a structure; none where the corpus is not installed."""
    return ()


def quiet() -> threading.Event:
    """An event nobody sets."""
    return threading.Event()
