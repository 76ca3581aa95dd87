"""`ostensor fit`: from a configuration to a run folder."""

from __future__ import annotations

from typing import Annotated

import typer

from ...imaging.errors import BadCall
from .folders import DataOption, ReportOption, RunsOption, folders_of

Config = Annotated[str, typer.Argument(help="A TOML file, or a bundled configuration, e.g. hippocampus.")]


def fit(
    config: Config,
    device: Annotated[str, typer.Option(help="'cpu' or 'cuda'.")] = "cpu",
    resume: Annotated[bool, typer.Option(help="Go on from the run's checkpoint.")] = True,
    until: Annotated[int | None, typer.Option(help="Stop after this many steps; the schedule stays.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Another seed: a run NAME-seedN of its own, for `eval NAME --pool`.", min=0)
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Length of the schedule, for short runs.", min=1)] = None,
    augment: Annotated[
        str | None,
        typer.Option(help="'synthetic': instead, compare a small segmenter with and without synthetic pairs."),
    ] = None,
    data: DataOption = None,
    runs: RunsOption = None,
    report: ReportOption = None,
) -> None:
    """Train a network; killed at any time, it goes on from its last checkpoint."""
    from ...training.kinds import How
    from ...training.runs import read_run

    kind, run = read_run(config, seed=seed, steps=steps)
    folders = folders_of(data, runs, report=report)
    if augment is not None:
        from ...training.synthesis.augmenting import compare

        if augment != "synthetic" or kind.name != "synthesis":
            raise BadCall(
                f"--augment {augment} of '{config}' is not known. Use: paint-hippocampus --augment synthetic."
            )
        if seed is not None or steps is not None:
            raise BadCall("--augment synthetic compares over seeds and steps of its own. Leave --seed and --steps out.")
        typer.echo(f"Wrote {compare(run, folders).name}.")
        return
    typer.echo(f"Run folder: {kind.code().fit(run, folders, How(device, resume, until))}")
