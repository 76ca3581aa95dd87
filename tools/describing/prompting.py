"""`write_prompts`: sentences that point at a mask, each proven true of it and of nothing else."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from pydantic import Field

from ... import __version__
from ...imaging.errors import BadCall
from ...retrieval.descriptions.description import BadDescription, Description
from ...retrieval.descriptions.parser import parse
from ...retrieval.descriptions.prompts import (
    FAMILIES,
    Draft,
    Family,
    Knowledge,
    agnostic_meanings,
    alike,
    drafts,
    leaked_names,
)
from ...retrieval.descriptions.wording import Audience
from ..desk.desk import Answer, Call, Desk
from ..desk.job import Job, answer_job, run_job
from ..desk.results import Provenance
from .candidates import everything
from .described import CLOSE
from .finding import Finder, Found
from .matching import ranked
from .results import PromptRow, PromptsResult
from .things import Fit, Scene, Scored

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
    wait_s: Annotated[float, Field(description="Seconds to wait before a job_id is returned.", ge=0, le=300)] = 20.0,
) -> Answer:
    """Write free-form prompts that describe one mask, for testing or training models that read sentences.

    Facts come from the mask and from what else was found on the scan. Each prompt was read back and proven
    to fit this mask and nothing else found there; `evidence` has the numbers, `sources` where words come from.
    Fewer than n come back where little singles the mask out. Not a report.
    Example: write_prompts(mask_id="msk_...", kinds=["position"], audience="lay")
    """
    wanted = Ask(mask_id, image_id, structure, tuple(dict.fromkeys(kinds)), audience, n, seed)
    check(desk, wanted)

    def work(job: Job) -> PromptsResult:
        return write(job, wanted)

    record = run_job(desk, call, "write_prompts", asdict(wanted), work, wait_s=wait_s)
    return answer_job(record, PromptsResult, _summary, {"image_id": image_id or ""})


def _summary(result: PromptsResult) -> str:
    first = " | ".join(row.text for row in result.prompts[:4])
    text = f"{len(result.prompts)} prompts for the {result.structure}: {first}"
    return " ".join([text, *result.reasons])[:1500]


@dataclass(frozen=True)
class Ask:
    """The arguments of one call."""

    mask_id: str | None
    image_id: str | None
    structure: str | None
    kinds: tuple[Family, ...]
    audience: Audience
    n: int
    seed: int


def write(job: Job, ask: Ask) -> PromptsResult:
    """Find the mask and what else the scan shows, then write and prove."""
    finder, target = subject(job, ask)
    writer = Writer(job.desk, finder, target, everything(finder))
    rows: list[PromptRow] = []
    missing = []
    for number, family in enumerate(ask.kinds):
        share = ask.n // len(ask.kinds) + (number < ask.n % len(ask.kinds))
        made = writer.write(family, ask.audience, share, ask.seed)
        rows += made
        if len(made) < share:
            missing.append(f"Only {len(made)} of {share} {family} prompts single this mask out.")
    return PromptsResult(
        image_id=finder.image_id,
        mask_id=target.mask_id,
        structure=target.found.thing.name,
        audience=ask.audience,
        prompts=rows,
        rejected=dict(writer.rejected),
        reasons=missing,
        paraphraser=job.desk.settings.paraphraser or None,
        provenance=Provenance(tool="write_prompts", version=__version__, inputs=[target.mask_id], seed=ask.seed),
    )


@dataclass(frozen=True)
class Subject:
    """The mask prompts are about."""

    mask_id: str
    found: Found


def check(desk: Desk, ask: Ask) -> None:
    """Refuse calls that name no mask, two, or one that is not there.

    Raises:
        BadCall: see above.
    """
    if (ask.mask_id is None) == (ask.structure is None) or (ask.structure is not None and ask.image_id is None):
        raise BadCall("Give either mask_id, or image_id together with structure. Facts are computed from the mask.")
    if ask.mask_id is not None:
        record = desk.store.mask_record(ask.mask_id)
        if ask.image_id not in (None, record.image_id):
            raise BadCall(f"{ask.mask_id} belongs to {record.image_id}, not to {ask.image_id}. Leave image_id out.")
        if not record.voxels:
            raise BadCall(f"{ask.mask_id} is empty. Prompts need something to point at.")
    else:
        desk.store.image(ask.image_id or "")
        desk.table.resolve(ask.structure or "")


def subject(job: Job, ask: Ask) -> tuple[Finder, Subject]:
    """The mask that was named, or the one `segment` finds for a structure.

    Raises:
        BadCall: the structure has no mask on the image, or several.
    """
    desk = job.desk
    if ask.mask_id is not None:
        record = desk.store.mask_record(ask.mask_id)
        finder = Finder(job, record.image_id)
        name = record.structure or "unnamed structure"
        sure = float(record.facts.get("confidence") or record.facts.get("mean_sigmoid") or 1.0)
        thing = finder.thing(name, desk.store.mask(ask.mask_id), sure, mask_id=ask.mask_id)
        assert thing is not None
        return finder, Subject(ask.mask_id, Found(thing, "present", "given"))
    finder = Finder(job, ask.image_id or "")
    name = desk.table.resolve(ask.structure or "").name
    found = finder.structures([name])
    if not found or found[0].row is None or found[0].row.mask_id is None:
        nothing = finder.missing(name)
        raise BadCall(f"The {name} has no mask on this image ({nothing.verdict}): {nothing.reason} Choose another.")
    if len(found) > 1:
        names = ", ".join(one.thing.name for one in found)
        raise BadCall(f"'{ask.structure}' is several masks here: {names}. Name one of them.")
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
        self.scene = Scene.of(finder.image)
        self.rejected: Counter[str] = Counter()

    def write(self, family: Family, audience: Audience, count: int, seed: int) -> list[PromptRow]:
        """At most `count` proven prompts of one family; the same seed writes the same."""
        rng = random.Random(f"{seed} {family} {audience} {self.target.mask_id}")
        meanings = self._meanings(family)
        knowledge = knowledge_of(self.desk, self.target.found.thing.name) if family == "anatomy" else ()
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
        sure = all(_beyond_doubt(fit) for fit in mine.fits)
        close = [one for one in order if one is not mine and one.fit >= mine.fit - CLOSE and one.fits_all]
        return mine if sure and not close and order[0] is mine else None

    def _checked(self, draft: Draft, kept: list[PromptRow]) -> PromptRow | None:
        """The row of a draft that says what it means, is true, unique, new, and leaks no name."""
        why = self._fault(draft, kept)
        proof = self._proof(draft.meaning) if not why else None
        if proof is None:
            self.rejected[why or "not proven of the mask"] += 1
            return None
        name = self.target.found.thing.name
        return PromptRow(
            text=draft.text,
            kind=draft.family,
            sources=[*draft.sources, f"mask:{self.target.mask_id}"],
            checked=True,
            claims=[str(claim) for claim in draft.meaning.claims] or [f"is the {name}"],
            evidence=[f"{fit.claim}: {fit.reason}" for fit in proof.fits] or [f"{self.target.mask_id} is the {name}"],
        )

    def _fault(self, draft: Draft, kept: list[PromptRow]) -> str:
        """What is wrong with the words of a draft; "" when nothing is."""
        try:
            read = parse(draft.text, self.desk.table)
        except BadDescription as error:
            return f"not readable: {error.kind}"
        if not same_meaning(read, draft.meaning, self.target.found.thing.name):
            return "says something else"
        if read.understood < 1:
            return "holds words nobody understands"
        if draft.family != "anatomy" and leaked_names(draft.text, self.desk.table, _CLASS_WORDS):
            return "names a structure"
        return "near-duplicate" if any(alike(draft.text, row.text) for row in kept) else ""


def _beyond_doubt(fit: Fit) -> bool:
    """A claim a prompt may make: wholly true, and where it compares, among more than its own rank."""
    if fit.claim.kind in ("rank", "extreme"):
        return fit.share == 1 and fit.among > max(1, fit.claim.rank)
    return fit.share is not None and fit.share >= 0.99


def same_meaning(read: Description, meant: Description, name: str) -> bool:
    """Whether a sentence was read as it was meant; a side that the structure's name says already is no difference."""

    def claims(one: Description) -> set[object]:
        return {
            claim
            for claim in one.claims
            if not (one.kind == "structure" and claim.kind == "side" and claim.value in name)
        }

    same_target = (read.kind, read.structure, read.part, read.density) == (
        meant.kind,
        meant.structure,
        meant.part,
        meant.density,
    )
    return same_target and claims(read) == claims(meant)


def knowledge_of(desk: Desk, name: str) -> tuple[Knowledge, ...]:
    """Passages about a structure or its pair, found by the retriever."""
    row = desk.table.get(name)
    about = {name, row.parent if row is not None and row.side in ("left", "right") else name}
    found = desk.knowledge.retriever.search(f"what kind of structure is the {name}", 12)
    return tuple(Knowledge(one.passage.id, one.passage.text) for one in found if one.passage.structure in about)
