"""`ostensor batch`: segment and measure many scans into one table, with a bar; called again it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..imaging.errors import BadCall
from .options import PurposeOption, RootOption, StoreOption, WorkersOption, opened_desk, shown_progress

if TYPE_CHECKING:
    from ..tools.cohorts.results import BatchResult


def batch(
    paths: Annotated[
        list[str], typer.Argument(help="Scans, folders of scans, or patterns in quotes ('cohort/*.nii.gz').")
    ],
    structures: Annotated[str, typer.Option(help="Names with commas between, e.g. 'liver,left kidney'.")],
    out: Annotated[
        Path, typer.Option(help="Folder inside a root for table and contact sheets; made if missing.")
    ] = Path(),
    what: Annotated[
        str,
        typer.Option(help="With commas: volume, diameters, intensity, shape, radiomics; default: all but radiomics."),
    ] = "",
    formats: Annotated[str, typer.Option(help="With commas: csv, parquet, xlsx; default: what is installed.")] = "",
    modality: Annotated[str, typer.Option(help="auto, ct, mr, pet, us, xr or photo.")] = "auto",
    model: Annotated[str, typer.Option(help="'auto', or a name from `ostensor models list`.")] = "auto",
    allow_synthetic: Annotated[bool, typer.Option(help="Measure synthetic images, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Structured answer on standard output.")] = False,
    store: StoreOption = None,
    root: RootOption = None,
    purpose: PurposeOption = "research",
    workers: WorkersOption = "local",
) -> None:
    """Segment and measure many scans; interrupted, the same command goes on. Exit status 1 when a scan failed."""
    from ..tools.desk.desk import Call
    from ..tools.running import run_named

    with opened_desk(store, root, "all", purpose, workers=workers) as desk:
        folder = desk.roots.inside(out, must_exist=False)
        folder.mkdir(parents=True, exist_ok=True)
        arguments: dict[str, Any] = {
            "paths": paths,
            "structures": _listed(structures),
            "what": _listed(what) or None,
            "folder": str(folder),
            "modality": modality,
            "model": model,
            "formats": _listed(formats) or None,
            "allow_synthetic": allow_synthetic,
        }
        if not arguments["structures"]:
            raise BadCall("--structures is empty. Name at least one, e.g. --structures liver,spleen.")
        with shown_progress("batch") as report:
            result: Any = run_named(desk, Call(report, waits_for_the_end=True), "run_batch", arguments).result
    if as_json:
        typer.echo(json.dumps(result.model_dump(mode="json")))
    else:
        show(result, Console())
    raise typer.Exit(1 if result.cohort.failed else 0)


def show(result: BatchResult, console: Console) -> None:
    """What stands out as a table, then what failed and where the files lie."""
    assert result.cohort is not None
    if result.flagged:
        table = Table(
            "scan", "structure", "ml", "score", "flags", title=f"{result.cohort.flagged_in_all} masks to look at"
        )
        for row in result.flagged:
            volume, score = ("" if value is None else f"{value:g}" for value in (row.volume_ml, row.score))
            table.add_row(str(row.scan), row.structure, volume, score, ", ".join(row.flags))
        console.print(table)
    for one in result.errors:
        console.print(f"[red]scan {one.scan}[/] {one.error}", soft_wrap=True, highlight=False)
    console.print(result.summary, soft_wrap=True, highlight=False, markup=False)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
