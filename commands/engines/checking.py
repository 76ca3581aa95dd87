"""Trying an engine on a scan: does it run, on whose grid does it answer, in which axes was it taught, how good is it here."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...imaging.errors import BadCall
from ...imaging.masks.dice import dice
from ...imaging.volume import BoolArray, Grid, Volume
from ...models.external.card import card_of
from ...models.external.engine import Engine
from ...models.external.orientation import Array, Probe, Turn, probe_orientations
from ...models.external.predictor import load
from ...models.external.shelf import check_files, engine_of, keep_measured, save_engine
from ...models.interface import Clicks, Looks, Running
from ...tools.desk.desk import Desk
from ...tools.desk.settings import Settings
from ...tools.running import use
from .adding import installed
from .clicking import click_through

Report = Callable[[float, str], None]
FOUND = 0.5  # mean Dice from which the best order of axes is believed
APART = 0.02  # by which it must beat the next, unless they are the same order


def check_engine(
    name: str, image: Path | None, labels: Path | None, modality: str, report: Report, *, keep_axes: bool = False
) -> str:
    """What was found, in lines; axes and Dice are written down with the engine.

    Raises:
        OstensorError: what is wrong with the engine or the files.
    """
    engine = engine_of(name)
    report(0.01, "comparing its files")
    check_files(engine)
    lines = [f"'{name}': {len(engine.files)} files as they were when it was added.", installed(engine)]
    if image is None:
        return "\n".join(lines)
    with _opened(modality, image, *([labels] if labels is not None else [])) as (desk, image_id):
        volume = desk.store.volume(image_id)
        truth = _truth(desk, image_id, labels, engine) if labels is not None else {}
    if engine.accepts == "clicks":
        return "\n".join([*lines, *_clicked(engine, volume, truth, report)])
    if not truth:
        return "\n".join([*lines, _tried(engine, volume, report)])
    if not keep_axes and engine.orientation_from != "adapter":
        engine, told = _axes(engine, volume, truth, report)
        lines.append(told)
    return "\n".join([*lines, *_measured(engine, volume, truth, report)])


def opened_volume(image: Path, modality: str) -> Volume:
    """A scan as tools open it, without leaving anything behind."""
    with _opened(modality, image) as (desk, image_id):
        volume = desk.store.volume(image_id)
        return Volume(np.array(volume.array), volume.grid, volume.modality, volume.synthetic)


@contextmanager
def _opened(modality: str, image: Path, *others: Path) -> Iterator[tuple[Desk, str]]:
    """A desk of its own with a scan open and further files in its roots; nothing of it is left behind."""
    with tempfile.TemporaryDirectory(prefix="ostensor-check-") as folder:
        roots = tuple({path.resolve().parent for path in (image, *others)})
        with Desk(Settings(store=Path(folder), roots=roots, toolsets=("all",))) as desk:
            opened = use(desk, "open_image", path=str(image.resolve()), modality=modality).result
            yield desk, str(opened.image_id)  # type: ignore[attr-defined]


def _truth(desk: Desk, image_id: str, labels: Path, engine: Engine) -> dict[str, BoolArray]:
    """Structure of the engine's -> its true mask; labels are named by the file, else by the engine's own numbers."""
    by_number = {str(value): one.structure or one.label for one in engine.classes for value in one.values[:1]}
    found = use(desk, "import_mask", path=str(labels.resolve()), image_id=image_id).result
    truth = {}
    for row in found.masks:  # type: ignore[attr-defined]
        structure = row.structure.removeprefix("label ")
        structure = by_number.get(structure, structure)
        if engine.values_of(structure) or engine.accepts != "names":
            truth[structure] = desk.store.mask(row.mask_id).array
    if not truth:
        raise BadCall(
            f"None of the labels is known to '{engine.name}'. Label files must use its names, or its numbers: "
            f"{', '.join(f'{number} {name}' for number, name in list(by_number.items())[:20])}."
        )
    return truth


def _looked(engine: Engine, volume: Volume, structures: list[str], predictor: Looks) -> Mapping[str, BoolArray]:
    found, _asked = predictor.look(
        [volume], "", structures, progress=lambda share, message: None, cancelled=lambda: False
    )
    return {one.structure: one.array for one in found}


def _loaded(engine: Engine) -> Looks:
    card = card_of(engine)
    predictor = load(card, Path(card.weights_file), Running())
    assert isinstance(predictor, Looks)
    return predictor


def _clicked(engine: Engine, volume: Volume, truth: Mapping[str, BoolArray], report: Report) -> list[str]:
    if not truth:
        raise BadCall(f"'{engine.name}' draws from clicks. Give --mask too, so that there is something to click at.")
    card = card_of(engine)
    predictor = load(card, Path(card.weights_file), Running())
    assert isinstance(predictor, Clicks)
    try:
        found = click_through(predictor, volume, truth, report)
    finally:
        predictor.close()
    keep_measured(engine.name, _case(volume, truth), {name: values[-1] for name, values in found.items()})
    return [
        f"{name}: Dice {', '.join(f'{one:.3f}' for one in values)} after 1 to {len(values)} clicks."
        for name, values in found.items()
    ]


def _case(volume: Volume, truth: Mapping[str, BoolArray]) -> str:
    """A name for a scan with its labels."""
    case = hashlib.sha256(volume.content_hash.encode())
    for name, array in sorted(truth.items()):
        case.update(name.encode() + np.packbits(array).tobytes())
    return case.hexdigest()[:16]


def _tried(engine: Engine, volume: Volume, report: Report) -> str:
    report(0.1, "looking at the scan")
    predictor = _loaded(engine)
    try:
        names = [one.structure or one.label for one in engine.classes]
        found = _looked(engine, volume, names, predictor)
    finally:
        predictor.close()
    ml = volume.grid.voxel_ml
    sizes = [f"{name} {array.sum() * ml:.1f} ml" for name, array in found.items() if array.any()]
    return f"It answered on the scan's own grid and marked: {', '.join(sizes[:40]) or 'nothing'}."


def _axes(engine: Engine, volume: Volume, truth: Mapping[str, BoolArray], report: Report) -> tuple[Engine, str]:
    """The engine with the axes it does best in, and what to say of them."""
    as_stored = replace(engine, orientation="as-stored", orientation_from="assumed")
    predictor = _loaded(as_stored)
    predictor.spec = as_stored  # type: ignore[attr-defined]  # not what is written down
    tried = 0

    def dice_of(array: Array, grid: Grid, turn: Turn) -> float:
        nonlocal tried
        tried += 1
        report(0.05 + 0.85 * tried / 48, f"axes {grid.axis_codes}")
        found = _looked(as_stored, Volume(array, grid, volume.modality), list(truth), predictor)
        return float(np.mean([dice(turn.back(found[name]), array) for name, array in truth.items()]))

    try:
        found = probe_orientations(volume.array, volume.grid, dice_of)
    finally:
        predictor.close()
    best, twins = found[0], [one for one in found[1:] if one.dice > found[0].dice - APART]
    told = f"Of 48 orders of axes {best.codes} is best (mean Dice {best.dice:.3f}; next {found[1].codes} {found[1].dice:.3f})"
    if best.dice < FOUND:
        return (
            engine,
            f"{told}, too poor to believe. {engine.orientation} stays assumed; are scan and labels of its kind?",
        )
    assumed = (
        next(one for one in found if one.codes == engine.orientation) if engine.orientation != "as-stored" else best
    )
    if twins and assumed not in (best, *twins):
        names = ", ".join(one.codes for one in twins[:5])
        return (
            engine,
            f"{told}, but {names} do as well: label something that has a left and a right, a front and a back.",
        )
    chosen: Probe = assumed if assumed in (best, *twins) else best
    both_sides = all(any(side in name.split() for name in truth) for side in ("left", "right"))
    sure = not twins or both_sides  # orders that swap sides and still do well on both sides do no harm
    settled = replace(engine, orientation=chosen.codes, orientation_from="checked" if sure else "assumed")
    save_engine(settled)
    if not sure:
        return (
            settled,
            f"{told}; {len(twins) + 1} orders do equally well, so {chosen.codes} stays an assumption. Use labels of both sides.",
        )
    return settled, f"{told}: taken down as checked."


def _measured(engine: Engine, volume: Volume, truth: Mapping[str, BoolArray], report: Report) -> list[str]:
    report(0.92, "measuring")
    predictor = _loaded(engine)
    try:
        found = _looked(engine, volume, list(truth), predictor)
    finally:
        predictor.close()
    values = {name: dice(found[name], array) for name, array in truth.items() if array.any() or found[name].any()}
    kept = keep_measured(engine.name, _case(volume, truth), values)
    told = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
    return [
        f"Dice on this scan: {told or 'nothing was there, and nothing was marked'}.",
        f"Measured on {len(kept)} scan{'s' if len(kept) > 1 else ''} here; list_models and `auto` use the means.",
    ]
