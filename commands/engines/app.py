"""`ostensor engines`: find, add, list, show, check, prefer, remove."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ...imaging.errors import BadCall, OstensorError
from ..options import shown_progress, shown_work

if TYPE_CHECKING:
    from ...models.external.engine import Engine

app = typer.Typer(
    help="Use networks you already have: nnU-Net, TotalSegmentator, MONAI bundles, servers, any program.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Name = Annotated[str, typer.Argument(help="Name of the engine, as `engines list` shows it.")]
Python = Annotated[str, typer.Option(help="Python that has the engine's package; default: ours, or the one of its program on the PATH.")]  # fmt: skip


@app.command()
def find() -> None:
    """Look for engines in the usual places; only JSON is read, nothing is run."""
    from ...models.external.adapters import ADAPTERS
    from ...models.external.shelf import engines

    known = {engine.folder for engine in engines()}
    found = [(row.name, path) for row in ADAPTERS for path in row.code().find(os.environ, Path.home())]
    for adapter, path in found:
        typer.echo(f"{adapter}  {path}{'  (added)' if str(path.resolve()) in known else ''}")
    typer.echo(
        "Add one: ostensor engines add ADAPTER --folder FOLDER"
        if found
        else "Nothing in the usual places ($nnUNet_results, TotalSegmentator's, MOOSE's, HD-BET's and MONAI's folders). "
        "Give the folder yourself: ostensor engines add nnunet --folder FOLDER"
    )


@app.command()
def add(
    adapter: Annotated[str, typer.Argument(help="Kind of engine: `engines kinds` lists them.")],
    folder: Annotated[Path | None, typer.Option(help="Where its weights lie.")] = None,
    name: Annotated[str | None, typer.Option(help="What tools will call it; default: after its folder.")] = None,
    python: Python = "",
    url: Annotated[str | None, typer.Option(help="Of a server, e.g. http://127.0.0.1:1527.")] = None,
    key_env: Annotated[
        str | None, typer.Option(help="Variable of the environment that holds the server's key.")
    ] = None,
    modality: Annotated[
        list[str] | None, typer.Option(help="ct, mr, pet, us, xr, photo (repeatable); default: what its files tell.")
    ] = None,
    orientation: Annotated[
        str | None, typer.Option(help="Axes its arrays are stored in: LPS, RAS, as-stored; `engines check` finds out.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Of its weights, where their folder does not tell it.")] = None,
    purpose: Annotated[str | None, typer.Option(help="'any' or 'research-only'; default: by the licence.")] = None,
    device: Annotated[str | None, typer.Option(help="'cpu' or 'cuda'.")] = None,
    memory_mb: Annotated[int | None, typer.Option(help="Ceiling of its process.", min=100)] = None,
    prefer: Annotated[
        str | None, typer.Option(help="Structures `auto` takes from it first, with commas; '*' for all.")
    ] = None,
    trust_code: Annotated[bool, typer.Option(help="Code in its folder may run (MONAI bundles are code).")] = False,
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="KEY=VALUE of the adapter's own, VALUE as JSON (repeatable): folds=[0], task=total, template='...'."
        ),
    ] = None,
    classes: Annotated[str | None, typer.Option(help="What numbers mean, for programs: liver=1,spleen=2.")] = None,
) -> None:
    """Write an engine down: its files hashed, its classes named as here, its licence told."""
    from ...models.catalogue import catalogue
    from ...models.external.shelf import add_engine, engine_of
    from .adding import draft

    said = {"name": name, "url": url, "key_env": key_env, "orientation": orientation, "licence": licence, "purpose": purpose,
            "device": device, "memory_mb": memory_mb, "modalities": tuple(modality) if modality else None,
            "prefer": _words(prefer) if prefer else None, "trust_code": trust_code or None}  # fmt: skip
    made = draft(adapter, folder, python, _options(option or [], classes), said)
    taken = {card.name for card in catalogue() if card.weights != "engine"}
    with shown_work("hashing its files"):
        engine = add_engine(made, taken.__contains__)
    typer.echo(_told(engine_of(engine.name)))


@app.command()
def kinds() -> None:
    """The kinds of engine there are, and what each needs."""
    from ...models.external.adapters import ADAPTERS

    for row in ADAPTERS:
        needs = f"a server; {row.install}" if row.client else row.install or "nothing"
        typer.echo(f"{row.name}: needs {needs}{'; its folder is code, add --trust-code' if row.takes_code else ''}")


@app.command("list")
def list_engines(as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """Engines that were added."""
    from ...models.external.shelf import engines, measured_cases

    found = engines()
    if as_json:
        typer.echo(json.dumps([asdict(engine) for engine in found]))
        return
    if not found:
        typer.echo("No engine was added. `ostensor engines find` looks in the usual places.")
        return
    table = Table()
    for heading in ("engine", "kind", "takes", "knows", "axes", "measured here", "use"):
        table.add_column(heading, no_wrap=heading == "engine")
    for engine in found:
        cases = len(measured_cases(engine.name))
        table.add_row(
            engine.name,
            engine.adapter,
            "/".join(engine.modalities),
            "any text"
            if engine.accepts == "text"
            else f"{len(engine.structures)} structures, {len(engine.unresolved)} others",
            f"{engine.orientation} ({engine.orientation_from})",
            f"{cases} scans" if cases else "no",
            engine.purpose,
        )
    Console().print(table)


@app.command()
def show(name: Name) -> None:
    """Everything known of an engine, as JSON."""
    from ...models.external.shelf import engine_of, measured_cases

    typer.echo(json.dumps({**asdict(engine_of(name)), "measured": measured_cases(name)}, indent=1))


@app.command()
def check(
    name: Name,
    image: Annotated[Path | None, typer.Option(help="A scan to try it on.")] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Its labels: a label file or a folder of masks; finds the axes and measures.")
    ] = None,
    modality: Annotated[str, typer.Option(help="Of the scan, as in open_image.")] = "auto",
    keep_axes: Annotated[bool, typer.Option(help="Measure only; do not try the 48 orders of axes.")] = False,
) -> None:
    """Compare its files, start it, try it on a scan; with labels, find the axes it was taught in and measure it."""
    from .checking import check_engine

    if mask is not None and image is None:
        raise BadCall("--mask needs --image, the scan it belongs to.")
    with shown_progress(f"checking {name}") as report:
        typer.echo(check_engine(name, image, mask, modality, report, keep_axes=keep_axes))


@app.command()
def prefer(
    name: Name,
    structures: Annotated[str, typer.Argument(help="With commas; '*' for all it knows, '' for none.")],
) -> None:
    """Say which structures `auto` is to take from this engine first."""
    from ...models.external.shelf import engine_of, merged, save_engine

    engine = engine_of(name)
    wanted = _words(structures)
    unknown = [one for one in wanted if one != "*" and not engine.values_of(one)]
    if unknown and engine.accepts == "names":
        raise BadCall(f"'{name}' does not know: {', '.join(unknown)}. It knows: {', '.join(engine.structures)[:600]}.")
    save_engine(merged(engine, {"prefer": wanted}))
    typer.echo(f"'{name}' is preferred for: {', '.join(wanted) or 'nothing'}.")


@app.command()
def remove(name: Name) -> None:
    """Forget an engine; its own folder is left as it is."""
    from ...models.external.shelf import remove_engine

    remove_engine(name)
    typer.echo(f"'{name}' is forgotten; its weights lie where they lay.")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def _options(given: list[str], classes: str | None) -> dict[str, object]:
    """KEY=VALUE pairs; a value that is no JSON is a word."""
    found: dict[str, object] = {}
    for pair in given:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise BadCall(f"--option '{pair}' is no KEY=VALUE. Write e.g. --option task=total or --option folds=[0].")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    if classes:
        try:
            found["classes"] = {
                label.strip(): int(number) for label, number in (pair.split("=") for pair in _words(classes))
            }
        except ValueError:
            raise BadCall(f"--classes '{classes}' is no list of NAME=NUMBER. Write e.g. liver=1,spleen=2.") from None
    return found


def _told(engine: Engine) -> str:
    """What was added, what to mind, what to do next."""
    from .adding import installed

    lines = [
        f"'{engine.name}' was added: {engine.title}; takes {'/'.join(engine.modalities)}; licence: {engine.licence} "
        f"({engine.licence_source or 'said by nobody'}), use: {engine.purpose}."
    ]
    if engine.accepts != "text":
        lines.append(f"It knows {len(engine.structures)} structures of the table here.")
    if engine.unresolved:
        lines.append(f"Not in the table, callable by their own names: {', '.join(engine.unresolved)[:400]}.")
    try:
        lines.append(installed(engine))
    except OstensorError as error:
        lines.append(f"It cannot run yet: {error}")
    if engine.orientation_from == "assumed":
        lines.append(
            f"Axes {engine.orientation} are assumed; until a labelled scan was tried its masks are 'unsure': "
            f"ostensor engines check {engine.name} --image SCAN --mask LABELS"
        )
    else:
        lines.append(f"Try it: ostensor engines check {engine.name} --image SCAN")
    return "\n".join(lines)
