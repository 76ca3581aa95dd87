"""`ostensor top`: the servers at work on this machine, or one elsewhere, as a table that renews itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

from ...imaging.errors import BadCall, Unavailable
from ...observing.snapshots import Process, added_up, processes
from ...tools.desk.settings import default_store
from ..options import StoreOption

_PATIENCE_S = 5.0
Look = Callable[[], Sequence[Process]]


def top(
    url: Annotated[
        str | None, typer.Option(help="http(s)://HOST:PORT of a server with --metrics; else this machine's.")
    ] = None,
    store: StoreOption = None,
    once: Annotated[
        bool, typer.Option("--once", help="Say it once and stop; exit status 1 when no server is at work.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, once.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2)] = 1.0,
) -> None:
    """Watch servers at work: calls, queue, workers, memory, jobs. Ctrl-C ends it."""
    folder = store or default_store()
    look: Look = (lambda: _of_server(url)) if url else lambda: [one for one in processes(folder) if one.is_at_work]
    found = look()
    if as_json:
        typer.echo(json.dumps({"processes": [asdict(one) for one in found]}))
    if not found:
        raise Unavailable(
            f"No server is at work {'there' if url else f'on the store {folder}'}. Start one with `ostensor serve`, give --store as the server has it, "
            "or --url http://HOST:PORT of a server elsewhere that runs with --metrics."
        )
    if as_json:
        return
    console = Console()
    if once:
        console.print(shown(found))
        return
    from rich.live import Live

    try:
        with Live(shown(found), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(every)
                live.update(shown(look()), refresh=True)
    except KeyboardInterrupt:
        return


def _of_server(url: str) -> Sequence[Process]:
    """The processes of a server elsewhere.

    Raises:
        BadCall: no address of a server.
        Unavailable: it does not answer, or does not tell.
    """
    import httpx2

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise BadCall(f"'{url[:80]}' is no address. Give e.g. --url http://127.0.0.1:8765.")
    where = f"{parts.scheme}://{parts.netloc}/status"
    try:
        answer = httpx2.get(where, timeout=_PATIENCE_S)
    except httpx2.HTTPError as error:
        raise Unavailable(f"{where} does not answer ({type(error).__name__}). Check address and server.") from None
    if answer.status_code == 404:
        raise Unavailable(f"The server at {parts.netloc} does not tell what it does. Start it with --metrics.")
    if answer.status_code != 200:
        raise Unavailable(
            f"{where} answers {answer.status_code}. Use a name and an address the server knows as its own."
        )
    try:
        return [Process(**{**one, "workers": tuple(one["workers"])}) for one in answer.json()["processes"]]
    except (ValueError, TypeError, KeyError):
        raise Unavailable(f"{where} answers something else. Is it an ostensor of this version?") from None


def shown(found: Sequence[Process]) -> Group:
    """The tables: processes, workers, and what all processes did."""
    return Group(_servers(found), _workers(found), _totals(found))


def _servers(found: Sequence[Process]) -> Table:
    table = Table("process", "server", "up", "memory", "calls", "failed", "queue", "jobs", "running now")
    for one in found:
        figures = _Figures(one)
        running = ", ".join(f"{call['tool']} {call['seconds']:.0f} s" for call in one.counts["running"])
        failed = sum(figures.sum("ostensor_calls_total", outcome=word) for word in ("failed", "unavailable"))
        table.add_row(
            str(one.pid),
            escape(f"{one.transport} {one.version}"),
            _time(one.at - one.started),
            _size(figures.sum("ostensor_memory_bytes", process="server")),
            f"{figures.sum('ostensor_calls_total'):.0f}",
            f"{failed:.0f}",
            f"{figures.sum('ostensor_queue_length'):.0f}",
            f"{figures.sum('ostensor_jobs_running'):.0f}",
            escape(running) or "-",
        )
    return table


def _workers(found: Sequence[Process]) -> Table:
    table = Table("worker", "device", "memory", "models kept", "features kept", "restarts", "limit of a request")
    for one in found:
        figures = _Figures(one)
        for row in one.workers:
            device = str(row["device"])
            kept = [
                f"{_size(figures.sum('ostensor_worker_cache_bytes', device=device, cache=cache))} of "
                f"{_size(figures.sum('ostensor_worker_cache_budget_bytes', device=device, cache=cache))}"
                for cache in ("models", "features")
            ]
            restarts = figures.sum("ostensor_worker_restarts_total", device=device)
            limit = "none" if row["budget_mb"] is None else _size(row["budget_mb"] * 1e6)
            pid = "not started" if row["pid"] is None else str(row["pid"])
            table.add_row(escape(pid), escape(device), _size(row["bytes"]), *kept, f"{restarts:.0f}", limit)
    return table


def _totals(found: Sequence[Process]) -> Table:
    """Tools that were called, the most called first."""
    table = Table("tool", "calls", "ok", "mean")
    total = added_up(found)
    calls: dict[str, dict[str, float]] = {}
    for (tool, outcome), number in total.get("ostensor_calls_total", {}).items():
        calls.setdefault(tool, {})[outcome] = number
    for tool, ends in sorted(calls.items(), key=lambda item: -sum(item[1].values()))[:12]:
        counts, seconds = total["ostensor_call_seconds"][(tool,)]
        table.add_row(
            escape(tool),
            f"{sum(ends.values()):.0f}",
            f"{ends.get('ok', 0):.0f}",
            f"{seconds / max(1, sum(counts)):.3f} s",
        )
    return table


class _Figures:
    """The numbers of one process."""

    def __init__(self, one: Process) -> None:
        self.numbers: Mapping[str, Sequence[Any]] = one.counts["numbers"]

    def sum(self, name: str, **labels: str) -> float:
        """Over every row of a figure that has these labels."""
        return sum(number for values, number in self._rows(name) if set(labels.values()) <= set(values))

    def _rows(self, name: str) -> Iterator[tuple[Sequence[str], float]]:
        yield from self.numbers.get(name, ())


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
