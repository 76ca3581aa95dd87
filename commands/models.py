"""`ostensor models`: what there is, whether it is intact, and how to add weights you have."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..imaging.errors import BadCall, Failed
from .options import shown_progress, shown_work

if TYPE_CHECKING:
    from ..models.card import Card

app = typer.Typer(help="List, show, verify and import models.", no_args_is_help=True, rich_markup_mode=None)
Name = Annotated[str, typer.Argument(help="Name of the model, as `models list` shows it.")]


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    backbones: Annotated[bool, typer.Option("--backbones", help="Networks to be trained, instead of models.")] = False,
) -> None:
    """Every model, whether its weights are here or not."""
    if backbones:
        _list_backbones(as_json)
        return
    cards = _cards()
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(card) for card in cards]))
        return
    table = Table(show_edge=False, pad_edge=False, caption="Licence, sources and limits: ostensor models show NAME.")
    for heading in ("model", "ready", "takes", "knows", "use"):
        table.add_column(heading, no_wrap=True)
    for card in cards:
        takes = f"{'/'.join(card.modalities)} {'/'.join(map(str, card.dimensions))}-D"
        known = "any term" if card.open_text else str(len(card.claimed))
        table.add_row(card.name, "yes" if card.is_ready else card.weights, takes, known, card.purpose)
    Console().print(table)


def _list_backbones(as_json: bool) -> None:
    """The rows of BACKBONES."""
    from ..models.backbones.table import BACKBONES

    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(row) for row in BACKBONES]))
        return
    table = Table(show_edge=False, pad_edge=False, caption="Deviations and presets: ostensor models show NAME.")
    for heading in ("backbone", "system", "takes", "fidelity"):
        table.add_column(heading, no_wrap=True)
    for row in BACKBONES:
        takes = f"{'/'.join(map(str, row.dims))}-D"
        table.add_row(row.name, row.system, takes, row.fidelity)
    Console().print(table)


@app.command()
def show(name: Name) -> None:
    """A model's card as JSON; of a backbone what its row says."""
    from ..models.backbones.table import BACKBONES

    row = next((one for one in BACKBONES if one.name == name), None)
    typer.echo(json.dumps(dataclasses.asdict(_named(name) if row is None else row), indent=1))


@app.command()
def verify(name: Annotated[str | None, typer.Argument(help="Default: every model that is ready.")] = None) -> None:
    """Load weights and compare their hash with the card's."""
    cards = [_named(name)] if name else [card for card in _cards() if card.is_ready]
    if not cards:
        raise Failed("No model is ready here. The bundled weights are missing from this installation.")
    found = []
    with shown_progress("loading weights") as report:
        for number, card in enumerate(cards):
            report(number / len(cards), card.name)
            found.append(f"{card.name}: intact, sha256 {card.sha256[:12]}, runs on {_loaded(card)}.")
    typer.echo("\n".join(found))


def _cards() -> list[Card]:
    from ..models.catalogue import catalogue

    return list(catalogue())


def _named(name: str) -> Card:
    """The card of this name.

    Raises:
        BadCall: there is none.
    """
    from ..models import catalogue

    return catalogue.card(name)


def _loaded(card: Card) -> str:
    """Load the weights and say what runs them."""
    from ..models.interface import Running
    from ..models.load import load_card

    return str(load_card(card, Running()).engine)


@app.command("import")
def import_model(
    name: Name,
    files: Annotated[list[Path], typer.Argument(help="SAT: segmentation and text checkpoint; MeshNet: model.pth.")],
    accept_licence: Annotated[bool, typer.Option(help="You have read the model's licence note.")] = False,
    facts: Annotated[
        Path | None, typer.Option(help="Of a backbone's checkpoint: TOML of what it was taught (docs/backbones.md).")
    ] = None,
) -> None:
    """Check and convert published weights you have: of a model, or with --facts of a backbone."""
    from ..models.importing import import_weights, still_needed

    if facts is not None:
        _import_backbone(name, files, facts, accept_licence=accept_licence)
        return
    _refuse_bare_backbone(name)
    with shown_work(f"importing {name}"):
        card = import_weights(name, files, accept_licence=accept_licence)
    typer.echo(f"{card.name}: imported, sha256 {card.sha256[:12]}.")
    if (needed := still_needed(card)) is not None:
        typer.echo(f"Still needed: the files of {card.text_encoder}, copied to {needed}")


def _import_backbone(name: str, files: list[Path], facts: Path, *, accept_licence: bool) -> None:
    """A checkpoint of a backbone."""
    from ..models.backbones.table import backbone
    from ..models.shelving import import_backbone

    row = backbone(name)
    if len(files) != 1:
        raise BadCall(f"A checkpoint of '{name}' is one file; {len(files)} were given.")
    with shown_work(f"importing {name}"):
        card = import_backbone(files[0], facts, row=row, accept_licence=accept_licence)
    typer.echo(f"{card.name}: imported, sha256 {card.sha256[:12]}. Ask it with model='{card.name}'.")


def _refuse_bare_backbone(name: str) -> None:
    """A backbone's checkpoint does not say what it was taught.

    Raises:
        BadCall: it is one.
    """
    from ..models.backbones.table import BACKBONES

    if any(row.name == name for row in BACKBONES):
        raise BadCall(
            f"'{name}' is a backbone, whose checkpoints do not say what they were taught. Say it in a file, --facts FILE.toml; "
            "docs/backbones.md shows one."
        )
