"""`ostensor fit`, `eval` and `bench`: training and measuring, loaded only when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

Config = Annotated[str, typer.Argument(help="A TOML file, or a bundled configuration, e.g. hippocampus.")]
bench = typer.Typer(help="Measure speed and memory.", no_args_is_help=True)


def add_commands(app: typer.Typer) -> None:
    """Put the commands into the application."""
    app.command()(fit)
    app.command("eval")(evaluate)
    app.add_typer(bench, name="bench")


def fit(
    config: Config,
    device: Annotated[str, typer.Option(help="'cpu' or 'cuda'.")] = "cpu",
    resume: Annotated[bool, typer.Option(help="Go on from the run's checkpoint.")] = True,
    until: Annotated[int | None, typer.Option(help="Stop after this many steps; the schedule stays.")] = None,
) -> None:
    """Train a network; killed at any time, it goes on from its last checkpoint."""
    from ..training.fit import fit as train

    typer.echo(f"Run folder: {train(config, device=device, resume=resume, until=until)}")


def evaluate(
    config: Config,
    export: Annotated[bool, typer.Option(help="Also write weights, facts and card to models/weights.")] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    model: Annotated[str, typer.Option(help="For `eval agent`: 'offline' or provider:name.")] = "offline",
    out: Annotated[Path | None, typer.Option(help="For `eval agent`: write every run here, as JSON.")] = None,
    category: Annotated[str | None, typer.Option(help="For `eval agent`: only tasks of this kind.")] = None,
    wordings: Annotated[int, typer.Option(help="For `eval agent`: wordings asked per task.", min=1, max=3)] = 3,
    robust: Annotated[
        bool, typer.Option(help="Instead, change scans and words, and write docs/robustness.md.")
    ] = False,
) -> None:
    """Dice on held-out patients, with intervals, beside the copied atlas; `eval agent` scores the agent on its tasks."""
    if config == "agent":
        from .cli_agents import evaluate_agent

        evaluate_agent(model, out, category, wordings)
        return
    if robust:
        _robust(config, threads)
        return
    from ..training.evaluate import evaluate as measure

    scores = measure(config, threads=threads)
    table = Table("structure", "tested on", "cases", "Dice", "95 % interval", "copied atlas")
    for score in scores:
        interval = f"{score.low:.3f} to {score.high:.3f}"
        table.add_row(
            score.structure, score.dataset, str(score.cases), f"{score.dice:.3f}", interval, f"{score.atlas:.3f}"
        )
    Console().print(table)
    if export:
        from ..training.export import export as write

        typer.echo(f"Wrote {write(config, scores=scores).name} and its card.")


def _robust(config: str, threads: int | None) -> None:
    from ..training.robust import measure, write

    found = measure(config, threads=threads)
    table = Table("change", "mean Dice")
    for change, dice in found.dice.items():
        table.add_row(change, f"{dice:.3f}")
    Console().print(table)
    write(found)


@bench.command("segment")
def bench_segment(
    rounds: Annotated[int, typer.Option(help="Interleaved rounds.", min=1)] = 5,
    scan: Annotated[
        str, typer.Option(help="'phantom', or a CT file that is resampled to 256 x 256 x 160.")
    ] = "phantom",
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """Our path against MONAI's default sliding window with the same network."""
    from ..benchmarks.segment import run

    _show(run(rounds=rounds, scan=scan), out)


@bench.command("start")
def bench_start(
    rounds: Annotated[int, typer.Option(help="How often.", min=1)] = 5,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """From process start to the first list of tools."""
    from ..benchmarks.start import run

    _show(run(rounds=rounds), out)


def _show(text: str, out: Path | None) -> None:
    typer.echo(text)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")
