"""Which scans a batch is about: files, DICOM folders, folders of either, and patterns, all inside the roots."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from ...imaging.errors import BadCall
from ...imaging.formats.table import IMAGE_ENDINGS
from ...store.roots import Roots, as_written

MOST_SCANS = 5000
_LISTED = 100_000  # names of a folder or matches of a pattern that are looked at
_PATTERN = frozenset("*?[")


def find_scans(roots: Roots, paths: Sequence[str]) -> list[Path]:
    """Absolute paths of the scans, sorted, none twice.

    A folder with image files counts as so many scans, one with folders only as a scan each, any other as one DICOM scan.

    Raises:
        BadCall: a path is outside the roots or missing, a pattern meets nothing, or there are too many.
    """
    found: dict[Path, None] = {}
    for text in paths:
        for path in _met(roots, text):
            for scan in _scans_in(path):
                found.setdefault(roots.inside(scan), None)
    if not found:
        raise BadCall("No scan was found. Give image files, DICOM folders, or a pattern such as 'cohort/*.nii.gz'.")
    if len(found) > MOST_SCANS:
        raise BadCall(f"{len(found)} scans were found. At most {MOST_SCANS} fit in one batch. Split the pattern.")
    return sorted(found)


def shown_paths(roots: Roots, paths: Sequence[str]) -> list[str]:
    """Paths as they lie in their roots, however they were written; patterns as they are."""
    return [text if _PATTERN & set(as_written(text)) else roots.shown(roots.inside(text)) for text in paths]


def fingerprint(path: Path) -> str:
    """sha256 hex of names, sizes and times of a scan's files: it changes when one of them does."""
    files = sorted(islice((file for file in path.rglob("*") if file.is_file()), _LISTED)) if path.is_dir() else [path]
    facts = [(str(path), *((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files))]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _met(roots: Roots, text: str) -> list[Path]:
    """What a path or pattern means."""
    written = as_written(text)
    if not _PATTERN & set(written):
        return [roots.inside(text)]
    given = Path(written)
    found: list[Path] = []
    for root in roots.folders:
        if given.is_absolute() and not given.is_relative_to(root):
            continue
        pattern = str(given.relative_to(root)) if given.is_absolute() else written
        if ".." in Path(pattern).parts:
            raise BadCall("A pattern may not climb with '..'. Write it from a root folder, e.g. 'cohort/*.nii.gz'.")
        try:
            found += [path for path in islice(root.glob(pattern), _LISTED) if not path.name.startswith(".")]
        except (ValueError, NotImplementedError):
            raise BadCall(
                f"'{given.name[:80]}' is no pattern: ** stands for whole folders. Write e.g. 'cohort/**/*.nii.gz'."
            ) from None
    if not found:
        raise BadCall(f"The pattern '{given.name}' meets nothing inside the roots. Check it, e.g. 'cohort/*.nii.gz'.")
    return found


def _scans_in(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    inside = [entry for entry in islice(path.iterdir(), _LISTED) if not entry.name.startswith(".")]
    images = [entry for entry in inside if entry.is_file() and entry.name.lower().endswith(IMAGE_ENDINGS)]
    if images:
        yield from images
    elif inside and all(entry.is_dir() for entry in inside):
        yield from inside
    else:
        yield path
