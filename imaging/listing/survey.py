"""A walk through folders that may be opened: what can be, within a bounded time."""

from __future__ import annotations

import os
import re
import time
import warnings as python_warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..formats.table import Format, format_of
from ..guards.doors import Door
from ..guards.withheld import withhold_header_values
from .headlines import Headline, headline
from .series_heads import SeriesHead, SeriesHeads

SECONDS = 5.0  # of looking at headers
MOST_FILES = 20_000
LEAST_FOLDER = 3  # files named after structures that make a folder one set of masks
_DICOM_NAMES = re.compile(r"[^.]*|.*\.(dcm|ima|dicom|\d+)", re.I)  # no ending, a usual one, or the last number of a UID


@dataclass(frozen=True)
class Entry:
    """Something that can be opened or imported.

    Attributes:
        path: the file, or the folder of a series or of masks.
        files: how many files it is.
        series: alias, of a DICOM series.
    """

    path: Path
    kind: str
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    modality: str = ""
    series: str = ""
    files: int = 1
    is_labels: bool = False


@dataclass(frozen=True)
class Survey:
    """What was found; `complete` is False when the time or the number of files ended first."""

    entries: tuple[Entry, ...]
    complete: bool


def survey(
    folder: Path,
    door: Door,
    *,
    wanted: Callable[[Path], bool] = lambda path: True,
    is_structure: Callable[[str], bool] = lambda name: False,
    deep: bool = True,
    seconds: float = SECONDS,
) -> Survey:
    """What can be opened below a folder, in the order of its paths. Links and hidden files are passed over.

    Args:
        wanted: whether a file counts.
        is_structure: whether a file's name is that of a structure, as in folders of TotalSegmentator.
        deep: also look into the folders below.
    """
    withhold_header_values()
    until = time.monotonic() + seconds
    heads, found, complete = SeriesHeads(door), [], True
    plain: dict[Path, list[tuple[Path, Format]]] = {}
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # pydicom warns of odd values; nothing of them is shown
        for number, entry in enumerate(_files(folder, until, deep=deep)):
            if number >= MOST_FILES or time.monotonic() > until:
                complete = False
                break
            path = Path(entry.path)
            row = format_of(entry.name)
            if row is not None:
                plain.setdefault(path.parent, []).append((path, row))
            elif not wanted(path):
                continue
            elif entry.name.lower().endswith(".zip"):
                found.append(Entry(path, "zip"))
            elif _DICOM_NAMES.fullmatch(entry.name):
                heads.add(path, entry.stat(follow_symlinks=False).st_size)
        complete = complete and time.monotonic() <= until  # the walk itself may have used it up
        for files in plain.values():
            for one in _volumes(files, door, wanted, is_structure):
                found.append(one)
                if time.monotonic() > until:
                    complete = False
                    break
    found += [_of_series(head) for head in heads.found]
    return Survey(tuple(sorted(found, key=lambda one: (str(one.path).casefold(), one.series))), complete)


def _files(folder: Path, until: float, *, deep: bool) -> Iterator[os.DirEntry[str]]:
    """Plain files, folder by folder in the order of their names, until the time ends; folders may lie as deep as they like."""
    waiting = [str(folder)]
    while waiting and time.monotonic() <= until:
        try:
            with os.scandir(waiting.pop()) as entries:
                listed = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda e: e.name)
        except OSError:
            continue
        yield from (entry for entry in listed if entry.is_file(follow_symlinks=False))
        if deep:
            waiting += [entry.path for entry in reversed(listed) if entry.is_dir(follow_symlinks=False)]


def _volumes(
    files: list[tuple[Path, Format]], door: Door, wanted: Callable[[Path], bool], is_structure: Callable[[str], bool]
) -> Iterator[Entry]:
    """What counts of a folder's files; where all are named after structures, they are one set of masks."""
    asked = [(path, row) for path, row in files if wanted(path)]
    if asked and len(files) >= LEAST_FOLDER and all(is_structure(path.name) for path, _ in files):
        path, row = files[0]
        first = headline(path, row, door)
        yield Entry(path.parent, "masks", first.shape, first.spacing_mm, files=len(files), is_labels=True)
        return
    for path, row in asked:
        yield _of_file(path, headline(path, row, door))


def _of_file(path: Path, head: Headline) -> Entry:
    return Entry(path, head.kind, head.shape, head.spacing_mm, is_labels=head.is_labels)


def _of_series(head: SeriesHead) -> Entry:
    return Entry(
        head.path,
        head.kind,
        head.shape,
        head.spacing_mm,
        modality=head.modality,
        series=head.alias,
        files=head.files,
        is_labels=head.kind != "dicom",
    )
