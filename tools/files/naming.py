"""What a label of somebody's file is called here: by the caller, by the file, else by its number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...imaging.errors import BadCall
from ...imaging.imports.labels import Piece
from ...retrieval.anatomy.structures import StructureTable
from .wording import plain

FROM_FILE = "file:"  # before a name that is the file's own: it counts only where it is a structure
_LONGEST = 64  # characters of a name, as DICOM's labels have
_SIDES = {"l": "left", "lt": "left", "r": "right", "rt": "right"}
_WHO = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "AccessionNumber", "ReferringPhysicianName")


@dataclass(frozen=True)
class Named:
    """The structure of a label.

    Attributes:
        known: it is a structure of the anatomy table.
        note: what to say about the name, or "".
    """

    structure: str
    known: bool
    note: str = ""


class Namer:
    """Names for the labels of one file.

    Args:
        labels: the caller's own, by number or by the file's name for it.
        private: words that name the patient; no name may hold one.
    """

    def __init__(self, table: StructureTable, labels: Mapping[str, str], private: Iterable[str]) -> None:
        self._table = table
        self._labels = {key.strip().casefold(): value for key, value in labels.items()}
        self._private = frozenset(private)

    def check(self, pieces: Sequence[Piece]) -> None:
        """Refuse names for labels that are not there.

        Raises:
            BadCall: the file has no such label.
        """
        there = {key for piece in pieces for key in _keys(piece)}
        missing = [key for key in self._labels if key not in there]
        if missing:
            known = ", ".join(self._shown(piece) for piece in pieces[:20])
            raise BadCall(
                f"The file has no label '{missing[0][:40]}'. It has: {known or 'none'}. "
                "Write labels={'number or name in the file': 'structure'}, e.g. {'1': 'liver'}."
            )

    def _shown(self, piece: Piece) -> str:
        name = self._clean(piece.names[0]) if piece.names and not piece.names[0].startswith(FROM_FILE) else ""
        return f"{piece.key} ({name})" if name and name != piece.key else piece.key

    def name(self, piece: Piece) -> Named:
        """The structure of a label."""
        given = next((self._labels[key] for key in _keys(piece) if key in self._labels), "")
        names = [given] if given else [name for name in piece.names if self._clean(name)]
        for name in names:
            row = self._resolved(name.removeprefix(FROM_FILE))
            if row is not None:
                return Named(row, known=True)
        told = [name for name in names if not name.startswith(FROM_FILE)]
        if not told:
            return Named(f"label {piece.key}", known=False, note="It has no name; pass labels to give it one.")
        kept = self._clean(told[0])
        like = [row.name for row, _ in self._table.find(_words(kept), 3)]
        hint = f" Did you mean {', '.join(like)}?" if like else ""
        return Named(kept, known=False, note=f"'{kept}' is no structure known here and was kept as it is.{hint}")

    def _resolved(self, name: str) -> str | None:
        return structure_of_label(self._table, name)

    def _clean(self, name: str) -> str:
        """A name fit to be shown: printable, short, and without words that name the patient; "" when nothing is left."""
        text = plain(name)[:_LONGEST].strip()
        return "" if words_in(text) & self._private else text


def _keys(piece: Piece) -> tuple[str, ...]:
    return (piece.key.casefold(), *(name.removeprefix(FROM_FILE).strip().casefold() for name in piece.names))


def _words(name: str) -> str:
    """'kidney_left', 'Left-Caudate' and 'SpinalCord' as words."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(re.sub(r"[_\-./]+", " ", apart).split())


def _sided(words: str) -> str:
    """'Kidney L' as 'left Kidney', as structures of radiotherapy are called (AAPM TG-263)."""
    *rest, last = words.split() or [""]
    return f"{_SIDES[last.lower()]} {' '.join(rest)}" if rest and last.lower() in _SIDES else words


def structure_of_label(table: StructureTable, name: str) -> str | None:
    """The structure that a label such as "kidney_left", "SpinalCord" or "Kidney_L" means; None where none is meant."""
    for words in dict.fromkeys((name, _words(name), _sided(_words(name)))):
        row = table.get(words)
        if row is not None:
            return row.name
    return None


def is_structure_name(table: StructureTable, name: str) -> bool:
    """Whether a name such as "kidney_left" is that of a structure."""
    return structure_of_label(table, name) is not None


def private_words(headers: Iterable[Any]) -> frozenset[str]:
    """Words of DICOM headers that name a patient or a physician, for comparing only."""
    found: set[str] = set()
    for header in headers:
        for keyword in _WHO:
            found |= {word for word in words_in(str(header.get(keyword, "") or "")) if len(word) > 2}
    return frozenset(found)


def words_in(text: str) -> set[str]:
    """Words of a name, small letters; an underscore parts them, as in names of files and of structures."""
    return set(re.findall(r"[^\W_]+", text.casefold()))
