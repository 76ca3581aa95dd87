"""From a sentence to a `Description`: structures first, then clauses about them, then the target.

The sentence becomes a line of tokens: `S0` for a structure, `POS_top`, `REL_in`, `REGION_low` and so
on for the words of `description_words.tsv`. Clauses are then taken out of the line one kind after the
other; what is left decides the target, and what nobody took is reported as unused.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from .describe import (
    MAX_CHARACTERS,
    BadDescription,
    Claim,
    ClaimKind,
    Description,
    Reference,
    TargetKind,
    check_contradictions,
)
from .description_words import foreign_language, function_hits, phrases, plain, words_of
from .structures import Structure, StructureTable

_LONGEST_TERM = 8  # words
_SPELLING = 0.86  # likeness from which a misspelt word counts as a structure's name
_DETERMINERS = frozenset(
    ("the", "a", "an", "his", "her", "its", "my", "their", "your", "this", "that", "these", "those", "patient's")
)
_TOKEN = re.compile(r"^(?:S\d+|[A-Z]+_\w+|[A-Z]{3,})$")
_HEAD = r"(?:S\d|REGION|GENERIC|CLASS|LOBE)"
_DENIES = (
    "The description says what is not there, so there is nothing to point at. Ask for the thing itself (the answer says "
    "'absent' when it is not found), or use check_report to judge a sentence."
)
_NOT = r"(?P<no>NOT )?(?:(?:on|at|to|lying|REL_in) )*"


@dataclass(frozen=True)
class _Mention:
    """A structure named in the sentence."""

    row: Structure
    plural: bool
    by: str
    source: str = ""


@dataclass
class _Line:
    """The sentence while clauses are taken out of it."""

    text: str
    mentions: list[_Mention] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    parts: list[tuple[str, str]] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    half: bool = False

    def take(self, pattern: str, made: Callable[[re.Match[str]], str | None]) -> None:
        """Give each match to `made`; what it answers replaces the match, None leaves it."""

        def replaced(match: re.Match[str]) -> str:
            put = made(match)
            return match.group(0) if put is None else put

        self.text = re.sub(rf"(?<!\S){pattern}(?!\S)", replaced, self.text)
        self.text = " ".join(self.text.split())

    def claim(
        self, kind: ClaimKind, value: str, *, no: bool = False, rank: int = 1, of: tuple[Reference, ...] = ()
    ) -> None:
        """Add a claim once."""
        found = Claim(kind, value, rank=rank, of=of, negated=no)
        if found not in self.claims:
            self.claims.append(found)

    def reference(self, token: str) -> Reference:
        """What a token such as `S1` stands for."""
        return Reference(self.mentions[int(token[1:])].row.name)


def parse(text: str, table: StructureTable) -> Description:
    """What a sentence points at.

    Raises:
        BadDescription: empty, longer than 500 characters, not English, contradictory, or it only says what
            is not there.
    """
    check_text(text)
    line, used, unknown = _tokens(text, table)
    if re.match(rf"(?:(?!{_HEAD})\S+ )*?NOT (?:\S+ )*?{_HEAD}", line.text):
        raise BadDescription("negation", _DENIES)
    _take_places(line)
    _take_relations(line, table)
    _take_ranks(line)
    _take_counts(line)
    target = _target(line, table)
    leftover = tuple(w for w in unknown if w in line.text.split())
    if "NOT" in line.text.split():
        leftover = (*leftover, "what follows 'not' or 'without'")
    meaning = used + len(leftover)
    description = Description(
        text=text,
        kind=target.kind,
        structure=target.structure,
        part=target.part,
        density=target.density,
        plural=target.plural,
        claims=tuple(line.claims),
        found_by=target.by,
        assumed=tuple(line.assumed),
        unused=(*leftover, *target.unused),
        understood=round(used / meaning, 3) if meaning else 0.0,
        sources=target.sources,
    )
    row = table.get(target.structure) if target.kind == "structure" else None
    check_contradictions(description.target or "target", row.side if row else "", description.claims)
    return description


def check_text(text: str) -> None:
    """Refuse what is no English sentence of a sensible length.

    Raises:
        BadDescription: kind "empty", "long" or "language".
    """
    if not words_of(text):
        raise BadDescription(
            "empty", "The description is empty. Say what to find, e.g. 'the larger of the two kidneys'."
        )
    if len(text) > MAX_CHARACTERS:
        raise BadDescription(
            "long",
            f"The description has {len(text)} characters. At most {MAX_CHARACTERS} fit: one sentence about one target. "
            "Split a report into its sentences first.",
        )
    language = foreign_language(text)
    if language is not None:
        heard = ", ".join(f"'{word}'" for word in language.words[:3])
        raise BadDescription(
            "language",
            f"The description seems to be {language.name} ({heard}). Only English is understood. Translate it first; "
            "Latin names of structures are fine.",
        )


def _tokens(text: str, table: StructureTable) -> tuple[_Line, int, list[str]]:
    """The line of tokens, how many words with meaning it holds, and the words nobody knows."""
    words = words_of(text)
    line = _Line("", half="half" in words)
    items: list[str] = []
    hits = function_hits(words)
    n = 0
    while n < len(words):
        hit = next((h for h in hits if h.start == n), None)
        token, length = _longest(words, n, table, line)
        if hit is not None and hit.stop - n > length:
            row = table.get(hit.structure)
            if row is not None:
                items.append(_mention(line, _Mention(row, False, "function", f"functions.tsv:{hit.number}")))
                n = hit.stop
                continue
        items.append(token or words[n])
        n += max(1, length)
    if not any(re.match(r"S\d|REGION|GENERIC|CLASS|LOBE_", item) for item in items):
        _respell(items, table, line)
    kept = [item for item in items if item not in _DETERMINERS]
    line.text = " ".join(kept)
    known = [item for item in kept if _TOKEN.match(item) and item not in ("BODY", "PICTURE", "NOT", "EXCEPT")]
    unknown = [item for item in kept if not _TOKEN.match(item) and item not in plain("filler")]
    return line, len(known), list(dict.fromkeys(unknown))


def _longest(words: list[str], n: int, table: StructureTable, line: _Line) -> tuple[str, int]:
    """The token of the longest phrase or structure that begins at word `n`, and its length."""
    lobe = re.match(
        r"(left|right) (?:(?:hepatic|liver) )?lobe(?: of the liver| of liver)?(?! of\b)", " ".join(words[n : n + 6])
    )
    if lobe is not None:
        return f"LOBE_{lobe.group(1)}", len(lobe.group(0).split())
    for length in range(min(_LONGEST_TERM, len(words) - n), 0, -1):
        span = words[n : n + length]
        phrase = phrases().get(tuple(span))
        if phrase is not None:
            return phrase, length
        if phrase is None and length == 1 and (span[0] in plain("no_structure") or len(span[0]) < 2):
            return "", 1
        row = _row(span, table)
        if row is not None:
            surface = " ".join(span)
            plural = row.side == "both" and (
                surface == row.name or (surface.endswith("s") and not surface.endswith("ss"))
            )
            return _mention(line, _Mention(row, plural, "name", f"structures.tsv:{row.name}")), length
    return "", 1


def _row(span: list[str], table: StructureTable) -> Structure | None:
    """The structure a stretch of words is a term of.

    The table sees through grammar ("kidney on the left"); here grammar carries claims, so only bare
    names are shown to it.
    """
    edge = _DETERMINERS | {"of", "in", "and", "on"}
    if span[0] in edge or span[-1] in edge or (phrases().get((span[0],)) == "PART" and "of" in span):
        return None  # "half of the brain stem" is a half, whatever the table calls half of the brain
    row = _terms(table).get(tuple(span))
    if row is None and len(span) <= 4 and not _grammar(span):
        row = table.get(" ".join(span))
    return row if row is not None and row.name not in plain("no_structure") else None


def _grammar(span: list[str]) -> bool:
    """Whether the words hold more than a name: small words, numbers, places other than one side."""
    tokens = [phrases().get((word,), "") for word in span]
    sides = [token for token in tokens if token.startswith("POS_")]
    other = [token for token in tokens if token and not token.startswith("POS_")]
    return bool(other) or len(sides) > 1 or bool(set(span) & (plain("filler") | _DETERMINERS | {"of", "in", "and"}))


@lru_cache(maxsize=4)
def _terms(table: StructureTable) -> dict[tuple[str, ...], Structure]:
    """Every term of the table as words, and as words without its determiners."""
    found: dict[tuple[str, ...], Structure] = {}
    for row in table.rows:
        for term in row.terms:
            said = words_of(term)
            found.setdefault(tuple(said), row)
            found.setdefault(tuple(word for word in said if word not in _DETERMINERS), row)
    return found


def _respell(items: list[str], table: StructureTable, line: _Line) -> None:
    """One misspelt structure, if a stretch of unknown words is nearly its name."""
    names = {term: row for row in table.rows for term in row.terms if row.name not in plain("no_structure")}
    best: tuple[float, int, int, Structure] | None = None
    for length in (3, 2, 1):
        for n in range(len(items) - length + 1):
            span = [item.removeprefix("POS_") for item in items[n : n + length]]
            unknown = [
                w
                for w in span
                if w.islower() and w not in plain("filler") and w not in _DETERMINERS | {"left", "right"}
            ]
            if span[0] in plain("filler") or span[-1] in plain("filler") or len("".join(unknown)) < 4:
                continue
            close = difflib.get_close_matches(" ".join(span), names, n=1, cutoff=_SPELLING)
            if close:
                score = difflib.SequenceMatcher(None, " ".join(span), close[0]).ratio()
                if best is None or score > best[0]:
                    best = score, n, length, names[close[0]]
    if best is not None:
        score, n, length, row = best
        said = " ".join(item.removeprefix("POS_") for item in items[n : n + length])
        line.assumed.append(f"'{said}' was read as '{row.name}' (likeness {score:.2f}).")
        items[n : n + length] = [_mention(line, _Mention(row, row.side == "both" and said.endswith("s"), "spelling"))]


def _mention(line: _Line, found: _Mention) -> str:
    line.mentions.append(found)
    return f"S{len(line.mentions) - 1}"


def _take_places(line: _Line) -> None:
    """Lobes, ends of structures, places in the picture."""
    line.take(
        r"(?P<way>POS|MAX)_(?P<where>left|right|top|bottom)(?P<mid>(?: PART)?(?: \S+){0,3}?) (?:REL_in|of|on|at|to) PICTURE",
        lambda m: f"{m['way']}_picture-{m['where']}{(m['mid'] or '').replace(' PART', '')}",
    )
    line.take(r"MORE_top", lambda m: "MAX_top")
    line.take(r"(?:POS|MAX)_(?P<where>[\w-]+)(?: PART| one)?(?: of NUM_2)", lambda m: f"MAX_{m['where']} NUM_2")

    def lobe(match: re.Match[str]) -> str:
        whole = match["whole"]
        name = line.reference(whole).structure if whole else "liver"
        if name != "liver":
            return match.group(0)
        if not whole:
            line.assumed.append(f"The {match['side']} lobe was taken to be the liver's.")
        if re.search(r"REL_in|of", match["lead"] or ""):
            line.claim("relation", "in", no=bool(match["no"]), of=(Reference("liver", match["side"]),))
            return ""
        line.parts.append((f"{match['side']} lobe", "liver"))
        return ""

    line.take(
        r"(?P<no>NOT )?(?P<lead>(?:(?:REL_in|of|on) )*)LOBE_(?P<side>left|right)(?: (?:of|REL_in) (?P<whole>S\d+))?",
        lobe,
    )

    def end(match: re.Match[str]) -> str | None:
        places = re.findall(r"_([\w-]+)", match["places"])
        whole = line.reference(match["whole"])
        if not match["part"] and set(places) & {"left", "right"} and not match["lead"]:
            return None
        standing = re.search(r"REGION|GENERIC|CLASS|RANK|MORE_|S\d", line.text[: match.start()])
        if standing or re.search(r"REL_adjacent|REL_in", match["lead"] or ""):
            for where in places:
                line.claim("position", where, no=bool(match["no"]), of=(whole,))
            if not standing:
                return f"REL_in {match['whole']}"
            return "" if re.match(r"S\d", standing.group(0)) else f"REL_in {match['whole']}"
        line.parts.append((f"{places[0]} half" if line.half else places[0], whole.structure))
        return ""

    line.take(
        r"(?P<no>NOT )?(?P<lead>(?:(?:REL_adjacent|REL_in|at|on|to|towards|toward|from|near) )*)"
        r"(?P<places>(?:(?:POS|MAX)_[a-z]+ )+)(?P<part>PART )?(?:of|REL_in) (?P<whole>S\d+)",
        end,
    )


def _take_relations(line: _Line, table: StructureTable) -> None:
    """In, adjacent to, above, between; "of" after a countable word; "other than"."""

    def two(match: re.Match[str]) -> str:
        line.claim(
            "relation", "between", no=bool(match["no"]), of=(line.reference(match["a"]), line.reference(match["b"]))
        )
        return ""

    line.take(r"(?P<no>NOT )?REL_between (?P<a>S\d+)(?: and)? (?P<b>S\d+)", two)

    def one(match: re.Match[str]) -> str:
        for token in (match["a"], match["b"]):
            if token:
                line.claim("relation", match["how"], no=bool(match["no"]), of=(line.reference(token),))
        return ""

    line.take(r"(?P<no>NOT )?REL_(?P<how>[a-z]+) (?P<a>S\d+)(?: and (?P<b>S\d+))?", one)
    line.take(
        r"(?P<head>(?:REGION|GENERIC|CLASS|RANK|MORE|SIZE|DEN|MAXDEN|MAX)(?:_\S+)?|NUM_\d) of (?P<a>S\d+)",
        lambda m: _of(line, m),
    )
    line.take(
        r"(?P<head>S\d+|GENERIC|CLASS_\w+)(?P<mid>(?: \S+){0,3}?) (?:NOT|EXCEPT) (?P<a>S\d+)",
        lambda m: _except(line, m),
    )
    line.take(r"(?P<a>S\d+) of (?P<b>S\d+)", lambda m: _part_of(line, m, table))


def _except(line: _Line, match: re.Match[str]) -> str:
    """ "an organ other than the liver"."""
    line.claim("exclude", "not", of=(line.reference(match["a"]),))
    return f"{match['head']}{match['mid']}"


def _of(line: _Line, match: re.Match[str]) -> str:
    """ "area of the liver" lies in it; "larger of the kidneys" is one of them."""
    mention = line.mentions[int(match["a"][1:])]
    if mention.plural and not match["head"].startswith(("REGION", "GENERIC", "CLASS")):
        return f"{match['head']} {match['a']}"
    line.claim("relation", "in", of=(Reference(mention.row.name),))
    return match["head"]


def _part_of(line: _Line, match: re.Match[str], table: StructureTable) -> str:
    """ "left ventricle of the heart": what the table says already is no further claim."""
    part, whole = (line.mentions[int(match[key][1:])].row for key in ("a", "b"))
    seen, parent = set(), part.parent
    while parent and parent not in seen:
        seen.add(parent)
        row = table.get(parent)
        parent = row.parent if row else ""
    if whole.name not in seen:
        line.claim("relation", "in", of=(Reference(whole.name),))
    return match["a"]


def _take_ranks(line: _Line) -> None:
    """Largest, darkest, left-most; then plain sizes, densities and sides."""

    def rank(match: re.Match[str]) -> str:
        line.claim("rank", match["what"], no=bool(match["no"]), rank=int(match["order"] or 1))
        return f"NUM_{match['of']}" if match["of"] else "RANKED"

    line.take(
        r"(?P<no>NOT )?(?:ORD_(?P<order>\d) )?(?:RANK|MORE)_(?P<what>largest|smallest)(?: one)?(?: of NUM_(?P<of>\d))?",
        rank,
    )

    def simple(kind: ClaimKind) -> Callable[[re.Match[str]], str]:
        def taken(match: re.Match[str]) -> str:
            value = match["what"].replace("-", " ")
            line.claim(kind, value, no=bool(match["no"]), rank=int(match.groupdict().get("order") or 1))
            return "DENSITY_" + value if kind == "density" and not match["no"] else "CLAIMED"

        return taken

    line.take(rf"{_NOT}(?:ORD_(?P<order>\d) )?MAXDEN_(?P<what>\S+)", simple("density_rank"))
    line.take(rf"{_NOT}(?:ORD_(?P<order>\d) )?MAX_(?P<what>\S+)", simple("extreme"))
    line.take(rf"{_NOT}SIZE_(?P<what>\S+)", simple("size"))
    line.take(rf"{_NOT}DEN_(?P<what>\S+)", simple("density"))
    line.take(rf"{_NOT}POS_(?P<what>left|right)(?: PART)?(?: (?:of|REL_in) BODY)?", simple("side"))
    line.take(rf"{_NOT}POS_(?P<what>\S+)(?: PART)?(?: (?:of|REL_in) BODY)?", simple("position"))


def _take_counts(line: _Line) -> None:
    """Both of a pair; how many."""

    def both(match: re.Match[str]) -> str:
        line.claim("side", "both")
        return match["rest"] or ""

    line.take(
        r"(?:BOTH|NUM_2)(?P<rest> S\d+)",
        lambda m: both(m) if line.mentions[int(m["rest"][2:])].plural and not line.claims else None,
    )

    def count(match: re.Match[str]) -> str:
        line.claim("count", match["n"])
        return ""

    line.take(r"NUM_(?P<n>\d)", count)


@dataclass(frozen=True)
class _Target:
    kind: TargetKind
    structure: str = ""
    part: str = ""
    density: Literal["low", "high", "any"] = "any"
    plural: bool = False
    by: str = "name"
    unused: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def _target(line: _Line, table: StructureTable) -> _Target:
    """What is left in the line is the target."""
    tokens = line.text.split()
    region = next((t for t in tokens if t.startswith("REGION_")), None)
    left = [line.mentions[int(t[1:])] for t in tokens if re.fullmatch(r"S\d+", t)]
    denied = re.search(r"NOT(?: (?!S\d|REGION|GENERIC)\S+)* (S\d+|REGION_\w+|GENERIC)", line.text)
    if region is not None and denied and denied.group(1) == region and left:
        region = None  # "the liver without a lesion"
    elif denied is not None:
        raise BadDescription("negation", _DENIES)
    if region is not None:
        return _region(line, region, left)
    if left:
        return _structure(line, left, table)
    if line.parts:
        part, whole = line.parts[0]
        return _Target("part", whole, part, sources=(f"structures.tsv:{whole}",))
    inside = [c for c in line.claims if c.kind == "relation" and c.value == "in" and not c.negated]
    if inside and not re.search("GENERIC|CLASS_", line.text):
        line.assumed.append("No kind of target was named; areas that differ from their surroundings were taken.")
        return _region(line, "REGION_any", [])
    classes = [t.split("_")[1] for t in tokens if t.startswith("CLASS_")]
    for name in classes[:1]:
        line.claim("class", name)
    if "GENERIC" in tokens or line.claims:
        return _Target("any", plural=False)
    return _Target("none")


def _region(line: _Line, token: str, left: list[_Mention]) -> _Target:
    for mention in left[:1]:
        line.claim("relation", "in", of=(Reference(mention.row.name),))
    density = token.split("_")[1]
    said = next((c for c in line.claims if c.kind == "density" and not c.negated), None)
    ranked = next((c for c in line.claims if c.kind == "density_rank" and not c.negated), None)
    if density == "any" and said is not None:
        density = said.value
        line.claims.remove(said)
    elif density == "any" and ranked is not None:
        density = ranked.value
    inside = next((c.of for c in line.claims if c.kind == "relation" and c.value == "in" and not c.negated), ())
    line.claims = [replace(c, of=inside) if c.kind == "position" and not c.of else c for c in line.claims]
    kind: Literal["low", "high", "any"] = "low" if density == "low" else "high" if density == "high" else "any"
    return _Target("region", density=kind, unused=tuple(m.row.name for m in left[1:]))


def _structure(line: _Line, left: list[_Mention], table: StructureTable) -> _Target:
    first = next((m for m in left if m.by == "function"), left[0])  # "the heart chamber that ...": not the heart
    side = next((c for c in line.claims if c.kind == "side" and c.value in ("left", "right")), None)
    row = first.row
    if row.side == "both" and side is not None:
        wanted = side.value if not side.negated else {"left": "right", "right": "left"}[side.value]
        if not any(c.kind == "side" and c is not side and not c.negated for c in line.claims):
            row = next((r for r in table.rows if r.parent == row.name and r.side == wanted), row)
    unused = tuple(
        f"{m.row.name} (a second target: ask on its own)" for m in left if m is not first and m.row.name != row.name
    )
    source = first.source or f"structures.tsv:{row.name}"
    return _Target("structure", row.name, plural=first.plural, by=first.by, unused=unused, sources=(source,))
