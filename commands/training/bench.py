"""`ostensor bench`: speed and memory, each figure from a committed command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ..options import shown_work
from .folders import DataOption

bench = typer.Typer(help="Measure speed and memory.", no_args_is_help=True, rich_markup_mode=None)


@bench.command("segment")
def bench_segment(
    rounds: Annotated[int, typer.Option(help="Interleaved rounds.", min=1)] = 3,
    weights: Annotated[
        Path | None, typer.Option(help="Where the network of the benchmark is kept; it is trained if not there.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """Our path against MONAI's sliding window with the same network, trained first."""
    from ...benchmarks.against_monai.compare import run

    _show(lambda: run(rounds=rounds, weights=weights), out)


@bench.command("organ")
def bench_organ(
    rounds: Annotated[int, typer.Option(help="Interleaved rounds.", min=1)] = 3,
    data: Annotated[Path | None, typer.Option(help="Folder of the data; without, the template head.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """One organ of a head, found coarsely and drawn in its box, against the same network slid over the head by MONAI."""
    from ...benchmarks.against_monai.compare import run_organ

    _show(lambda: run_organ(rounds=rounds, data=data), out)


@bench.command("backbones")
def bench_backbones(
    kept: Annotated[Path, typer.Option(help="What was measured is kept here, and not measured again.")] = Path(
        "backbones.json"
    ),
    minutes: Annotated[float, typer.Option(help="Of processor time that each is taught.", min=0.05)] = 1.0,
    seeds: Annotated[int, typer.Option(help="How many times each.", min=1)] = 2,
    cases: Annotated[int, typer.Option(help="Held-out scans, at most.", min=1)] = 20,
    names: Annotated[list[str] | None, typer.Option("--only", help="Backbones; default: all.")] = None,
    data: DataOption = None,
    out: Annotated[Path | None, typer.Option(help="Write the tables here, too.")] = None,
) -> None:
    """Every small backbone on the same scans with the same processor time, ranked."""
    from ...benchmarks.backbones.run import run
    from ..options import shown_progress
    from .folders import data_folder

    with shown_progress("teaching backbones") as report:
        text = run(
            data=data_folder(data),
            kept=kept,
            minutes=minutes,
            seeds=seeds,
            cases=cases,
            names=names or (),
            report=report,
        )
    _show(lambda: text, out)


@bench.command("scale")
def bench_scale(
    users: Annotated[int, typer.Option(help="People.", min=1)] = 1000,
    scans: Annotated[int, typer.Option(help="Of the whole day.", min=1)] = 10_000,
    costs: Annotated[
        Path | None, typer.Option(help="Costs measured before; measured and written here if not there.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the page here, too.")] = None,
) -> None:
    """What a day of many people takes: stage costs measured here, a simulated day before more or fewer workers."""
    from ...benchmarks.scale.day import Day
    from ...benchmarks.scale.page import run

    _show(lambda: run(day=Day(users=users, scans=scans), costs=costs), out)


@bench.command("start")
def bench_start(
    rounds: Annotated[int, typer.Option(help="How often.", min=1)] = 5,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """From process start to the first list of tools."""
    from ...benchmarks.speed.start import run

    _show(lambda: run(rounds=rounds), out)


@bench.command("engines")
def bench_engines(
    name: Annotated[str, typer.Argument(help="An engine of `ostensor engines list`: nnunet or totalsegmentator.")],
    image: Annotated[Path, typer.Option(help="A scan it takes.")],
    modality: Annotated[str, typer.Option(help="Of the scan, as in open_image.")] = "auto",
    rounds: Annotated[int, typer.Option(help="Calls of each; the first is not counted as warm.", min=2)] = 6,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """Our call of an engine beside the engine's own Python call, on the same array and weights."""
    from ...benchmarks.speed.engines import run
    from ..engines.checking import opened_volume

    _show(lambda: run(name, opened_volume(image, modality), rounds=rounds), out)


@bench.command("memory")
def bench_memory(out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None) -> None:
    """Memory that requests are thought to need, by which they are placed, beside what was measured."""
    from ...benchmarks.speed.memory import run

    _show(run, out)


@bench.command("cluster")
def bench_cluster(
    workers: Annotated[str, typer.Option(help="As of `ostensor serve`: ray, ray://auto or ray://HOST:PORT.")] = "ray",
    calls: Annotated[int, typer.Option(help="Warm calls of each, in turn.", min=10)] = 200,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """What a Ray cluster adds to a warm call, beside a local worker that answers the same."""
    from ...benchmarks.speed.cluster import run

    _show(lambda: run(workers, calls=calls), out)


@bench.command("mcp")
def bench_mcp(
    calls: Annotated[int, typer.Option(help="Per transport and side.", min=1)] = 200,
    clients: Annotated[int, typer.Option(help="That poll at once.", min=1)] = 100,
    rounds: Annotated[int, typer.Option(help="Fresh processes.", min=1)] = 3,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """What the server adds to a call, how soon it lists its tools, and many clients at once."""
    from ...benchmarks.mcp.overhead import run

    _show(lambda: run(calls=calls, clients=clients, rounds=rounds), out)


@bench.command("load")
def bench_load(
    clients: Annotated[str, typer.Option(help="How many at once, comma-separated.")] = "1,4,16,64",
    seconds: Annotated[float, typer.Option(help="For each number of clients.", min=1)] = 300.0,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """Clients that open, segment, measure, draw and upload at once: throughput, waiting times, errors, memory."""
    from ...benchmarks.mcp.load import run

    _show(lambda: run(clients=[int(n) for n in clients.split(",")], seconds=seconds), out)


@bench.command("jobs")
def bench_jobs(
    page: Annotated[Path | None, typer.Option(help="A page whose table is exchanged, e.g. docs/benchmarks.md.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """Sixteen everyday jobs through MCP: right or wrong, calls and tokens, now and before there were tools for them."""
    from ...benchmarks.jobs.page import run, with_table

    made = _show(run, out)
    if page is not None:
        page.write_text(with_table(page.read_text(encoding="utf-8"), made), encoding="utf-8")


@bench.command("faults")
def bench_faults(
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """Kill, fill, cut, cancel and keep silent: what comes of each fault, and how long until all is well."""
    from ...benchmarks.mcp.faults import run

    _show(run, out)


@bench.command("imaging")
def bench_imaging(
    rounds: Annotated[int, typer.Option(help="Interleaved rounds.", min=1)] = 3,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """Opening and exporting a 512 x 512 x 400 CT against other libraries."""
    from ...benchmarks.imaging.files import run

    _show(lambda: run(rounds=rounds), out)


@bench.command("geometry")
def bench_geometry(
    full: Annotated[bool, typer.Option(help="All 864 scans; else every axis order once.")] = True,
    kept: Annotated[
        Path | None, typer.Option(help="A file of finished scans; the same command goes on from it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """Every axis order, flip, tilt and format: does each voxel come back where it lay?"""
    from ...benchmarks.imaging.geometry import run

    _show(lambda: run(full=full, kept=kept), out)


@bench.command("prognosis")
def bench_prognosis(
    rounds: Annotated[int, typer.Option(help="How often.", min=1)] = 20,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """One patient warm, and 1,000 patients in one batch against one by one."""
    from ...benchmarks.speed.prognosis import run

    _show(lambda: run(rounds=rounds), out)


@bench.command("prompts")
def bench_prompts(
    scan: Annotated[str, typer.Option(help="'phantom', or an image file.")] = "phantom",
    n: Annotated[int, typer.Option(help="Prompts per structure and audience.", min=3)] = 9,
    seed: Annotated[int, typer.Option(help="Same seed, same prompts.")] = 0,
    stress: Annotated[int, typer.Option(help="Prompts per structure that are stressed.", min=0)] = 2,
    out: Annotated[Path | None, typer.Option(help="Write the tables here, too.")] = None,
) -> None:
    """Written prompts read back by segment_described, and how stable they are."""
    from ...benchmarks.accuracy.prompts import run

    _show(lambda: run(scan=scan, n=n, seed=seed, stress=stress), out)


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
    from ...benchmarks.speed.words import run

    _show(lambda: run(scan=scan, index=index, store=store, queries=queries, threads=threads), out)


@bench.command("synthesis")
def bench_synthesis(
    quality: Annotated[str, typer.Option(help="draft, standard or fine.")] = "standard",
    engine: Annotated[str, typer.Option(help="Only this one.")] = "",
    threads: Annotated[int, typer.Option(help="CPU threads of the worker.", min=1)] = 2,
    out: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """A 128 x 128 x 128 volume by every bundled synthesis engine: wall and processor time, memory."""
    from ...benchmarks.speed.synthesis import run

    _show(lambda: run(quality=quality, threads=threads, engine=engine), out)


def _show(measure: Callable[[], str], out: Path | None) -> str:
    with shown_work("measuring"):
        text = measure()
    typer.echo(text)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")
    return text
