"""`ostensor check-report`: a report against a scan, on the screen, as JSON, or as a page for people."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..imaging.errors import BadCall
from .options import PurposeOption, RootOption, StoreOption, opened_desk, used

if TYPE_CHECKING:
    from ..tools.desk.desk import Answer, Desk
    from ..tools.reports.results import ReportResult

WAIT_S = 300.0
_COLOUR = {"supported": "green", "contradicted": "red", "cannot_tell": "yellow"}


def add_commands(app: typer.Typer) -> None:
    """Put the command into the application."""
    app.command("check-report")(check_report)


def check_report(
    image: Annotated[str, typer.Argument(help="The scan, inside a root.")],
    report: Annotated[str, typer.Argument(help="A text file with the report, or - for standard input.")],
    out: Annotated[Path | None, typer.Option(help="Folder for a self-contained page, report.html.")] = None,
    modality: Annotated[str, typer.Option(help="auto, ct, mr, pet, us, xr or photo.")] = "auto",
    allow_synthetic: Annotated[bool, typer.Option(help="Also judge on synthetic images.")] = False,
    model: Annotated[
        str, typer.Option(help="'offline', or provider:name to let an LLM read the report, too.")
    ] = "offline",
    record: Annotated[Path | None, typer.Option(help="Record the calls into a cassette.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Structured answer on standard output.")] = False,
    store: StoreOption = None,
    root: RootOption = None,
    purpose: PurposeOption = "research",
) -> None:
    """Hold each sentence of a report against a scan: supported, contradicted or cannot tell."""
    from ..server.cassettes.cassette import recording

    text = sys.stdin.read() if report == "-" else read_text(Path(report))
    with opened_desk(store, root, "all", purpose) as desk, recording(desk, record):
        result = _checked(desk, image, text, modality=modality, allow_synthetic=allow_synthetic, model=model)
        page = None
        if out is not None:
            from ..tools.reports.page import write_report_page

            page = write_report_page(desk, result, text.replace("\r\n", "\n").replace("\r", "\n"), out)
    if as_json:
        typer.echo(json.dumps(result.model_dump(mode="json")))
    else:
        show(result, Console())
    if page is not None:
        typer.echo(f"Page: {page}", err=as_json)


def read_text(path: Path) -> str:
    """A report from a file.

    Raises:
        BadCall: there is no such file, or it is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadCall(
            f"'{path.name}' does not exist. Give a text file with the report, or - for standard input."
        ) from None
    except UnicodeDecodeError:
        raise BadCall(f"'{path.name}' is not UTF-8 text. Save the report as plain text.") from None


def _checked(desk: Desk, image: str, text: str, *, modality: str, allow_synthetic: bool, model: str) -> ReportResult:
    from ..tools.reports.results import ReportResult

    opened: Any = used(desk, "open_image", {"path": image, "modality": modality}).result
    if opened.image_id is None:
        raise BadCall(f"'{Path(image).name}' holds several series. Call open_image to choose one.")
    if model == "offline":
        asked = {"image_id": opened.image_id, "report": text, "allow_synthetic": allow_synthetic, "wait_s": WAIT_S}
        answer = used(desk, "check_report", asked)
    else:
        answer = _with_llm(desk, opened.image_id, text, allow_synthetic=allow_synthetic, model=model)
    result = answer.result
    assert isinstance(result, ReportResult)
    return result


def _with_llm(desk: Desk, image_id: str, text: str, *, allow_synthetic: bool, model: str) -> Answer:
    from ..agents.report import check_with_llm

    return check_with_llm(desk, image_id, text, model=model, allow_synthetic=allow_synthetic, wait_s=WAIT_S)


def show(result: ReportResult, console: Console) -> None:
    """The judged findings as a table, then what else was seen."""
    table = Table("judgement", "sentence", "why", title=result.summary.split(" Contradicted:")[0])
    for row in result.findings:
        shown = f"[{_COLOUR[row.judgement]}]{row.judgement.replace('_', ' ')}[/]"
        table.add_row(shown, _plain(row.sentence), _plain(" ".join(row.reasons)))
    console.print(table)
    for line in result.contradictions:
        console.print(f"[red]The report contradicts itself:[/] {_plain(line)}", soft_wrap=True)
    for odd in (row for row in result.unmentioned if row.implausible):
        console.print(
            f"Not mentioned, and implausible: {odd.structure}. {_plain(' '.join(odd.reasons))}", soft_wrap=True
        )
    if result.not_checked:
        console.print(f"{len(result.not_checked)} sentences were not checked.")


def _plain(text: str) -> str:
    """The report's own square brackets are no markup."""
    return " ".join(text.split()).replace("[", "\\[")
