"""`ostensor index`: build, show, search and measure the passages about anatomy."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..imaging.errors import BadCall, Unavailable
from ..tools.desk.settings import default_store
from .options import StoreOption

app = typer.Typer(
    help="The passages about anatomy that prompts are written from.", no_args_is_help=True, rich_markup_mode=None
)
JsonOption = Annotated[bool, typer.Option("--json", help="For machines.")]
ThreadsOption = Annotated[int | None, typer.Option(help="CPU threads of the encoder; default: all.", min=1)]
QueryThreads = Annotated[int, typer.Option(help="CPU threads of the encoder; more make one query no faster.", min=1)]


@app.command()
def build(store: StoreOption = None, threads: ThreadsOption = None) -> None:
    """Encode every passage and write the index; takes a minute or two on two cores."""
    from ..retrieval.passages.corpus import bundled_passages
    from ..retrieval.passages.index import BATCH
    from ..tools.desk.knowledge import build as build_in

    total = len(bundled_passages())
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as shown:
        task = shown.add_task("Encoding passages", total=total)

        def told(done: int) -> None:
            shown.update(task, completed=done)
            if not console.is_terminal and (done == total or done % (10 * BATCH) == 0):
                typer.echo(f"{done} of {total} passages", err=True)  # a log file gets lines, not a bar

        manifest = build_in(store or default_store(), threads=threads, progress=told)
    megabytes = manifest.passages * manifest.size * 4 / 1e6
    typer.echo(f"Indexed {manifest.passages} passages with {manifest.encoder}: {megabytes:.1f} MB in memory.")


@app.command()
def show(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Say what the index is, whether it fits the passages, and how much memory it takes."""
    from ..retrieval.passages.index import IndexUnusable, read_manifest
    from ..tools.desk.knowledge import Knowledge, index_folder

    folder = index_folder(store or default_store())
    try:
        manifest = read_manifest(folder)
    except IndexUnusable as error:
        raise Unavailable(str(error)) from None
    knowledge = Knowledge(store or default_store())
    facts = asdict(manifest) | {
        "usable": not knowledge.lacking,
        "memory_mb": round(knowledge.retriever.nbytes / 1e6, 1),
    }
    knowledge.close()
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name}: {value}")
    if knowledge.lacking:
        typer.echo(knowledge.lacking)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="Any words.")],
    k: Annotated[int, typer.Option(help="How many passages.", min=1, max=100)] = 5,
    store: StoreOption = None,
    threads: QueryThreads = 1,
    as_json: JsonOption = False,
) -> None:
    """Find passages; without an index by words alone."""
    from ..tools.desk.knowledge import Knowledge

    knowledge = Knowledge(store or default_store(), threads=threads)
    found = knowledge.retriever.search(query, k)
    knowledge.close()
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found]))
        return
    if knowledge.lacking:
        typer.echo(f"By words alone. {knowledge.lacking}", err=True)
    for one in found:
        typer.echo(f"{one.score:.4f}  {one.passage.id}\n        {one.passage.text}\n        {one.passage.licence}")


@app.command("eval")
def measure(
    queries: Annotated[Path, typer.Argument(help="Tab-separated file: query, expected, kind.")],
    k: Annotated[int, typer.Option(help="Recall at how many passages.", min=1, max=100)] = 10,
    store: StoreOption = None,
    threads: QueryThreads = 1,
    as_json: JsonOption = False,
) -> None:
    """Recall of the lexical, dense and fused channels on a file of queries, with the time of one query."""
    from ..retrieval.passages.evaluate import evaluate, read_queries
    from ..tools.desk.knowledge import Knowledge

    try:
        asked = read_queries(queries)
    except (OSError, KeyError, UnicodeDecodeError):
        raise BadCall(
            f"'{queries.name}' is no file of queries. It needs the columns query, expected and kind."
        ) from None
    knowledge = Knowledge(store or default_store(), threads=threads, remember=0)  # every query is encoded anew
    try:
        lines = evaluate(knowledge.retriever, asked, k)
    except ValueError as error:
        raise BadCall(str(error)) from None
    finally:
        knowledge.close()
    if as_json:
        typer.echo(json.dumps([asdict(line) for line in lines]))
        return
    table = Table("channel", "kind", "queries", f"recall@{k}", f"hit@{k}", "ms per query")
    for line in lines:
        cells = (f"{line.recall:.3f}", f"{line.hit:.3f}", f"{line.median_ms:.1f}")
        table.add_row(line.channel, line.kind, str(line.queries), *cells)
    Console().print(table)
    if knowledge.lacking:
        typer.echo(f"The lexical channel alone. {knowledge.lacking}")


@app.command()
def phrasings(
    file: Annotated[Path, typer.Argument(help="Tab-separated file: phrasing, expected, kind, half.")],
    as_json: JsonOption = False,
) -> None:
    """Share of phrasings that find the expected structure, with the processor time of one look-up; needs no index."""
    from ..retrieval.anatomy.structures import StructureTable
    from ..retrieval.passages.evaluate import resolve_phrasings

    try:
        lines = resolve_phrasings(StructureTable.bundled(), file)
    except (OSError, KeyError, UnicodeDecodeError):
        raise BadCall(
            f"'{file.name}' is no file of phrasings. It needs the columns phrasing, expected, kind and half."
        ) from None
    if as_json:
        typer.echo(json.dumps([asdict(line) for line in lines]))
        return
    table = Table("kind", "phrasings", "right", "share", "median CPU ms", "slowest CPU ms")
    for line in lines:
        share, median, slowest = line.right / line.phrasings, line.median_ms, line.slowest_ms
        table.add_row(
            line.kind, str(line.phrasings), str(line.right), f"{share:.3f}", f"{median:.1f}", f"{slowest:.1f}"
        )
    Console().print(table)
