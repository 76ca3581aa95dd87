"""`find_structures` and `list_models`: what there is to ask for, without loading any model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...imaging.masks.measures import covered_mm
from ...models import catalogue
from ...models.backbones.row import Backbone
from ...models.backbones.table import BACKBONES
from ...models.card import Card
from ...retrieval.anatomy.structures import THRESHOLD, Structure
from ..desk.desk import Answer, Call, Desk, allowed_use
from ..desk.results import ModelRow, ModelsResult, StructureRow, StructuresResult

ModelTask = Literal["segment", "refer", "refine", "synthesize", "translate", "backbone"]


def find_structures(
    desk: Desk,
    call: Call,
    query: Annotated[
        str,
        Field(
            description="Any word: 'kidneys', 'lt femur', 'A. renalis', 'belly'.",
            min_length=1,
            max_length=200,
        ),
    ],
    image_id: Annotated[str | None, Field(description="Only `models` that take this image.")] = None,
) -> Answer:
    """Find a structure's canonical name and the models that segment it.

    For refused names. Understands abbreviations, Latin, lay words, sides, misspellings, not descriptions. No `models`: segment
    answers 'unsupported'; no rows: no anatomy known here. Score 1: exact term. Example: find_structures(query="bladder")
    """
    del call
    image = desk.store.image(image_id) if image_id else None
    modality = image.modality if image else None
    dims = (2 if image.grid.is_2d else 3) if image else None
    extent = max(covered_mm(image.grid)) if image and image.grid.spacing_known else None
    rows, nearest = [], []
    for row, score in desk.table.search(query, 6):
        if score < THRESHOLD:
            nearest.append(row.name)
            continue
        models = catalogue.models_for(row.name, modality, dims, extent_mm=extent, purpose=allowed_use(desk))
        rows.append(_row(row, score, [model.name for model in models]))
    if not rows:
        text = f"No structure is called '{query[:60]}'. Nearest in spelling: {', '.join(nearest[:3])}."
        return Answer(text, StructuresResult(structures=[], nearest=nearest[:3]))
    best = rows[0]
    with_model = [row.structure for row in rows if row.models]
    text = f"Best match for '{query[:60]}': {best.structure} (score {best.score:.2f}). "
    text += f"Segmentable: {', '.join(with_model)}." if with_model else "No bundled model segments any of these."
    return Answer(text, StructuresResult(structures=rows))


def _row(row: Structure, score: float, models: list[str]) -> StructureRow:
    return StructureRow(
        structure=row.name,
        score=score,
        side=row.side,
        regions=list(row.regions),
        parent=row.parent,
        part_of=row.part_of,
        synonyms=list(row.synonyms)[:6],
        lay=list(row.lay)[:6],
        uberon=row.uberon,
        fma=row.fma,
        volume_ml=list(row.volume_ml) if row.volume_ml else None,
        volume_source=row.volume_source,
        models=models,
    )


def list_models(
    desk: Desk,
    call: Call,
    structure: Annotated[str | None, Field(description="Only those that segment this.")] = None,
    task: Annotated[ModelTask | None, Field(description="Only models of this task.")] = None,
) -> Answer:
    """List models: what each takes, claims, needs, licence, Dice.

    segment's 'auto' is usually right. `dice`: ours, held-out. backbone: untrained. `fidelity`: parity (official outputs),
    structural (as published), reconstruction (parts unpublished), library, own, external (engine). Example: list_models(structure="liver")
    """
    del call
    if task == "backbone":
        rows = [] if structure is not None else [_backbone(row) for row in BACKBONES]
        text = f"{len(rows)} backbones, networks that have no weights and are trained: `ostensor fit CONFIG` with backbone = NAME."
        return Answer(text, ModelsResult(models=rows))
    cards = list(catalogue.catalogue())
    asleep: list[str] = []
    if structure is not None:
        name = desk.table.resolve(structure).name
        able = [card for card in cards if name in card.claimed or card.open_text]
        asleep = [card.name for card in able if not card.is_ready and card.task in ("segment", "refer")]
        cards = [card for card in able if card.is_ready]
    if structure is not None and task is None:  # who asks by structure wants it found, not painted
        cards = [card for card in cards if card.task not in ("synthesize", "translate")]
    if task is not None:
        cards = [card for card in cards if card.task == task]
    ready = [card.name for card in cards if card.is_ready]
    text = f"{len(cards)} models fit; ready to use: {', '.join(ready) or 'none'}."
    if asleep:
        text += f" Without weights here: {', '.join(asleep)} (`ostensor models show NAME` says how to get them)."
    return Answer(text, ModelsResult(models=[_model(card) for card in cards]))


def _backbone(row: Backbone) -> ModelRow:
    return ModelRow(
        model=row.name,
        title=f"{row.system}; {row.source}",
        task="backbone",
        modalities=[],
        dimensions=list(row.dims),
        structures=[],
        open_text=False,
        spacing_mm=None,
        memory_mb=0,
        weights="none",
        licence=f"of its authors' code, none of which is used: {row.licence or 'not stated'}",
        purpose="any",
        fidelity=row.fidelity,
        dice={},
        notes=" ".join([f"Presets: {', '.join(row.presets)}.", *row.deviations]),
    )


def _model(card: Card) -> ModelRow:
    return ModelRow(
        model=card.name,
        title=card.title,
        task=card.task,
        modalities=list(card.modalities),
        dimensions=list(card.dimensions),
        structures=list(card.claimed),
        open_text=card.open_text,
        spacing_mm=list(card.spacing_mm) if card.spacing_mm else None,
        memory_mb=card.memory_mb,
        weights=card.weights,
        licence=card.licence,
        purpose=card.purpose,
        fidelity=card.fidelity,
        dice={name: round(card.measured[name].dice, 3) for name in card.claimed if name in card.measured},
        notes=card.notes,
    )
