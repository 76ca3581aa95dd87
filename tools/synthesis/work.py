"""How a synthesis tool is carried out: masks and their names, the engine, the job, and the marked image."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ... import __version__
from ...imaging.errors import BadCall, Unavailable
from ...imaging.volume import Grid, Mask, Volume
from ...models.synthesis.conditions import label_map
from ...models.synthesis.jobs import CLASSICAL, STEPS, Quality, SynthesisJob, Synthesized, Task, memory_mb
from ...models.synthesis.priors import prior
from ...models.synthesis.scales import Background, Made
from ...models.synthesizers import best_synthesis_network, synthesis_network, synthesis_networks, translator
from ...workers.protocol import SynthesisRequest
from ..desk.desk import Answer, Call, Desk
from ..desk.job import Job, answer_job, run_job
from ..desk.results import Provenance
from .files import check_target, save
from .results import MadeMask, SynthesisResult


@dataclass(frozen=True)
class NamedMask:
    """A mask, its canonical name, and what it is or is part of."""

    structure: str
    kinds: tuple[str, ...]
    mask: Mask
    handle: str


@dataclass(frozen=True)
class Wanted:
    """One image to make, checked."""

    task: Task
    engine: str
    modality: Made
    seed: int
    quality: Quality
    steps: int | None
    masks: Sequence[NamedMask] = ()
    image_id: str | None = None
    background: Background = "auto"
    save_as: str | None = None
    keep_labelled: bool = True
    margin_voxels: int = 0

    @property
    def denoising(self) -> int:
        """Steps to take; none without a network."""
        return 0 if self.engine == CLASSICAL else self.steps or STEPS[self.quality]


def made_modality(modality: str, task: str) -> Made:
    """The image's modality, when it is one that can be made.

    Raises:
        BadCall: it is not.
    """
    if modality == "ct":
        return "ct"
    if modality == "mr":
        return "mr"
    raise BadCall(
        f"An image of modality '{modality}' cannot be used to {task}. Allowed: ct, mr. Open it with modality set."
    )


def named_masks(
    desk: Desk,
    mask_ids: Sequence[str] | None,
    structures: Sequence[str] | None,
    label_image_id: str | None,
    label_names: Sequence[str] | None,
) -> list[NamedMask]:
    """The masks with canonical names, all on one grid, none empty.

    Raises:
        BadCall: no or empty masks, several grids, or a mask without a name.
        UnknownStructure: a name the anatomy table does not know; the nearest are offered.
    """
    if (mask_ids is None) == (label_image_id is None):
        raise BadCall("Give either mask_ids or label_image_id, not both and not neither.")
    if label_image_id is not None:
        found = _from_labels(desk, label_image_id, label_names or ())
    else:
        found = _from_masks(desk, mask_ids or (), structures)
    if not found:
        raise BadCall("There is no mask. Give at least one mask, or one label with its name.")
    first = found[0].mask.grid
    for one in found:
        if not one.mask.grid.same_as(first):
            raise BadCall(
                f"The masks lie on different grids: {found[0].handle} has shape {first.shape}, {one.handle} "
                f"{one.mask.grid.shape} or another place. Give masks of one grid."
            )
        if not one.mask.array.any():
            raise BadCall(f"The mask {one.handle} ('{one.structure}') is empty. Leave it out.")
    return found


def _from_masks(desk: Desk, mask_ids: Sequence[str], structures: Sequence[str] | None) -> list[NamedMask]:
    if structures is not None and len(structures) != len(mask_ids):
        raise BadCall(f"{len(structures)} names for {len(mask_ids)} masks. Give one name per mask.")
    found = []
    for number, mask_id in enumerate(mask_ids):
        name = structures[number] if structures is not None else desk.store.mask_record(mask_id).structure
        if not name:
            raise BadCall(f"The mask {mask_id} has no structure. Name every mask in `structures`.")
        found.append(_named(desk, name, desk.store.mask(mask_id), mask_id))
    return found


def _from_labels(desk: Desk, image_id: str, names: Sequence[str]) -> list[NamedMask]:
    volume = desk.store.volume(image_id)
    array = np.asarray(volume.array)
    if array.dtype.kind == "f" and not np.array_equal(array, np.rint(array)):
        raise BadCall(f"'{image_id}' holds values between whole numbers, so it is no label map. Give mask_ids.")
    found = []
    for entry in names:
        value, _, name = entry.partition("=")
        if not name or not value.strip().isdigit():
            raise BadCall(f"'{entry[:40]}' is no 'value=structure'. Write for example '1=liver'.")
        found.append(_named(desk, name.strip(), Mask(array == int(value), volume.grid), f"label {int(value)}"))
    return found


def _named(desk: Desk, name: str, mask: Mask, handle: str) -> NamedMask:
    row = desk.table.resolve(name)
    kinds = tuple(text for text in (row.is_a, row.parent, row.part_of) if text)
    return NamedMask(row.name, kinds, mask, handle)


def chosen_engine(desk: Desk, engine: str, modality: Made, structures: Sequence[str]) -> str:
    """The engine by its name; 'auto' is the network taught most of the structures whose images follow their masks, else the classical one.

    Raises:
        BadCall: no such engine, or one that makes another modality.
        Unavailable: it may not be used for this purpose.
    """
    if engine == CLASSICAL:
        return CLASSICAL
    if engine == "auto":
        found = best_synthesis_network(set(structures), modality, purpose=desk.settings.purpose)
        return found.name if found else CLASSICAL
    one = synthesis_network(engine)
    if one.task != "synthesize" or modality not in one.makes:
        able = ", ".join(
            p.name for p in synthesis_networks().values() if p.task == "synthesize" and modality in p.makes
        )
        raise BadCall(
            f"'{engine}' cannot make {modality} from masks. These can: classical{', ' + able if able else ''}."
        )
    if desk.settings.purpose == "commercial" and one.purpose != "any":
        raise Unavailable(f"'{engine}' is for research only ({one.licence}). Use engine='classical'.")
    return engine


def chosen_translator(desk: Desk) -> str:
    """The bundled translator.

    Raises:
        Unavailable: there is none for this purpose.
    """
    found = translator(purpose=desk.settings.purpose)
    if found is None:
        raise Unavailable("No translation network is here. Train one with `ostensor fit translate-torso`.")
    return found.name


def answered(desk: Desk, call: Call, tool: str, wanted: Wanted, wait_s: float) -> Answer:
    """Run the job, wait a little, and answer the image or the job."""
    grid = _grid(desk, wanted)
    target = check_target(desk, wanted.save_as)
    needed = memory_mb(wanted.engine, grid)
    arguments = {
        "engine": wanted.engine, "modality": wanted.modality, "image_id": wanted.image_id, "seed": wanted.seed,
        "steps": wanted.denoising, "masks": [[one.handle, one.structure, one.mask.content_hash] for one in wanted.masks],
        "background": wanted.background, "save_as": wanted.save_as, "keep_labelled": wanted.keep_labelled,
        "margin_voxels": wanted.margin_voxels, "memory_mb": needed,
    }  # fmt: skip

    def work(job: Job) -> SynthesisResult:
        return _made(job, tool, wanted, grid, target, needed)

    record = run_job(desk, call, tool, arguments, work, wait_s=wait_s)
    known = {"modality": wanted.modality, "engine": wanted.engine, "seed": wanted.seed, "steps": wanted.denoising}
    return answer_job(
        record,
        SynthesisResult,
        lambda result: result.summary,
        {**known, "memory_mb": needed},
        hint=f" It needs about {needed} MB.",
    )


def _grid(desk: Desk, wanted: Wanted) -> Grid:
    return desk.store.image(wanted.image_id).grid if wanted.image_id else wanted.masks[0].mask.grid


def _made(job: Job, tool: str, wanted: Wanted, grid: Grid, target: Path | None, needed: int) -> SynthesisResult:
    desk = job.desk
    with tempfile.TemporaryDirectory(prefix="ostensor-") as folder:
        labels = label_map([one.mask.array for one in wanted.masks]) if wanted.masks else None
        path = Path(folder) / "labels.npy"
        if labels is not None:
            np.save(path, labels, allow_pickle=False)
        source = desk.store.image(wanted.image_id) if wanted.image_id else None
        order = SynthesisJob(
            task=wanted.task,
            engine=wanted.engine,
            modality=wanted.modality,
            grid=grid,
            seed=wanted.seed,
            steps=max(1, wanted.denoising),
            names={number + 1: one.structure for number, one in enumerate(wanted.masks)},
            kinds={one.structure: one.kinds for one in wanted.masks},
            labels_path="" if labels is None else str(path),
            source_path=str(desk.store.array_path(wanted.image_id)) if wanted.image_id else "",
            source_modality=source.modality if source else "",
            background=wanted.background,
            keep_labelled=wanted.keep_labelled,
            dilate=wanted.margin_voxels,
            threads=desk.settings.threads,
        )
        request = SynthesisRequest(job.id, order)
        synthesized = desk.workers.synthesize(
            request, on_progress=job.report, cancelled=job.cancelled, memory_mb=needed
        )
    job.report(0.97, "keeping the image")
    return _kept(desk, tool, wanted, grid, target, needed, synthesized)


def _kept(
    desk: Desk, tool: str, wanted: Wanted, grid: Grid, target: Path | None, needed: int, synthesized: Synthesized
) -> SynthesisResult:
    volume = Volume(synthesized.array, grid, wanted.modality, synthetic=True)
    inputs = [one.handle for one in wanted.masks] + ([wanted.image_id] if wanted.image_id else [])
    known = None if wanted.engine == CLASSICAL else synthesis_network(wanted.engine)
    provenance = Provenance(
        tool=tool,
        version=__version__,
        inputs=inputs,
        model=wanted.engine,
        weights_sha256=synthesized.weights_sha256 or None,
        licence=known.licence if known else None,
        purpose=known.purpose if known else None,
        engine=f"{wanted.denoising} denoising steps" if wanted.denoising else "priors, grain, blur, noise",
        seed=wanted.seed,
    )
    unit = "HU" if wanted.modality == "ct" else ""
    facts = {
        "warnings": list(synthesized.notes),
        "format": "synthetic",
        "unit": unit,
        "provenance": provenance.model_dump(mode="json"),
    }
    record = desk.store.add_image(volume, source_name=f"synthetic {wanted.modality}", facts=facts)
    rows = [_row(desk, record.image_id, one, wanted, synthesized, provenance) for one in wanted.masks]
    warnings = [*synthesized.notes, *_unlike(rows, wanted.modality)]
    seam = _seam(wanted, synthesized) if wanted.task == "inpaint" else None
    if seam is not None and seam > 2:  # as quality.seam_ratio
        warnings.append(f"A seam shows where kept and new parts meet (ratio {seam:.1f}, 2 is the limit).")
    files = save(desk, target, volume, record.image_id, f"{wanted.engine}, seed {wanted.seed}") if target else []
    by_prior = [row.structure for row in rows if row.painted_by == "prior"]
    summary = f"Made {record.image_id}, a synthetic {wanted.modality} of {' x '.join(map(str, grid.shape))} voxels by {wanted.engine}."
    if by_prior and wanted.engine != CLASSICAL:
        summary += f" By their prior, as the network was not taught them: {', '.join(by_prior[:8])}."
    return SynthesisResult(
        image_id=record.image_id, modality=wanted.modality, unit=unit, engine=wanted.engine, seed=wanted.seed,
        steps=wanted.denoising, memory_mb=needed, masks=rows, seam_ratio=seam, files=files, warnings=warnings,
        summary=" ".join([summary, *warnings])[:1500], provenance=provenance,
    )  # fmt: skip


def _row(
    desk: Desk, image_id: str, one: NamedMask, wanted: Wanted, synthesized: Synthesized, provenance: Provenance
) -> MadeMask:
    made = desk.store.add_mask(
        one.mask,
        image_id=image_id,
        structure=one.structure,
        made_by=f"condition of {image_id}",
        facts={"provenance": provenance.model_dump(mode="json")},
    )
    look = prior(one.structure, wanted.modality, one.kinds)
    return MadeMask(
        structure=one.structure,
        mask_id=made.mask_id,
        painted_by="prior" if one.structure in synthesized.by_prior else "source" if _is_kept(wanted) else "network",
        tissue=look.tissue,
        tissue_by=look.found_by,
        median=float(np.median(synthesized.array[one.mask.array])),
    )


def _is_kept(wanted: Wanted) -> bool:
    return wanted.task == "inpaint" and wanted.keep_labelled


def _unlike(rows: Sequence[MadeMask], modality: Made) -> list[str]:
    """Structures whose median lies outside what is known of them; the check MAISI makes (arXiv 2409.11169)."""
    from ...imaging.plausibility.priors import Priors

    if modality != "ct":
        return []
    odd = []
    for row in rows:
        known = Priors.bundled().get(row.structure, "median_hu")
        if known is not None and not known.low <= row.median <= known.high:
            odd.append(f"{row.structure}: median {row.median:.0f} HU, usual {known.low:.0f} to {known.high:.0f}.")
    return odd


def _seam(wanted: Wanted, synthesized: Synthesized) -> float | None:
    from scipy import ndimage

    from ...models.synthesis.quality import seam_ratio

    labelled = np.any([one.mask.array for one in wanted.masks], axis=0)
    if wanted.keep_labelled and wanted.margin_voxels:
        labelled = ndimage.binary_dilation(labelled, iterations=wanted.margin_voxels)
    found = seam_ratio(synthesized.array.astype(np.float32), labelled)
    return None if found is None else round(found, 3)
