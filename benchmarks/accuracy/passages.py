"""Findings read from invented report passages, held against what a person wrote down for them.

`python -m ostensor.benchmarks.accuracy.passages FILE …` prints, per kind and in all, how much was found and how much
of it was right; the files and the rules they were written by are in `tests/retrieval/reports/passages`. A passage
belongs to the half of `passages.jsonl` that was read while the rules were first written ("read"), to the other half,
kept aside until then ("read later", both by a hash of the id), to `later.jsonl`, which was read last ("read last"), or to
`unread.jsonl`, whose faults nobody reads ("unread").
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from ...retrieval.reports.findings import find_findings
from ...retrieval.reports.text import split_report
from .passages_matching import Gold, Read, pair_up, read_of

PARTS = ("read", "read later", "read last", "unread")

OTHERS = {"later": "read last", "unread": "unread"}  # by the file's name


@dataclass(frozen=True)
class Passage:
    """A passage and its findings as a person reads them."""

    id: str
    kind: str
    text: str
    findings: tuple[Gold, ...]
    file: str

    @property
    def part(self) -> str:
        """Which part of the set it belongs to."""
        if self.file in OTHERS:
            return OTHERS[self.file]
        return PARTS[int(sha256(self.id.encode()).hexdigest(), 16) % 2]


@dataclass
class Score:
    """Counts over passages: (right, of) per question, and findings nobody wrote down."""

    passages: int = 0
    gold: int = 0
    found: int = 0
    sides: int = 0
    sides_right: int = 0
    sizes: int = 0
    sizes_right: int = 0
    counts: int = 0
    counts_right: int = 0
    presence_right: int = 0
    false: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def shares(self) -> dict[str, float]:
        """The shares that are printed; 1.0 where nothing was asked."""
        return {
            "found": _share(self.found, self.gold),
            "sides": _share(self.sides_right, self.sides),
            "sizes": _share(self.sizes_right, self.sizes),
            "presence": _share(self.presence_right, self.found),
            "counts": _share(self.counts_right, self.counts),
            "false": self.false / max(1, self.passages),
        }


def load(file: Path) -> list[Passage]:
    """The passages of a JSON-lines file."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [Passage(r["id"], r["kind"], r["text"], tuple(_gold(f) for f in r["findings"]), file.stem) for r in rows]


def score(passage: Passage) -> Score:
    """How one passage was read."""
    read = [read_of(finding) for finding in find_findings(split_report(passage.text))]
    pairs, false = pair_up(passage.findings, read)
    total = Score(passages=1, gold=len(passage.findings), found=len(pairs), false=len(false))
    for pair in pairs:
        gold, mine = pair.gold, pair.read
        total.presence_right += mine.presence in gold.presences
        if gold.side or mine.side:
            total.sides += 1
            total.sides_right += gold.side == mine.side
        if gold.numbers or mine.numbers or pair.repeated:
            total.sizes += 1
            total.sizes_right += pair.sizes_agree
        if gold.count is not None or mine.count is not None:
            total.counts += 1
            total.counts_right += gold.count == mine.count
    return total


def table(passages: Sequence[Passage]) -> str:
    """A Markdown table: a row per kind, per part, and for all."""
    scored = [(passage, score(passage)) for passage in passages]
    kinds = dict.fromkeys(passage.kind for passage in passages)
    groups = [(kind, [s for p, s in scored if p.kind == kind]) for kind in kinds]
    parts = [(part, [s for p, s in scored if p.part == part]) for part in PARTS]
    groups += [(f"**{part}**", scores) for part, scores in parts if scores]
    groups += [("**all**", [s for _p, s in scored])]
    lines = [
        "| kind | passages | findings | found | sides right | sizes right | presence right | counts right | false per passage |",
        f"|{'---|' * 9}",
    ]
    for name, scores in groups:
        total = sum(scores, Score())
        shares = total.shares()
        cells = [f"{100 * shares[c]:.1f} %" for c in ("found", "sides", "sizes", "presence", "counts")]
        lines.append(f"| {name} | {total.passages} | {total.gold} | {' | '.join(cells)} | {shares['false']:.3f} |")
    return "\n".join(lines)


def explain(passage: Passage) -> str:
    """What was read otherwise in a passage, or "" when nothing was."""
    read: list[Read] = [read_of(finding) for finding in find_findings(split_report(passage.text))]
    pairs, false = pair_up(passage.findings, read)
    missed = [gold for gold in passage.findings if not any(pair.gold is gold for pair in pairs)]
    said = [f"  missed   {gold}" for gold in missed] + [f"  false    {mine}" for mine in false]
    for pair in pairs:
        gold, mine = pair.gold, pair.read
        wrong = gold.side != mine.side or not pair.sizes_agree or mine.presence not in gold.presences
        if wrong or gold.count != mine.count:
            said.append(f"  differs  {gold}\n        -> {mine}")
    return "\n".join([f"{passage.id} {passage.kind}: {passage.text!r}", *said]) if said else ""


def _gold(row: dict[str, Any]) -> Gold:
    sizes, volume = tuple(row["sizes_mm"]), row["volume_ml"]
    return Gold(row["structure"], row["lesion"], row["side"], row["presence"], sizes, volume, row["count"])


def _share(right: int, of: int) -> float:
    return right / of if of else 1.0


def main(files: list[Path], errors: bool = False) -> None:
    """Print the table; `--errors` the passages that were read otherwise, never those of the unread part."""
    passages = [passage for file in files for passage in load(file)]
    if errors:
        print("\n".join(filter(None, (explain(p) for p in passages if p.part != "unread"))))
    print(table(passages))


if __name__ == "__main__":
    import typer

    typer.run(main)
