"""`ostensor store`: what the store holds, and its upkeep."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..tools.desk.desk import Desk
from ..tools.desk.settings import default_store
from .options import StoreOption, opened_desk, shown_progress
from .sharing import SharedOption, shared_of

app = typer.Typer(help="Look into the store and keep it tidy.", no_args_is_help=True, rich_markup_mode=None)


@app.command("ls")
def list_store(store: StoreOption = None, shared: SharedOption = None) -> None:
    """List images with their masks, then jobs."""
    from ..tools.files.aliases import alias_of_image, alias_of_job, alias_of_mask

    with opened_desk(store, None, None, "research", shared=shared) as desk:
        table = Table("handle", "what", "size", title=f"Store {desk.settings.store}")
        for image in desk.store.images():
            size = " x ".join(str(n) for n in image.grid.shape)
            table.add_row(image.image_id, f"{image.modality} {alias_of_image(image)}", size)
            for mask in desk.store.masks_of(image.image_id):
                table.add_row(f"  {mask.mask_id}", alias_of_mask(mask), f"{mask.voxels} voxels")
        for job in desk.store.jobs():
            table.add_row(job.job_id, alias_of_job(job), f"{job.state} {job.progress:.0%}")
        Console().print(table)


@app.command()
def gc(
    store: StoreOption = None,
    shared: SharedOption = None,
    older_than_s: Annotated[float, typer.Option(help="Keep files younger than this.", min=0)] = 3600.0,
) -> None:
    """Delete array files nothing refers to."""
    with opened_desk(store, None, None, "research", shared=shared) as desk:
        typer.echo(f"Freed {desk.store.gc(older_than_s=older_than_s) / 1e6:.1f} MB.")


@app.command()
def repair(store: StoreOption = None, shared: SharedOption = None) -> None:
    """Put right what a crash left behind, and check every array against its hash."""
    with opened_desk(store, None, None, "research", shared=shared) as desk:
        done = (*desk.store.repairs, *desk.store.repair())
        bad = _damaged(desk)
    for line in done or ("Nothing to repair.",):
        typer.echo(line)
    _say(bad)


@app.command()
def verify(store: StoreOption = None, shared: SharedOption = None) -> None:
    """Read every array and compare it with its hash: finds bits that flipped on the disk; changes nothing."""
    with opened_desk(store, None, None, "research", shared=shared) as desk:
        bad = _damaged(desk)
        count = sum(1 + len(desk.store.masks_of(image.image_id)) for image in desk.store.images())
    if not bad:
        typer.echo(f"All {count} arrays are as they were written.")
    _say(bad)


@app.command()
def upgrade(store: StoreOption = None, shared: SharedOption = None) -> None:
    """Bring a catalogue of an earlier version, and those of its callers, to the schema of this one.

    A folder's own catalogue is brought up whenever it is opened; a shared one only by this. Stop its servers first.
    """
    from ..store.catalogue.upgrading import HEAD
    from ..store.store import upgrade_all

    for name, before in upgrade_all(store or default_store(), shared_of(shared)):
        was = "made" if before is None else f"was of version {before}"
        typer.echo(f"{name}: {f'of version {HEAD} already' if before == HEAD else f'{was}, now {HEAD}'}.")


def _damaged(desk: Desk) -> tuple[str, ...]:
    with shown_progress("reading every array") as report:
        return desk.store.verify(report=report)


def _say(bad: tuple[str, ...]) -> None:
    if bad:
        typer.echo(f"Damaged, open or make them again: {', '.join(bad)}.")
        raise typer.Exit(1)
