"""`ostensor fit`, `eval` and `bench`: training and measuring, loaded only when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..imaging.errors import BadCall

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
    seed: Annotated[
        int | None, typer.Option(help="Another seed: a run NAME-seedN of its own, for `eval NAME --pool`.", min=0)
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Length of the schedule, for short runs.", min=1)] = None,
    augment: Annotated[
        str | None,
        typer.Option(help="'synthetic': instead, compare a small segmenter with and without synthetic pairs."),
    ] = None,
) -> None:
    """Train a network; killed at any time, it goes on from its last checkpoint."""
    from ..training.raters import fit as raters_fit
    from ..training.referring import fit as referring_fit
    from ..training.segmenting.fit import fit as train
    from ..training.synthesis import fit as painting
    from ..training.synthesis import run as painting_run

    if augment is not None:
        from ..training.synthesis.augmenting import compare

        if augment != "synthetic" or not painting_run.is_painting(config):
            raise BadCall(
                f"--augment {augment} of '{config}' is not known. Use: paint-hippocampus --augment synthetic."
            )
        if seed is not None or steps is not None:
            raise BadCall("--augment synthetic compares over seeds and steps of its own. Leave --seed and --steps out.")
        typer.echo(f"Wrote {compare(config).name}.")
        return
    others = (
        (referring_fit.is_referring, referring_fit),
        (painting_run.is_painting, painting),
        (raters_fit.has_raters, raters_fit),
    )
    other = next((module for claims, module in others if claims(config)), None)
    if other is not None:
        if seed is not None or steps is not None:
            raise BadCall(
                f"--seed and --steps of '{config}' are not known. They are for networks that segment by words."
            )
        typer.echo(f"Run folder: {other.fit(config, device=device, resume=resume, until=until)}")
        return
    typer.echo(f"Run folder: {train(config, device=device, resume=resume, until=until, seed=seed, steps=steps)}")


def evaluate(
    config: Config,
    export: Annotated[bool, typer.Option(help="Also write weights, facts and card to models/weights.")] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    robust: Annotated[
        bool, typer.Option(help="Instead, change scans and words, and write docs/robustness.md.")
    ] = False,
    calibrate: Annotated[
        bool, typer.Option(help="Instead, fit expected Dice of the bundled weights and write docs/uncertainty.md.")
    ] = False,
    adapt: Annotated[
        bool, typer.Option(help="Instead, fit to every scan by entropy (ETTA), and write docs/uncertainty.md.")
    ] = False,
    pool: Annotated[
        str | None,
        typer.Option(help="Instead, choose per scan from these runs or models (DAUGS), e.g. A,B,C; writes the same."),
    ] = None,
    rank: Annotated[bool, typer.Option(help="Instead, does confidence rank true Dice? Writes the same.")] = False,
    most: Annotated[int, typer.Option(help="--adapt, --pool, --rank: at most so many held-out cases.", min=1)] = 8,
    every: Annotated[int, typer.Option(help="'referring': only every so many held-out slices.", min=1)] = 1,
    model: Annotated[str, typer.Option(help="For `eval agent`: 'offline' or provider:name.")] = "offline",
    out: Annotated[Path | None, typer.Option(help="For `eval agent`: write every run here, as JSON.")] = None,
    category: Annotated[str | None, typer.Option(help="For `eval agent`: only tasks of this kind.")] = None,
    wordings: Annotated[int, typer.Option(help="For `eval agent`: wordings asked per task.", min=1, max=3)] = 3,
) -> None:
    """Dice on held-out patients, beside the copied atlas; 'referring' measures FLanS and LSMS, 'agent' the agent."""
    if config == "agent":
        from .agents import evaluate_agent

        evaluate_agent(model, out, category, wordings)
        return
    from ..training.prognosis.plan import find_prognosis

    if find_prognosis(config) is not None:
        _show_prognosis(config, export)
        return
    from ..training.synthesis.run import is_painting

    if is_painting(config):
        _evaluate_painting(config, export)
        return
    from ..training.raters.fit import has_raters

    if has_raters(config):
        _evaluate_raters(config)
        return
    if config == "referring":
        _evaluate_referring(export, threads, every)
        return
    if calibrate:
        _calibrate(config, threads)
        return
    if adapt or pool is not None or rank:
        _doubt(config, threads, most, adapt=adapt, pool=pool)
        return
    if robust:
        _robust(config, threads)
        return
    from ..training.segmenting.evaluate import evaluate as measure

    scores = measure(config, threads=threads)
    table = Table("structure", "tested on", "cases", "Dice", "95 % interval", "copied atlas")
    for score in scores:
        interval = f"{score.low:.3f} to {score.high:.3f}"
        table.add_row(
            score.structure, score.dataset, str(score.cases), f"{score.dice:.3f}", interval, f"{score.atlas:.3f}"
        )
    Console().print(table)
    if export:
        from ..training.segmenting.export import export as write

        typer.echo(f"Wrote {write(config, scores=scores).name} and its card.")


def _evaluate_painting(config: str, export: bool) -> None:
    """A synthesis network beside its rivals; with `export` it becomes a bundled one."""
    from ..training.synthesis.evaluate import evaluate as measure
    from ..training.synthesis.export import export as write

    scores = measure(config)
    table = Table("made by", "SSIM", "PSNR, dB", "FSIM", "mask Dice", "nearest", "z steps")
    for one in scores:
        dice = f"{sum(one.dice.values()) / len(one.dice):.3f}" if one.dice else "-"
        steps = "-" if one.jitter is None else f"{one.jitter:.2f}"
        table.add_row(
            one.maker, f"{one.ssim:.3f}", f"{one.psnr:.1f}", f"{one.fsim:.3f}", dice, f"{one.nearest:.3f}", steps
        )
    Console().print(table)
    if export:
        typer.echo(f"Wrote {write(config, scores).name} and its card.")


def _evaluate_raters(config: str) -> None:
    """Draws of the probabilistic U-Nets against several raters."""
    from ..training.raters import fit as raters_fit

    found = raters_fit.measure(config)
    raters_fit.write(config, found)
    typer.echo(raters_fit.table(found))


def _show_prognosis(config: str, export: bool) -> None:
    """The cross-validation a prognosis run left behind; `ostensor fit` makes it."""
    from ..models.catalogue import WEIGHTS_FOLDER
    from ..training.folders import RUNS
    from ..training.prognosis.export import export_run, run_table
    from ..training.prognosis.plan import find_prognosis

    path = find_prognosis(config)
    assert path is not None
    typer.echo(run_table(RUNS / path.stem, path.stem))
    if export:
        typer.echo(f"Wrote {export_run(path.stem, runs=RUNS, weights=WEIGHTS_FOLDER).name} and the card.")


def _evaluate_referring(export: bool, threads: int | None, every: int) -> None:
    """FLanS, LSMS and SAT on held-out slices; with `export`, finished runs become bundled weights first."""
    from ..training.folders import RUNS
    from ..training.referring import export as referring
    from ..training.referring.fit import read_run

    if export:
        for network in referring.NETWORKS:
            run = read_run(network)
            if (RUNS / run.name / "checkpoint.pt").exists():
                typer.echo(f"Wrote {referring.export_weights(run).name}.")
    report = referring.measure(threads=threads, thin=every, told=typer.echo)
    typer.echo(referring.tables(report, thin=every))
    if export:
        referring.write_cards(report, thin=every)
        referring.write_docs(report, thin=every)


def _calibrate(config: str, threads: int | None) -> None:
    from ..training.reliability.calibrate import calibrate, write
    from ..training.segmenting.config import read_config

    found = calibrate(config, threads=threads)
    write(read_config(config).name, found)
    table = Table("scan", "masks", "ECE of the mean sigmoid", "ECE of the expected Dice")
    for change, one in found.items():
        table.add_row(change, str(one.masks), f"{one.ece_raw:.3f}", f"{one.ece:.3f}")
    Console().print(table)


def _doubt(config: str, threads: int | None, most: int, *, adapt: bool, pool: str | None) -> None:
    """Adaptation, selection from a pool, or ranking, on held-out cases; each writes its section of the report."""
    from ..training.reliability import adapting as adapting_evaluate
    from ..training.reliability import pool as pool_evaluate
    from ..training.reliability import ranking
    from ..training.segmenting.config import read_config

    name = read_config(config).name
    if adapt:
        tuned = adapting_evaluate.tune(config, threads=threads)
        pairs = adapting_evaluate.measure(config, most=most, threads=threads)
        adapting_evaluate.write(name, pairs, tuned)
        typer.echo(adapting_evaluate.table(pairs))
    elif pool is not None:
        members = [part.strip() for part in pool.split(",") if part.strip()]
        found = pool_evaluate.measure(config, members, most=most, threads=threads)
        pool_evaluate.write(name, found)
        typer.echo(pool_evaluate.table(found))
    else:
        rows = ranking.measure(config, most=most, threads=threads)
        ranking.write(name, rows)
        typer.echo(ranking.table(rows))


def _robust(config: str, threads: int | None) -> None:
    from ..training.reliability.robust import measure, write

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
    from ..benchmarks.speed.segment import run

    _show(run(rounds=rounds, scan=scan), out)


@bench.command("start")
def bench_start(
    rounds: Annotated[int, typer.Option(help="How often.", min=1)] = 5,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """From process start to the first list of tools."""
    from ..benchmarks.speed.start import run

    _show(run(rounds=rounds), out)


@bench.command("mcp")
def bench_mcp(
    calls: Annotated[int, typer.Option(help="Per transport and side.", min=1)] = 200,
    clients: Annotated[int, typer.Option(help="That poll at once.", min=1)] = 100,
    rounds: Annotated[int, typer.Option(help="Fresh processes.", min=1)] = 3,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """What the server adds to a call, how soon it lists its tools, and many clients at once."""
    from ..benchmarks.mcp.overhead import run

    _show(run(calls=calls, clients=clients, rounds=rounds), out)


@bench.command("imaging")
def bench_imaging(
    rounds: Annotated[int, typer.Option(help="Interleaved rounds.", min=1)] = 3,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """Opening and exporting a 512 x 512 x 400 CT against other libraries."""
    from ..benchmarks.imaging.files import run

    _show(run(rounds=rounds), out)


@bench.command("geometry")
def bench_geometry(
    full: Annotated[bool, typer.Option(help="All 864 scans; else every axis order once.")] = True,
    kept: Annotated[
        Path | None, typer.Option(help="A file of finished scans; the same command goes on from it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """Every axis order, flip, tilt and format: does each voxel come back where it lay?"""
    from ..benchmarks.imaging.geometry import run

    _show(run(full=full, kept=kept), out)


@bench.command("prognosis")
def bench_prognosis(
    rounds: Annotated[int, typer.Option(help="How often.", min=1)] = 20,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """One patient warm, and 1,000 patients in one batch against one by one."""
    from ..benchmarks.speed.prognosis import run

    _show(run(rounds=rounds), out)


@bench.command("prompts")
def bench_prompts(
    scan: Annotated[str, typer.Option(help="'phantom', or an image file.")] = "phantom",
    n: Annotated[int, typer.Option(help="Prompts per structure and audience.", min=3)] = 9,
    seed: Annotated[int, typer.Option(help="Same seed, same prompts.")] = 0,
    stress: Annotated[int, typer.Option(help="Prompts per structure that are stressed.", min=0)] = 2,
    out: Annotated[Path | None, typer.Option(help="Write the tables here, too.")] = None,
) -> None:
    """Written prompts read back by segment_described, and how stable they are."""
    from ..benchmarks.accuracy.prompts import run

    _show(run(scan=scan, n=n, seed=seed, stress=stress), out)


@bench.command("words")
def bench_words(
    scan: Annotated[str, typer.Option(help="'phantom', or a file of one slice.")] = "phantom",
    index: Annotated[bool, typer.Option(help="Ask the index, too.")] = True,
    store: Annotated[Path | None, typer.Option(help="Its index is asked; else one is built and timed.")] = None,
    queries: Annotated[int, typer.Option(help="How many different queries.", min=1)] = 40,
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 2,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """One sentence on a warm 512 x 512 slice, building the index, one warm query: processor and wall time."""
    from ..benchmarks.speed.words import run

    _show(run(scan=scan, index=index, store=store, queries=queries, threads=threads), out)


@bench.command("synthesis")
def bench_synthesis(
    quality: Annotated[str, typer.Option(help="draft, standard or fine.")] = "standard",
    engine: Annotated[str, typer.Option(help="Only this one.")] = "",
    threads: Annotated[int, typer.Option(help="CPU threads of the worker.", min=1)] = 2,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """A 128 x 128 x 128 volume by every bundled synthesis engine: wall and processor time, memory."""
    from ..benchmarks.speed.synthesis import run

    _show(run(quality=quality, threads=threads, engine=engine), out)


def _show(text: str, out: Path | None) -> None:
    typer.echo(text)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")
