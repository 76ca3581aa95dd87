"""Clauses of a described target: each kind is taken out of the line of tokens and leaves a claim behind."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..anatomy.structures import StructureTable
from .description import ClaimKind, Reference
from .line import Line

_NOT = r"(?P<no>NOT )?(?:(?:on|at|to|lying|REL_in) )*"


def take_clauses(line: Line, table: StructureTable) -> None:
    """Places, relations, ranks and counts, in this order: what one takes, the next does not see."""
    _take_places(line)
    _take_relations(line, table)
    _take_ranks(line)
    _take_counts(line)


def _take_places(line: Line) -> None:
    """Lobes, ends of structures, places in the picture."""
    line.take(
        r"(?P<way>POS|MAX)_(?P<where>left|right|top|bottom)(?P<mid>(?: PART)?(?: \S+){0,3}?) (?:REL_in|of|on|at|to) PICTURE",
        lambda m: f"{m['way']}_picture-{m['where']}{(m['mid'] or '').replace(' PART', '')}",
    )
    line.take(r"MORE_top", lambda m: "MAX_top")
    line.take(r"DEN_(?P<what>low|high)(?= (?:one )?of (?:NUM_2|S\d))", lambda m: f"MAXDEN_{m['what']}")  # "brighter of"
    line.take(r"RANK_(?P<what>widest|narrowest) PART of (?P<whole>S\d+)", lambda m: _take_width(line, m))
    line.take(r"(?P<whole>S\d+) at RANK_(?P<what>widest|narrowest)", lambda m: _take_width(line, m))
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


def _take_width(line: Line, match: re.Match[str]) -> str:
    """ "the widest part of the aorta"."""
    said = line.said.get(f"RANK_{match['what']}", match["what"])
    if said != match["what"]:
        line.assumed.append(f"'{said}' was taken to be the {match['what']} across its course.")
    line.parts.append((match["what"], line.reference(match["whole"]).structure))
    return ""


def _take_relations(line: Line, table: StructureTable) -> None:
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


def _except(line: Line, match: re.Match[str]) -> str:
    """ "an organ other than the liver"."""
    line.claim("exclude", "not", of=(line.reference(match["a"]),))
    return f"{match['head']}{match['mid']}"


def _of(line: Line, match: re.Match[str]) -> str:
    """ "area of the liver" lies in it; "larger of the kidneys" is one of them."""
    mention = line.mentions[int(match["a"][1:])]
    if mention.plural and not match["head"].startswith(("REGION", "GENERIC", "CLASS")):
        return f"{match['head']} {match['a']}"
    line.claim("relation", "in", of=(Reference(mention.row.name),))
    return match["head"]


def _part_of(line: Line, match: re.Match[str], table: StructureTable) -> str:
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


def _take_ranks(line: Line) -> None:
    """Largest, darkest, left-most; then plain sizes, densities and sides."""

    def rank(match: re.Match[str]) -> str:
        line.claim("rank", match["what"], no=bool(match["no"]), rank=int(match["order"] or 1))
        return f"NUM_{match['of']}" if match["of"] else "RANKED"

    # "the largest part of the liver" is no largest thing: the words stay, and are told as not understood
    line.take(
        r"(?P<no>NOT )?(?:ORD_(?P<order>\d) )?(?:RANK|MORE)_(?P<what>[a-z]+)(?: one)?(?: of NUM_(?P<of>\d))?(?! PART of S)",
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


def _take_counts(line: Line) -> None:
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
