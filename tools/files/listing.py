"""`list_files`: what lies in the roots and how to open it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ...imaging.errors import BadCall
from ...imaging.guards.doors import Door
from ...imaging.imports.name_tables import structure_in
from ...store.archives.addresses import is_address
from ..desk.desk import Answer, Call, Desk
from .archived import archive_addresses, list_archive
from .naming import is_structure_name
from .results import FilesResult
from .wording import first_of, fits

if TYPE_CHECKING:  # its formats load slowly
    from ...imaging.listing.survey import Entry, Survey

_MOST_FOLDERS = 40


def list_files(
    desk: Desk,
    call: Call,
    root: Annotated[
        str | None,
        Field(description="Root, folder inside one, or dicomweb://NAME?modality=CT; default: all."),
    ] = None,
    pattern: Annotated[str | None, Field(description="Part of a path, or a pattern: '*.nii.gz'.")] = None,
    limit: Annotated[int, Field(description="At most so many rows.", ge=1, le=500)] = 50,
) -> Answer:
    """List what can be opened in the allowed folders: paths, sizes, series, label files.

    use="import_mask": masks; the others are for open_image (with `series`, if given).
    Example: list_files(pattern="*ct*")
    """
    if root and is_address(root):
        return list_archive(desk, call, root, pattern, limit)
    from ...imaging.listing.survey import SECONDS, survey

    folders = [_folder(desk, root)] if root else list(desk.roots.folders)
    found = [
        survey(
            folder,
            Door(desk.roots.folders),
            wanted=lambda path: fits(pattern, desk.roots.shown(path), path.name),
            is_structure=lambda name: is_structure_name(desk.table, structure_in(name)),
            seconds=SECONDS / len(folders),
        )
        for folder in folders
    ]
    entries = [entry for one in found for entry in one.entries]
    entries = list(dict.fromkeys(entries))  # roots within roots
    rows = [as_row(desk, entry) for entry in entries[:limit]]
    more, complete = len(entries) - len(rows), all(one.complete for one in found)
    counts = _folders(desk, entries) if more else {}
    archives, note = ([], "") if root else archive_addresses(desk)
    result = FilesResult(roots=[*desk.roots.names, *archives], files=rows, more=more, folders=counts, complete=complete)
    where = f"below '{root}'" if root else f"in {', '.join(desk.roots.names)}"
    text = said(entries, rows, f"{where}{f' like {pattern!r}' if pattern else ''}", complete=complete)
    text += note
    return Answer(f"{text} Name one of `folders` as root to see more." if counts else text, result)


def files_below(desk: Desk, folder: Path) -> Survey:
    """What can be opened in one folder itself."""
    from ...imaging.listing.survey import survey

    return survey(
        folder,
        Door(desk.roots.folders),
        is_structure=lambda name: is_structure_name(desk.table, structure_in(name)),
        deep=False,
    )


def _folder(desk: Desk, root: str) -> Path:
    found = desk.roots.names.get(root) or desk.roots.inside(root)
    if not found.is_dir():
        raise BadCall(f"'{found.name}' is a file. Give a folder, or open it: open_image(path='{root}').")
    return found


def as_row(desk: Desk, entry: Entry) -> dict[str, object]:
    """An entry as callers see it; what is not known is left out."""
    row: dict[str, object] = {"path": _path(desk, entry.path), "kind": entry.kind}
    if entry.series:
        row["series"] = entry.series
    if entry.modality not in ("", "unknown"):
        row["modality"] = entry.modality
    if entry.files > 1:
        row["files"] = entry.files
    if entry.shape:
        row["shape"] = list(entry.shape)
    if entry.spacing_mm:
        row["spacing_mm"] = list(entry.spacing_mm)
    if entry.is_labels:
        row["use"] = "import_mask"
    return row


def _folders(desk: Desk, entries: list[Entry]) -> dict[str, int]:
    """How many entries lie in each folder at the top, the fullest first."""
    tops = Counter("/".join(_path(desk, entry.path).split("/")[:-1][:2]) or "." for entry in entries)
    return dict(tops.most_common(_MOST_FOLDERS))


def _path(desk: Desk, path: Path) -> str:
    """A path that opens this very file: relative to its root, after the root's name where another root has the same."""
    shown = desk.roots.shown(path)
    if shown == "." or desk.roots.inside(shown) != path:
        name, root = next((n, r) for n, r in desk.roots.names.items() if path == r or r in path.parents)
        return f"{name}/{path.relative_to(root).as_posix()}" if path != root else name
    return shown


def said(entries: list[Entry], rows: list[dict[str, object]], where: str, *, complete: bool) -> str:
    """The list in words: the first rows, and how many more there are."""
    if not rows:
        text = f"Nothing that can be opened {where}."
    else:
        text = f"{len(entries)} entries {where}: {first_of([_words(row) for row in rows], len(entries))}."
    return text if complete else f"{text} The time ended before all files were looked at: name a root or pattern."


def _words(row: dict[str, object]) -> str:
    shape = row.get("shape")
    size = f" {'x'.join(map(str, shape))}" if isinstance(shape, list) else ""
    series = f" series={row['series']}" if "series" in row else ""
    masks = ", masks" if "use" in row else ""
    return f"{row['path']} ({row['kind']}{size}{series}{masks})"
