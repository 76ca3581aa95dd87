"""Writes `models/weights/vectors-minilm.npz`: `python -m ostensor.training.segmenting.word_vectors`.

Vectors of words that networks are trained on or asked for: every term of `words_core.tsv`'s rows, and the names of the
rows written by hand. What the file already holds is kept as it is, so trained networks see the very same numbers; other
words are encoded when they are needed.
"""

from __future__ import annotations

import csv

import numpy as np

from ...imaging.guards.atomic import write_atomically
from ...models.text.encoders import KNOWN, MiniLmEncoder, normalised_term
from ...retrieval.anatomy.structures import TABLE, StructureTable
from ...retrieval.building.sources import OWN


def names_to_encode() -> set[str]:
    """The terms that must have a vector."""
    with TABLE.with_name("words_core.tsv").open(encoding="utf-8", newline="") as file:
        core = {line["name"] for line in csv.DictReader(file, delimiter="\t")}
    rows = StructureTable.bundled().rows
    terms = {term for row in rows if row.name in core for term in row.terms}
    terms |= {row.name for row in rows if row.source.startswith(OWN)}
    return {normalised_term(term) for term in terms}


def main() -> None:
    """Encode what is missing and write the file."""
    with np.load(KNOWN, allow_pickle=False) as stored:
        known = dict(zip(map(str, stored["terms"]), stored["vectors"], strict=True))
    new = sorted(names_to_encode() - set(known))
    encoder = MiniLmEncoder()
    for first in range(0, len(new), 64):
        part = new[first : first + 64]
        known |= dict(zip(part, encoder.encode(part).astype(np.float16), strict=True))
    terms = sorted(known)
    values = {"terms": np.array(terms), "vectors": np.stack([known[term] for term in terms])}
    write_atomically(KNOWN, lambda file: np.savez_compressed(file, **values))  # type: ignore[arg-type]  # numpy's stub


if __name__ == "__main__":
    main()
