"""`ostensor ask` and `replay`: questions to an agent, and recorded runs played again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from rich.console import Console
from rich.table import Table

from ..imaging.errors import BadCall, Unavailable
from .options import PurposeOption, ReuseOption, RootOption, StoreOption, opened_desk
from .report import read_text

Model = Annotated[str, typer.Option(help="'offline', or provider:name, e.g. anthropic:claude-sonnet-5.")]
Record = Annotated[Path | None, typer.Option(help="Record the tool calls into a cassette.")]


def add_commands(app: typer.Typer) -> None:
    """Put the commands into the application."""
    app.command()(ask)
    app.command()(replay)


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know; empty with --resume.")] = "",
    image: Annotated[
        list[str] | None, typer.Option(help="A scan inside a root, or an img_ handle (repeatable).")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(help="Id of an earlier run: 'it' and 'the other one' mean what it asked for; its scans are used."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="A text file with a report.")] = None,
    ehr: Annotated[
        Path | None, typer.Option(help="A health record for prognosis: JSON, a CSV row or a FHIR R4 bundle.")
    ] = None,
    model: Model = "offline",
    resume: Annotated[str | None, typer.Option(help="Go on with a run that waits for approval.")] = None,
    approve: Annotated[bool, typer.Option("--approve/--reject", help="The decision for --resume.")] = False,
    pictures: Annotated[Path | None, typer.Option(help="Folder for pictures that were drawn.")] = None,
    record: Record = None,
    as_json: Annotated[bool, typer.Option("--json", help="Structured answer on standard output.")] = False,
    store: StoreOption = None,
    root: RootOption = None,
    purpose: PurposeOption = "research",
    reuse: ReuseOption = True,
) -> None:
    """Ask about a scan in plain words; every number in the answer cites the tool call it came from."""
    agent = _agents()
    from ..server.cassettes.cassette import path_key, recording
    from ..server.logs import log_to_stderr
    from ..server.mcp.server import build_server

    text = read_text(report) if report is not None else ""
    record_text = read_text(ehr) if ehr is not None else ""
    images = image or []
    session = {
        "kind": "ask", "question": question, "model": model, "report": text, "ehr": record_text,
        "images": [name if name.startswith("img_") else path_key(name) for name in images],
    }  # fmt: skip
    console = Console(stderr=True)
    with opened_desk(store, root, "all", purpose, reuse=reuse) as desk, recording(desk, record, session):
        server, folder = build_server(desk), desk.store.folder / "agent"
        log_to_stderr()
        earlier: list[str] = []
        if after is not None:
            before = agent.thread_of(after, folder)
            earlier = [*before.earlier, before.question]
            images = images or [image_id for image_id, _modality in before.images]

        async def run(listen: Any) -> Any:
            if resume is not None:
                decision = "approve" if approve else "reject"
                return await agent.resume(resume, decision, server, folder=folder, listen=listen)
            return await agent.ask(
                question,
                server,
                images=images,
                earlier=earlier,
                report=text,
                ehr=record_text,
                model=model,
                folder=folder,
                listen=listen,
            )

        with console.status("working") as status:
            answered = anyio.run(
                run, lambda part: status.update(f"{part.get('progress', 0):.0%} {part.get('message')}")
            )
    place = pictures or folder / "pictures"
    if answered.pictures:
        place.mkdir(parents=True, exist_ok=True)
        for name, png in answered.pictures.items():
            (place / f"{name}.png").write_bytes(png)
    typer.echo(json.dumps(_as_json(answered)) if as_json else _as_text(answered))
    if not as_json:
        for name in answered.pictures:
            typer.echo(f"Picture: {place / name}.png")
        if answered.reply is not None:
            typer.echo(f"Go on with: ostensor ask --after {answered.thread_id} '...'", err=True)


def replay(
    cassette: Annotated[Path, typer.Argument(help="A recorded run.")],
    live: Annotated[bool, typer.Option(help="Run every call again and compare with the recording.")] = False,
    serve: Annotated[bool, typer.Option(help="Serve the recording over MCP on stdio.")] = False,
    store: StoreOption = None,
    root: RootOption = None,
    purpose: PurposeOption = "research",
) -> None:
    """Play a recorded run without a model or a scan; exit status 1 when anything is not as recorded."""
    from ..server.cassettes.cassette import Cassette
    from ..server.cassettes.replay import Live, Player, replay_server

    tape = Cassette.load(cassette)
    if live:
        with opened_desk(store, root, "all", purpose) as desk:
            differences = Live(tape, desk).run()
        table = Table("call", "tool", "where", "recorded", "live", title=f"{len(tape.calls)} calls run again")
        for row in differences:
            table.add_row(
                str(row.call),
                row.tool,
                row.where,
                row.recorded,
                ("" if row.matters else "(within tolerance) ") + row.live,
            )
        Console().print(table if differences else f"{len(tape.calls)} calls run again: all as recorded.")
        raise typer.Exit(1 if any(row.matters for row in differences) else 0)
    player = Player(tape)
    if serve:
        _serve(replay_server(player))
        return
    if tape.session.get("kind") == "ask":
        answered = anyio.run(_ask_again, player, tape.session)
        typer.echo(_as_text(answered))
    else:
        for call in tape.calls:
            player.answer(call.tool, call.arguments)
    typer.echo(f"{len(tape.calls)} recorded calls, {len(player.missed)} missed, {len(player.unused)} unused.", err=True)
    raise typer.Exit(1 if player.missed or player.unused else 0)


async def _ask_again(player: Any, session: dict[str, Any]) -> Any:
    from ..server.cassettes.replay import replay_server

    return await _agents().ask(
        session["question"],
        replay_server(player),
        images=session["images"],
        report=session["report"],
        ehr=session.get("ehr", ""),
        model=session["model"],
    )


def evaluate_agent(model: str, out: Path | None, category: str | None, wordings: int, data: Path) -> None:
    """Run the agent's tasks, print the scores, and write every run."""
    _agents()
    from ..agents import evals

    tasks = [task for task in evals.load_tasks() if category in (None, task.category)]
    if not tasks:
        known = ", ".join(dict.fromkeys(task.category for task in evals.load_tasks()))
        raise BadCall(f"Unknown category '{category}'. Known: {known}.")
    console = Console(stderr=True)

    def tell(run: Any) -> None:
        verdict = "[green]passed[/]" if run.passed else f"[red]failed[/] {', '.join(run.wrong)}"
        console.print(f"{run.task} {run.wording + 1} {verdict}", highlight=False)

    runs, skipped = evals.run_tasks(
        tasks, model=model, shared=data if data.is_dir() else None, wordings=wordings, tell=tell
    )
    table = Table(
        "category", "tasks", "runs", "passed", "pass^k", *evals.PARTS, "calls", "tokens", title=f"Agent: {model}"
    )
    for row in evals.tally(runs):
        shares = [f"{share:.0%}" for share in (row.passed, row.pass_k, *row.parts.values())]
        table.add_row(row.category, str(row.tasks), str(row.runs), *shares, f"{row.calls:.1f}", f"{row.tokens:.0f}")
    Console(width=max(140, console.width)).print(table)
    for run in runs:
        if not run.passed:
            typer.echo(f"failed: {run.task} [{run.wording}] {', '.join(run.wrong)}: {run.said}")
    if skipped:
        typer.echo(f"Skipped, their scan is not here: {', '.join(skipped)}")
    if out is not None:
        out.write_text(evals.report_of(runs, skipped, model), encoding="utf-8")


