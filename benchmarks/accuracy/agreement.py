"""The bundled CT networks on one real CT of the trunk: with its labels, and with each other.

`python -m ostensor.benchmarks.accuracy.agreement DATA --write docs/training.md` asks the tool as a caller would: by `auto`, then by the 3-D and the
2-D network by name. The labels are TotalSegmentator's, so this is agreement on one patient, not accuracy.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...imaging.masks.dice import dice
from ...imaging.volume import BoolArray
from ...models.catalogue import card
from ...tools.desk.desk import Desk
from ...tools.desk.results import SegmentResult
from ...tools.desk.settings import Settings
from ...tools.running import use
from ...training.data import example_ct
from ...training.report_sections import write_section
from ..machine import commit

VOLUMES, SLICES = "sat-mini-torso", "sat-mini-abdomen-2d"
TITLE = "Agreement on one trunk CT"
Found = Mapping[str, tuple[str, BoolArray]]


def measured(data: Path, *, threads: int = 2) -> str:
    """A Markdown table: Dice of every structure that a CT network claims and the labels hold."""
    case = example_ct.DATASET.cases(data, "test")[0]
    assert case.volume is not None
    with (
        tempfile.TemporaryDirectory() as folder,
        Desk(Settings(store=Path(folder), roots=(data,), threads=threads)) as desk,
    ):
        image = desk.store.add_image(case.volume, source_name="example").image_id
        known = {model: [n for n in example_ct.STRUCTURES if n in card(model).claimed] for model in (VOLUMES, SLICES)}
        every = [name for name in example_ct.STRUCTURES if any(name in names for names in known.values())]
        auto = _asked(desk, image, every, "auto")
        deep, flat = (_asked(desk, image, names, model) for model, names in known.items())
    lines = [
        f"| structure | `auto` took | `auto` | {VOLUMES} | {SLICES} | {VOLUMES} with {SLICES} |",
        f"|{'---|' * 6}",
    ]
    for name in every:
        truth = np.isin(case.labels, example_ct.STRUCTURES[name])
        model = auto[name][0] if name in auto else "-"
        own = [_dice(found.get(name), truth) for found in (auto, deep, flat)]
        between = _dice(deep.get(name), flat[name][1]) if name in flat else "-"
        lines.append(f"| {name} | {model} | {' | '.join(own)} | {between} |")
    return "\n".join(lines)


def _asked(desk: Desk, image: str, names: list[str], model: str) -> Found:
    """Structure -> the model that answered and its mask; those without a mask are left out."""
    result = use(desk, "segment", image_id=image, structures=names, model=model, wait_s=300).result
    assert isinstance(result, SegmentResult)
    return {
        row.structure: (row.provenance.model or "-", desk.store.mask(row.mask_id).array)
        for row in result.masks
        if row.mask_id is not None
    }


def _dice(found: tuple[str, BoolArray] | None, truth: BoolArray) -> str:
    if found is None:
        return "-"
    return f"{dice(found[1], truth):.3f}"


def main(data: Path, threads: int = 2, write: Path | None = None) -> None:
    """Print the table; `--write docs/training.md` puts it into the report."""
    table = measured(data, threads=threads)
    print(table)
    if write is not None:
        command = "`python -m ostensor.benchmarks.accuracy.agreement DATA --write docs/training.md`"
        note = f"{command}, commit {commit()}. Dice; labels of TotalSegmentator; one patient, kept out of training, on which the smoothing (3 mm) was chosen."
        write_section(TITLE, f"{note}\n\n{table}", write)


if __name__ == "__main__":
    import typer

    typer.run(main)
