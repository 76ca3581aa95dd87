"""Options every command shares."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ..store.archives.nodes import ArchiveAccess
from ..tools.desk.desk import Answer, Call, Desk
from ..tools.desk.settings import DEFAULT_TOOLSETS, Purpose, Settings, default_archives, default_store
from .sharing import shared_of

StoreOption = Annotated[Path | None, typer.Option(help="Folder of the store; default: a per-user folder.")]
RootOption = Annotated[
    list[Path] | None, typer.Option(help="Folder whose files may be opened and written (repeatable); default: here.")
]
ToolsetsOption = Annotated[str | None, typer.Option(help="Comma-separated, or 'all'; default: core,clinical.")]
PurposeOption = Annotated[Purpose, typer.Option(help="'commercial' refuses weights for research only.")]

ParaphraserOption = Annotated[
    str,
    typer.Option(
        help="Chat model that rewords prompts of write_prompts, 'provider:name'; needs `pip install 'ostensor[agents]'`."
    ),
]

WorkersOption = Annotated[
    str,
    typer.Option(
        help="Where models run: local, ray (Ray, started here), ray://auto or ray://HOST:PORT (a cluster; docs/cluster.md)."
    ),
]

ReuseOption = Annotated[
    bool, typer.Option(help="Answer from the store what the same weights saw in the same image, or look again.")
]


ArchivesOption = Annotated[Path | None, typer.Option(help="TOML file of archives; default: a per-user file.")]


def environment(variable: str) -> str | None:
    """The value of a variable, as of one that an archive names for its key; None where it is not set."""
    return os.environ.get(variable)


def wants_traces() -> bool:
    """Whether the standard variables of OpenTelemetry name a place for spans, and nothing turns them off."""
    places = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    is_off = (environment("OTEL_SDK_DISABLED") or "").lower() == "true"
    return any(map(environment, places)) and not is_off and environment("OTEL_TRACES_EXPORTER") in (None, "", "otlp")


def opened_desk(
    store: Path | None,
    root: list[Path] | None,
    toolsets: str | None,
    purpose: Purpose,
    archives: Path | None = None,
    shared: Path | None = None,
    **limits: Any,
) -> Desk:
    """A desk for these options.

    Args:
        archives: file of archives; None for the per-user file.
        shared: file of a shared catalogue and arrays; None for what the environment names, if anything.
        limits: further `Settings`, such as `device`, `threads` and `memory_mb` of the worker.

    Raises:
        BadCall: a root is not a folder, or a toolset is unknown.
    """
    names = tuple(part.strip() for part in toolsets.split(",")) if toolsets else DEFAULT_TOOLSETS
    roots = tuple(root) if root else (Path.cwd(),)
    limits.setdefault("visible_cards", environment("CUDA_VISIBLE_DEVICES"))
    access = ArchiveAccess(archives or default_archives(), environment)
    return Desk(
        Settings(
            store=store or default_store(),
            roots=roots,
            toolsets=names,
            purpose=purpose,
            archives=access,
            shared=shared_of(shared),
            **limits,
        )
    )


def used(desk: Desk, tool: str, arguments: Mapping[str, Any]) -> Answer:
    """A tool's answer, with a bar on standard error while it works.

    Raises:
        OstensorError: as the tool.
    """
    from ..tools.running import run_named

    with shown_progress(tool) as report:
        return run_named(desk, Call(report), tool, arguments)


@contextmanager
def shown_progress(doing: str) -> Iterator[Callable[[float, str], None]]:
    """A bar on standard error while the block runs; what it gives is told the share done and a word about it.

    Where standard error is no terminal nothing is drawn.
    """
    with _bar(TaskProgressColumn()) as bar:
        task = bar.add_task(doing, total=1.0)
        yield lambda share, message: bar.update(task, completed=share, description=f"{doing}: {message}"[:60])


@contextmanager
def shown_work(doing: str) -> Iterator[None]:
    """A bar on standard error that moves while the block runs, for work whose length nobody knows, with its time.

    Where standard error is no terminal nothing is drawn.
    """
    with _bar() as bar:
        bar.add_task(doing, total=None)
        yield


def _bar(*more: ProgressColumn) -> Progress:
    """A bar on standard error with its time, and with these columns."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), *more, TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