def _serve(server: Any) -> None:
    from mcp.server.stdio import stdio_server

    async def run() -> None:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(run)


def _agents() -> Any:
    """The agent layer, or one sentence about what is missing."""
    try:
        from ..agents import ask as layer
    except ImportError as error:
        raise Unavailable(
            f"The agent layer needs the package '{error.name}'. Install it with: pip install 'ostensor[agents]'"
        ) from None
    return layer


def _as_text(answered: Any) -> str:
    if answered.reply is None:
        lines = [f"{one['name']}({json.dumps(one['args'])})" for one in answered.pending]
        how = f"Approve with: ostensor ask --resume {answered.thread_id} --approve (or --reject)"
        return "\n".join(["Waiting for your approval of:", *lines, how])
    lines = []
    for statement in answered.reply.statements:
        cited = ", ".join(" ".join(filter(None, (cite.call_id, cite.handle))) for cite in statement.cites)
        lines.append(f"{statement.text} [{cited}]" if cited else statement.text)
    return "\n".join([*lines, *(f"Left out: {line}" for line in answered.removed)])


def _as_json(answered: Any) -> dict[str, Any]:
    return {
        "thread_id": answered.thread_id,
        "reply": None if answered.reply is None else answered.reply.model_dump(mode="json"),
        "pending": list(answered.pending),
        "removed": list(answered.removed),
        "calls": list(answered.calls),
        "tokens": answered.tokens,
    }
