"""`ostensor`: every command, one line each; the work is done elsewhere."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from .. import __version__
from ..imaging.errors import BadCall, OstensorError
from ..observing.settings import Level, LogFormat, Watching
from ..tools.desk.desk import Desk
from . import (
    agents as cli_agents,
)
from . import (
    archives as cli_archives,
)
from . import (
    index as cli_index,
)
from . import (
    models as cli_models,
)
from . import (
    report as cli_report,
)
from . import (
    store as cli_store,
)
from . import (
    tokens as cli_tokens,
)
from .batch import batch
from .engines.app import app as engines_app
from .options import (
    ArchivesOption,
    ParaphraserOption,
    PurposeOption,
    ReuseOption,
    RootOption,
    StoreOption,
    ToolsetsOption,
    WorkersOption,
    opened_desk,
    used,
    wants_traces,
)
from .sharing import SharedOption
from .training.bench import bench
from .training.evaluate import evaluate
from .training.fit import fit
from .training.parity import CONFIG, evaluations
from .watching.top import top

app = typer.Typer(
    name="ostensor",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # brackets in help are brackets
)
app.add_typer(cli_models.app, name="models")
app.add_typer(cli_store.app, name="store")
app.add_typer(cli_archives.app, name="archives")
app.add_typer(cli_tokens.app, name="tokens")
app.add_typer(cli_index.app, name="index")
app.add_typer(engines_app, name="engines")
app.command()(batch)
app.command()(top)
app.command()(fit)
evaluations.command(CONFIG)(evaluate)
app.add_typer(evaluations, name="eval")
app.add_typer(bench, name="bench")
cli_report.add_commands(app)
cli_agents.add_commands(app)


QUIET = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}
"""Libraries' ways of talking and waiting, of this process and its workers, where the user chose none."""

FIRST = """ostensor {version}: medical image segmentation by words. Research software, not a medical device.

  ostensor demo                                      a real head and a made torso, in about a minute
  ostensor ask "How large is the liver?" --image ct.nii.gz
  ostensor call open_image --args '{{"path": "ct.nii.gz"}}'
  ostensor serve --root SCANS                        MCP for an assistant (stdio; --http HOST:PORT for others)
  ostensor doctor                                    what works here, and what to do about the rest

All commands: ostensor --help. Completion in your shell: ostensor --install-completion."""


