"""`ostensor archives`: which archives of a hospital may be asked, and whether they answer."""

from __future__ import annotations

from typing import Annotated

import typer

from ..imaging.errors import BadCall, OstensorError
from ..store.archives.archives import Archives
from ..store.archives.nodes import ArchiveAccess, Kind, Node, read_nodes, write_nodes
from ..tools.desk.settings import default_archives, default_store
from .options import ArchivesOption, StoreOption, environment

app = typer.Typer(
    help="DICOMweb, DIMSE and FHIR nodes that scans and records come from (docs/archives.md).",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="As addresses say it: dicomweb://NAME.")],
    kind: Annotated[Kind, typer.Option(help="How it is spoken to.")],
    url: Annotated[str, typer.Option(help="Root of the service, for dicomweb and fhir.")] = "",
    host: Annotated[str, typer.Option(help="For dimse.")] = "",
    port: Annotated[int, typer.Option(help="For dimse.")] = 0,
    aet: Annotated[str, typer.Option(help="AE title of the archive, for dimse.")] = "",
    calling: Annotated[str, typer.Option(help="Our AE title, for dimse.")] = "OSTENSOR",
    token_env: Annotated[str, typer.Option(help="Variable with a bearer token; never the token itself.")] = "",
    user: Annotated[str, typer.Option(help="For Basic authentication.")] = "",
    password_env: Annotated[str, typer.Option(help="Variable with the user's password.")] = "",
    ca_file: Annotated[str, typer.Option(help="PEM file of the authority that signed its certificate.")] = "",
    tls: Annotated[bool, typer.Option("--tls", help="TLS, for dimse.")] = False,
    plain_http: Annotated[bool, typer.Option("--plain-http", help="Allow http to another machine.")] = False,
    may_store: Annotated[bool, typer.Option("--may-store", help="Allow export to store results there.")] = False,
    shared: Annotated[bool, typer.Option("--shared", help="Also for callers of an HTTP server with tokens.")] = False,
    most_gb: Annotated[float, typer.Option(help="Of one download.")] = 4.0,
    archives: ArchivesOption = None,
) -> None:
    """Add an archive, or write one anew."""
    file = archives or default_archives()
    node = Node(
        name, kind, url, host, port, aet, calling if kind == "dimse" else "OSTENSOR", user, password_env, token_env,
        ca_file=ca_file, tls=tls, plain_http=plain_http, may_store=may_store, shared=shared, most_gb=most_gb,
    )  # fmt: skip
    write_nodes(file, {**read_nodes(file), name: node})
    typer.echo(f"{node.address} is in {file}. Try it: ostensor archives check {name}")
    for variable in (node.token_env, node.password_env):
        if variable and not environment(variable):
            typer.echo(f"The variable {variable} is not set here; set it where the server starts.")


@app.command(name="list")
def list_archives(archives: ArchivesOption = None) -> None:
    """Name, kind, place and rights of every archive."""
    nodes = read_nodes(archives or default_archives())
    for node in nodes.values():
        place = node.url or f"{node.host}:{node.port} ({node.aet})"
        key = node.token_env or node.password_env
        marks = [
            f"key in {key}{'' if environment(key) else ' (not set here)'}" if key else "no key",
            "may store" if node.may_store else "read only",
            *(["shared"] if node.shared else []),
            *([] if node.verify_tls else ["certificates are not checked"]),
        ]
        typer.echo(f"{node.address}  {place}  {', '.join(marks)}")
    if not nodes:
        typer.echo("No archive is configured. Add one: ostensor archives add NAME --kind dicomweb --url …")


@app.command()
def check(
    name: Annotated[str | None, typer.Argument(help="Only this one; default: all.")] = None,
    archives: ArchivesOption = None,
    store: StoreOption = None,
) -> None:
    """Ask each archive whether it answers; exit status 1 when one does not."""
    file = archives or default_archives()
    asked = Archives(ArchiveAccess(file, environment), (store or default_store()) / "archives")
    nodes = [_named(asked.nodes, name)] if name else list(asked.nodes.values())
    failed = False
    for node in nodes:
        try:
            typer.echo(f"ok   {asked.check(node)}")
        except OstensorError as error:
            failed = True
            typer.echo(f"BAD  {error}")
    if not nodes:
        typer.echo("No archive is configured. Add one: ostensor archives add NAME --kind dicomweb --url …")
    raise typer.Exit(1 if failed else 0)


@app.command()
def remove(name: Annotated[str, typer.Argument(help="Of the archive.")], archives: ArchivesOption = None) -> None:
    """Forget an archive; what was opened from it stays in the store."""
    file = archives or default_archives()
    nodes = read_nodes(file)
    _named(nodes, name)
    write_nodes(file, {key: node for key, node in nodes.items() if key != name})
    typer.echo(f"Removed {name}.")


def _named(nodes: dict[str, Node], name: str) -> Node:
    if name not in nodes:
        raise BadCall(f"No archive is called '{name[:40]}'. Configured: {', '.join(nodes) or 'none'}.")
    return nodes[name]
