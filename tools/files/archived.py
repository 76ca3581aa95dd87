"""Archives as `list_files`, `open_image` and `import_mask` use them: rows by alias, and series as files for a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...imaging.errors import BadCall, Unavailable
from ...store.archives.addresses import is_address
from ...store.archives.downloads import MOST_FILES, Meter, private_download
from ...store.archives.found import MASKS, NO_IMAGES, SeriesFound, StudyFound
from ...store.archives.nodes import Node
from ..desk.desk import Answer, Call, Desk
from .paths import found_path
from .results import FilesResult
from .wording import first_of, fits

if TYPE_CHECKING:  # its formats load slowly
    from ...imaging.opened import Opened

_MOST_STUDIES = 1000  # that are looked at for one answer
_SHARE = 0.7  # of opening that is the download

Row = dict[str, object]


@dataclass(frozen=True)
class Local:
    """A file or folder to read, and the folders it may be read from."""

    path: Path
    within: tuple[Path, ...]


@dataclass(frozen=True)
class Listed:
    """The series of a study that an address means.

    Attributes:
        study: its alias.
        uid: of the study.
        is_one: the address names a single series.
    """

    node: Node
    study: str
    uid: str
    series: tuple[SeriesFound, ...]
    is_one: bool

    def address(self, alias: str) -> str:
        """What opens a series."""
        return f"{self.node.address}/{self.study}/{alias}"


def archive_addresses(desk: Desk) -> tuple[list[str], str]:
    """Addresses of the configured archives, and a sentence about them; a file that is wrong leaves the roots alone."""
    try:
        found = [node.address for node in desk.archives.nodes.values()]
    except BadCall as error:
        return [], f" No archive can be named: {error}"
    return found, f" Archives to name as root: {', '.join(found)}." if found else ""


def list_archive(desk: Desk, call: Call, root: str, pattern: str | None, limit: int) -> Answer:
    """Studies of an archive, newest first, or the series of one study."""
    address, node = desk.archives.find(root)
    call.report(0.1, f"asking {node.name}")
    if node.kind == "fhir":
        raise BadCall(
            f"'{node.name}' holds records, which are not listed. Use predict_prognosis(ehr='{node.address}/Patient/ID')."
        )
    if address.study:
        listed = list_series(desk, root)
        rows = series_rows(desk, listed, pattern)
        text = _said(rows, len(rows), "series", "series", f"{listed.node.address}/{listed.study}")
        more = max(0, len(rows) - limit)
        return Answer(text, FilesResult(roots=[node.address], files=rows[:limit], more=more, folders={}, complete=True))
    skipped = int(address.filters.get("offset", 0))
    with desk.archives.connected(node) as archive:
        found = archive.studies(address.filters, _MOST_STUDIES)
    aliases = desk.archives.aliases.name("study", [one.uid for one in found.studies])
    named = [(alias, one) for alias, one in zip(aliases, found.studies, strict=True)]
    fitting = [(alias, one) for alias, one in named if fits(pattern, alias, one.text, *one.modalities)]
    rows = [_study_row(node, alias, one) for alias, one in fitting[skipped : skipped + limit]]
    more = max(0, len(fitting) - skipped - len(rows))
    text = _said(rows, len(fitting), "study", "studies", node.address)
    if more:
        text += f" Newest first; for the next ones add offset={skipped + len(rows)} to the filters of root: {node.address}?offset=…"
    if not found.complete:
        text += f" The archive has more than {_MOST_STUDIES}: add modality=, since=, until= (YYYY-MM-DD) or patient=."
    result = FilesResult(roots=[node.address], files=rows, more=more, folders={}, complete=found.complete)
    return Answer(text, result)


def list_series(desk: Desk, path: str) -> Listed:
    """The series at an address.

    Raises:
        BadCall: no study is named, or it or the series is not there.
        Unavailable: the archive does not answer.
    """
    address, node = desk.archives.find(path)
    if not address.study:
        raise BadCall(
            f"The address names no study. Write {node.address}/STUDY/SERIES; list_files(root='{node.address}') shows them."
        )
    uid = desk.archives.aliases.uid("study", address.study)
    wanted = desk.archives.aliases.uid("series", address.series) if address.series else ""
    with desk.archives.connected(node) as archive:
        series = tuple(one for one in archive.series(uid) if wanted in ("", one.uid))
    if not series:
        raise BadCall(f"'{node.name}' has no such series in this study. Call list_files(root='{node.address}/STUDY').")
    return Listed(node, desk.archives.aliases.name("study", [uid])[0], uid, series, is_one=bool(wanted))


def series_rows(desk: Desk, listed: Listed, pattern: str | None = None) -> list[Row]:
    """Rows of series as callers see them."""
    aliases = desk.archives.aliases.name("series", [one.uid for one in listed.series])
    return [
        _series_row(listed.address(alias), one)
        for alias, one in zip(aliases, listed.series, strict=True)
        if fits(pattern, alias, one.text, one.modality)
    ]


def images_of(listed: Listed) -> Listed:
    """The series that may be scans; all where only one is named."""
    if listed.is_one:
        return listed
    return replace(listed, series=tuple(one for one in listed.series if one.modality not in (*NO_IMAGES, *MASKS)))


@contextmanager
def downloaded(desk: Desk, call: Call, listed: Listed) -> Iterator[Path]:
    """The files of the one series of `listed`, in a private folder that goes when the block ends.

    Raises:
        BadCall: it is too large.
        Unavailable: the archive does not send it whole.
    """
    (one,) = listed.series
    expected = one.instances or 0
    if expected > MOST_FILES:
        raise BadCall(f"The series has {expected} instances. At most {MOST_FILES} are fetched. Open another one.")
    most = int(listed.node.most_gb * 1e9)
    if desk.store.quota is not None:
        most = min(most, max(0, desk.store.quota.left(anew=True)))

    def report(share: float, message: str) -> None:
        call.report(_SHARE * share, message)

    meter = Meter(listed.node.name, most, expected=expected, report=report, cancelled=call.cancelled)
    with private_download(desk.archives.downloads) as folder:
        with desk.archives.connected(listed.node) as archive:
            count = archive.fetch(listed.uid, one.uid, folder, meter)
        if count < expected:
            raise Unavailable(
                f"'{listed.node.name}' sent {count} of the {expected} instances it announced. Nothing was kept; call it again."
            )
        yield folder


def check_same(listed: Listed, opened: Opened) -> None:
    """Refuse files of another study or series than were asked for.

    Raises:
        Unavailable: the archive sent such.
    """
    told = opened.source.study if opened.source is not None else {}
    uids = [str((told.get(tag, {}).get("Value") or [""])[0]) for tag in ("0020000D", "0020000E")]
    if opened.source is not None and uids != [listed.uid, listed.series[0].uid]:
        raise Unavailable(
            f"'{listed.node.name}' sent files of another study or series than were asked for. Nothing was kept. Ask whoever "
            "runs it."
        )


@contextmanager
def masks_at(desk: Desk, call: Call, path: str) -> Iterator[Local]:
    """The file or folder of masks that a path means; one of an archive for as long as the block runs.

    Raises:
        BadCall: see `found_path`; or the study has several objects with masks.
    """
    if not is_address(path):
        yield Local(found_path(desk, path, "import_mask"), desk.roots.folders)
        return
    listed = list_series(desk, path)
    if not listed.is_one:
        listed = replace(listed, series=tuple(one for one in listed.series if one.modality in MASKS))
    if len(listed.series) != 1:
        calls = [f"import_mask(path='{row['path']}')" for row in series_rows(desk, listed)]
        what = f"has {len(calls)} series with masks: {first_of(calls, len(calls), ', ')}" if calls else "has no masks"
        raise BadCall(f"The study {what}. One SEG or RTSTRUCT is imported at a time.")
    with downloaded(desk, call, listed) as folder:
        files = sorted(folder.iterdir())
        yield Local(files[0] if len(files) == 1 else folder, (folder,))


def _study_row(node: Node, alias: str, one: StudyFound) -> Row:
    row: Row = {"path": f"{node.address}/{alias}", "kind": "study", "modality": "/".join(one.modalities)}
    told = {"year": one.year, "series_count": one.series, "instances": one.instances, "description": one.words}
    return {**row, **{key: value for key, value in told.items() if value not in ("", None)}}


def _series_row(address: str, one: SeriesFound) -> Row:
    row: Row = {"path": address, "kind": "series", "modality": one.modality}
    told = {"instances": one.instances, "description": one.words}
    row |= {key: value for key, value in told.items() if value not in ("", None)}
    if one.modality in MASKS:
        row["use"] = "import_mask"
    return row


def _said(rows: Sequence[Row], count: int, one: str, many: str, where: str) -> str:
    if not rows:
        return f"No {one} in {where} {'after this offset' if count else 'fits'}."
    return f"{count} {one if count == 1 else many} in {where}: {first_of([_words(row) for row in rows], count)}."


def _words(row: Row) -> str:
    what = [row["modality"], row.get("year"), row.get("description")]
    counts = [
        f"{row[key]} {word}" for key, word in (("series_count", "series"), ("instances", "instances")) if key in row
    ]
    masks = ["masks"] if "use" in row else []
    return f"{row['path']} ({', '.join(str(one) for one in (*what, *counts, *masks) if one)})"