@app.callback(invoke_without_command=True)
def first(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Say the version and stop.")] = False,
) -> None:
    """Medical image segmentation by words: an MCP server, the same tools by hand, and the training behind them."""
    if version:
        typer.echo(f"ostensor {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(FIRST.format(version=__version__))


@app.command()
def serve(
    http: Annotated[str | None, typer.Option(help="HOST:PORT for streamable HTTP; without it, stdio.")] = None,
    store: StoreOption = None,
    root: RootOption = None,
    toolsets: ToolsetsOption = None,
    purpose: PurposeOption = "research",
    device: Annotated[
        str, typer.Option(help="cpu, cuda (every card), auto (cards, else cpu), or with commas: cuda:0,cuda:1.")
    ] = "cpu",
    threads: Annotated[int | None, typer.Option(help="CPU threads of the worker; default: all.", min=1)] = None,
    memory_mb: Annotated[int | None, typer.Option(help="Refuse jobs that need more, by estimate.", min=1)] = None,
    auth: Annotated[
        str | None, typer.Option(help="Over HTTP: 'none' (this machine only), 'tokens' or 'oauth'.")
    ] = None,
    processes: Annotated[int | None, typer.Option(help="Over HTTP: server processes.", min=1)] = None,
    workers: WorkersOption = "local",
    http_config: Annotated[Path | None, typer.Option(help="TOML file with the other HTTP settings.")] = None,
    record: Annotated[Path | None, typer.Option(help="Record the calls into a cassette, written at the end.")] = None,
    paraphraser: ParaphraserOption = "",
    archives: ArchivesOption = None,
    shared: SharedOption = None,
    reuse: ReuseOption = True,
    metrics: Annotated[
        bool | None, typer.Option(help="Over HTTP: answer /metrics (Prometheus) and /status (docs/observing.md).")
    ] = None,
    log_format: Annotated[
        LogFormat, typer.Option(help="Lines on standard error: 'text', or 'json' for programs.")
    ] = "text",
    log_level: Annotated[
        Level, typer.Option(help="The least that is logged; 'info' has a line for each call.")
    ] = "warning",
) -> None:
    """Serve the tools over MCP."""
    from ..server.http.settings import http_settings
    from ..server.serve import serve as serve_mcp

    limits = {
        "device": device, "threads": threads, "memory_mb": memory_mb, "workers": workers, "paraphraser": paraphraser,
        "reuse": reuse,
    }  # fmt: skip
    if http is None and metrics:
        raise BadCall("--metrics needs --http HOST:PORT. A server on stdio is seen with `ostensor top`.")
    given = {"auth": auth, "workers": processes, "metrics": metrics}
    web = None if http is None else http_settings(http, http_config, **given)
    watching = Watching(log_format, log_level, wants_traces())
    with opened_desk(store, root, toolsets, purpose, archives, shared, **limits) as desk, _recorded(desk, record):
        serve_mcp(desk, web, watching)


def _recorded(desk: Desk, path: Path | None) -> AbstractContextManager[object]:
    """What writes a desk's calls into a cassette; it knows every tool, so it is loaded only where somebody records."""
    if path is None:
        return nullcontext()
    from ..server.cassettes.cassette import recording

    return recording(desk, path)


@app.command()
def call(
    tool: Annotated[str, typer.Argument(help="Name of the tool, e.g. open_image.")],
    args: Annotated[str, typer.Option(help="Arguments as a JSON object.")] = "{}",
    as_json: Annotated[bool, typer.Option("--json", help="Structured answer on standard output.")] = False,
    pictures: Annotated[Path | None, typer.Option(help="Folder for pictures, if the tool draws some.")] = None,
    store: StoreOption = None,
    root: RootOption = None,
    purpose: PurposeOption = "research",
    paraphraser: ParaphraserOption = "",
    archives: ArchivesOption = None,
    shared: SharedOption = None,
    reuse: ReuseOption = True,
    workers: WorkersOption = "local",
) -> None:
    """Call one tool and print its answer; exit status 1 on an error."""
    try:
        arguments = json.loads(args)
    except json.JSONDecodeError as error:
        raise BadCall(f'--args is not JSON: {error}. Write e.g. --args \'{{"path": "ct.nii.gz"}}\'.') from None
    if not isinstance(arguments, dict):
        raise BadCall('--args must be a JSON object, e.g. \'{"path": "ct.nii.gz"}\'.')
    more = {"paraphraser": paraphraser, "reuse": reuse, "workers": workers}
    with opened_desk(store, root, "all", purpose, archives, shared, **more) as desk:
        answer = used(desk, tool, arguments)
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        for number, png in enumerate(answer.pictures):
            (pictures / f"{tool}_{number}.png").write_bytes(png)
    if as_json:
        typer.echo(json.dumps(answer.result.model_dump(mode="json")))
    else:
        typer.echo(answer.text)


@app.command()
def view(
    image: Annotated[str, typer.Argument(help="A file or folder inside a root, or a handle (img_...).")],
    mask: Annotated[list[str] | None, typer.Option(help="Masks to show (repeatable); default: the latest 20.")] = None,
    modality: Annotated[str, typer.Option(help="As in open_image.")] = "auto",
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    store: StoreOption = None,
    root: RootOption = None,
) -> None:
    """Look at a scan and its masks in a browser, on this machine only, until interrupted."""
    from ..server.browser import scan_of
    from ..server.browser import view as show

    with opened_desk(store, root, "all", "research") as desk:
        show(desk, scan_of(desk, image, modality), mask_ids=mask, browser=browser, said=typer.echo)


@app.command()
def doctor(store: StoreOption = None, root: RootOption = None, archives: ArchivesOption = None) -> None:
    """Say what works here, what does not, and what to do about it; exit status 1 when something needs care."""
    from .watching.doctor import examine

    findings = examine(opened_desk(store, root, None, "research", archives))
    console = Console()
    for finding in findings:
        console.print(
            f"[{'green' if finding.ok else 'red'}]{'ok ' if finding.ok else 'BAD'}[/] {finding.text}", soft_wrap=True
        )
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the report and its pictures go.")] = Path("demo"),
) -> None:
    """Segment, measure and draw a real head MR and a made torso CT by words; write a report with pictures."""
    from .demo.walk import run_demo

    console = Console(stderr=True)
    report = run_demo(folder, lambda tool, text: console.print(f"[bold]{tool}[/] {escape(text)}", soft_wrap=True))
    typer.echo(f"Report: {report}")


def main() -> None:
    """Entry point: errors of ours are one line and exit status 1."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        app(standalone_mode=True)
    except OstensorError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
