"""`ostensor eval`: what a run, a network or the agent is worth on held-out data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ...imaging.errors import BadCall
from .fit import Config
from .folders import DataOption, IntoOption, ReportOption, RunsOption, data_folder, folders_of

if TYPE_CHECKING:
    from ...training.folders import Folders
    from ...training.kinds import How
    from ...training.segmenting.config import RunConfig

_TOGETHER = {"referring": "referring", "interactive": "prompting"}  # what is asked for -> kind of run


def evaluate(
    config: Config,
    export: Annotated[bool, typer.Option(help="Also write weights, facts and card.")] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    robust: Annotated[bool, typer.Option(help="Instead, change scans and words, and write robustness.md.")] = False,
    calibrate: Annotated[
        bool, typer.Option(help="Instead, fit expected Dice of the bundled weights and write uncertainty.md.")
    ] = False,
    adapt: Annotated[
        bool, typer.Option(help="Instead, fit to every scan by entropy (ETTA), and write uncertainty.md.")
    ] = False,
    pool: Annotated[
        str | None,
        typer.Option(help="Instead, choose per scan from these runs or models (DAUGS), e.g. A,B,C; writes the same."),
    ] = None,
    rank: Annotated[bool, typer.Option(help="Instead, does confidence rank true Dice? Writes the same.")] = False,
    groups: Annotated[
        str | None, typer.Option(help="Instead, Dice of the groups in this column of --table; writes fairness.md.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="--groups: CSV file with a column 'patient' and one for the groups.")
    ] = None,
    least: Annotated[int, typer.Option(help="--groups: patients below which a group is not shown.", min=2)] = 20,
    most: Annotated[int, typer.Option(help="--adapt, --pool, --rank: at most so many held-out cases.", min=1)] = 8,
    every: Annotated[
        int, typer.Option(help="Look at every so many held-out slices only, where slices are drawn.", min=1)
    ] = 1,
    model: Annotated[str, typer.Option(help="For `eval agent`: 'offline' or provider:name.")] = "offline",
    out: Annotated[Path | None, typer.Option(help="For `eval agent`: write every run here, as JSON.")] = None,
    category: Annotated[str | None, typer.Option(help="For `eval agent`: only tasks of this kind.")] = None,
    wordings: Annotated[int, typer.Option(help="For `eval agent`: wordings asked per task.", min=1, max=3)] = 3,
    data: DataOption = None,
    runs: RunsOption = None,
    into: IntoOption = None,
    report: ReportOption = None,
) -> None:
    """Measure a configuration on held-out data; 'referring' measures FLanS and LSMS together, 'interactive' what one points with, 'agent' the agent."""
    if config == "agent":
        from ..agents import evaluate_agent

        evaluate_agent(model, out, category, wordings, data_folder(data))
        return
    from ...training.kinds import How
    from ...training.runs import read_run

    folders, how = folders_of(data, runs, into, report), How(threads=threads, every=every)
    if config in _TOGETHER:
        _evaluate_together(_TOGETHER[config], folders, how, export)
        return
    kind, run = read_run(config)
    if calibrate or adapt or rank or robust or pool is not None or groups is not None or table is not None:
        if kind.name != "segmenting":
            raise BadCall(
                f"'{config}' is a {kind.name} run. --calibrate, --adapt, --pool, --rank, --robust and --groups are for segmenting ones."
            )
        folders.docs.mkdir(parents=True, exist_ok=True)
        if groups is not None or table is not None:
            _fairness(run, folders, groups, table, least=least, threads=threads)
            return
        _reliability(run, folders, how, calibrate=calibrate, adapt=adapt, robust=robust, pool=pool, most=most)
        return
    measured = kind.code().evaluate(run, folders, how)
    typer.echo(measured.text)
    if export:
        folders.weights.mkdir(parents=True, exist_ok=True)
        typer.echo(f"Wrote {kind.code().export(run, measured, folders).name} and its card.")


def _evaluate_together(kind: str, folders: Folders, how: How, export: bool) -> None:
    """Every bundled configuration of a kind in one report."""
    from ...training.configuration import bundled
    from ...training.runs import RUNS, read_run

    code: Any = next(row for row in RUNS if row.name == kind).code()
    every = [read_run(path)[1] for path in bundled(kind).values()]
    measured = code.evaluate_together(every, folders, how)
    typer.echo(measured.text)
    if export:
        folders.weights.mkdir(parents=True, exist_ok=True)
        for path in code.export_together(every, measured, folders):
            typer.echo(f"Wrote {path.name} and its card.")


def _reliability(
    run: RunConfig,
    folders: Folders,
    how: How,
    *,
    calibrate: bool,
    adapt: bool,
    robust: bool,
    pool: str | None,
    most: int,
) -> None:
    """Confidence, adaptation, selection from a pool, ranking or robustness; each writes its section of a report."""
    report, threads = folders.docs / "uncertainty.md", how.threads
    if calibrate:
        _calibrate(run, folders, threads)
    elif adapt:
        from ...training.reliability import adapting

        tuned = adapting.tune(run, folders, threads=threads)
        pairs = adapting.measure(run, folders, most=most, threads=threads)
        adapting.write(run.name, pairs, report, tuned)
        typer.echo(adapting.table(pairs))
    elif pool is not None:
        from ...training.reliability import pool as selecting

        members = [part.strip() for part in pool.split(",") if part.strip()]
        found = selecting.measure(run, members, folders, most=most, threads=threads)
        selecting.write(run.name, found, report)
        typer.echo(selecting.table(found))
    elif robust:
        _robust(run, folders, threads)
    else:
        from ...training.reliability import ranking

        rows = ranking.measure(run, folders, most=most, threads=threads)
        ranking.write(run.name, rows, report)
        typer.echo(ranking.table(rows))


def _fairness(
    run: RunConfig, folders: Folders, column: str | None, table: Path | None, *, least: int, threads: int | None
) -> None:
    from ...training.reliability import fairness

    if column is None or table is None:
        raise BadCall("Groups need a table and its column. Say --groups COLUMN --table FILE.csv.")
    served = fairness.measure(run, folders, table, column, least=least, threads=threads)
    fairness.write(run.name, served, folders.docs / "fairness.md")
    typer.echo(fairness.write_table(served))


def _calibrate(run: RunConfig, folders: Folders, threads: int | None) -> None:
    from ...models.catalogue import segmenters
    from ...training.reliability.calibrate import calibrate
    from ...training.reliability.calibration_report import write, write_sizes

    found = calibrate(run, folders, threads=threads)
    write(run.name, found, folders.docs / "uncertainty.md")
    write_sizes(segmenters(folders.weights), folders.weights, folders.docs / "uncertainty.md")
    table = Table("scan", "masks", "ECE of the mean sigmoid", "ECE of the expected Dice")
    for change, one in found.items():
        table.add_row(change, str(one.masks), f"{one.ece_raw:.3f}", f"{one.ece:.3f}")
    Console().print(table)


def _robust(run: RunConfig, folders: Folders, threads: int | None) -> None:
    from ...training.reliability.robust import measure, write

    found = measure(run, folders, threads=threads)
    table = Table("change", "mean Dice")
    for change, dice in found.dice.items():
        table.add_row(change, f"{dice:.3f}")
    Console().print(table)
    write(found, folders.docs / "robustness.md")
