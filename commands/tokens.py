"""`ostensor tokens`: who may call the server over HTTP."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ..imaging.errors import BadCall
from ..imaging.guards.private import make_private_folder
from ..tools.desk.settings import DEFAULT_TOOLSETS, default_store
from .options import StoreOption

app = typer.Typer(
    help="Bearer tokens for `ostensor serve --http ... --auth tokens`.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Person or program; tokens of one name share handles and files.")],
    toolsets: Annotated[str, typer.Option(help="Comma-separated, or 'all'.")] = ",".join(DEFAULT_TOOLSETS),
    days: Annotated[float, typer.Option(help="Valid so long.")] = 90.0,
    store: StoreOption = None,
) -> None:
    """Make a token and print it; it is shown this once."""
    from ..server.http.tokens import TokenFile

    names = [part.strip() for part in toolsets.split(",")]
    typer.echo(TokenFile(_folder(store)).add(name, toolsets=names, days=days))


@app.command(name="list")
def list_tokens(store: StoreOption = None) -> None:
    """Names, scopes and days left; the tokens themselves are not kept."""
    from ..server.http.tokens import TokenFile

    for token in TokenFile(_folder(store)).tokens():
        left = (token.expires - time.time()) / 86_400
        typer.echo(f"{token.name}  {' '.join(token.scopes)}  {f'{left:.1f} days' if left > 0 else 'expired'}")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="Whose tokens to remove.")],
    store: StoreOption = None,
) -> None:
    """Remove every token of a name, at once."""
    from ..server.http.tokens import TokenFile

    removed = TokenFile(_folder(store)).revoke(name)
    if not removed:
        raise BadCall(f"'{name}' has no token. See ostensor tokens list.")
    typer.echo(f"Removed {removed}.")


def _folder(store: Path | None) -> Path:
    folder = store or default_store()
    make_private_folder(folder)
    return folder
