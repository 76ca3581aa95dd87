"""`ostensor eval parity`: do we compute what the authors' code computed? And the group `eval`, in which it is a command."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from typer.core import TyperGroup

if TYPE_CHECKING:
    from ...benchmarks.accuracy.parity import Compared

CONFIG = "config"  # name of the command that `eval CONFIG` means


class _Evaluations(TyperGroup):
    """What begins with none of the group's commands is `eval CONFIG`, its options before or behind."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = not args or args[0] == "--help" or args[0] in self.commands
        return super().parse_args(ctx, args if named else [CONFIG, *args])


evaluations = typer.Typer(
    cls=_Evaluations,
    help="Measure a run (`eval CONFIG`), or parity with the authors' code.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@evaluations.command("parity")
def show_parity(
    folders: Annotated[
        list[Path], typer.Argument(help="Fixtures, or folders of fixtures (docs/parity.md).", metavar="FOLDER")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Compare our outputs with the authors' on the same weights; exit status 1 unless every output holds."""
    from ...benchmarks.accuracy.parity import measure

    found = measure(folders)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], allow_nan=False))
    else:
        _print(found)
    raise typer.Exit(0 if all(one.holds for one in found) else 1)


def _print(found: list[Compared]) -> None:
    table = Table(
        *(Column(name, overflow="fold") for name in ("fixture", "system", "output", "error", "allowed", "holds"))
    )
    for one in found:
        numbers = ["-" if value is None else f"{value:.1e}" for value in (one.error, one.tolerance)]
        output = one.output if one.kind == "output" else f"({one.output})"
        table.add_row(one.fixture, one.system, output, *numbers, "yes" if one.holds else f"NO: {one.reason}")
    Console().print(table)
    failed = sum(not one.holds for one in found)
    typer.echo(f"{failed} of {len(found)} do not hold." if failed else f"All {len(found)} hold.")
