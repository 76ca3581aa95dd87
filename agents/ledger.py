"""The claim ledger: every number, side and verdict of an answer must be in the result of a call it cites."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .reply import Reply, Statement

Results = Mapping[str, Mapping[str, Any]]
"""Tool-call id -> structured result of that call."""

_HANDLE = re.compile(r"\b(?:img|msk|job|set|pic)_\w+")
_NUMBER = re.compile(
    r"(?<![\w.])-?\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.]*\w)|(?<![\w.])-?\d+(?:\.\d+)?(?=\s?(?:ml|mm|cm|hu|%))", re.IGNORECASE
)
_UNIT = re.compile(r"\s*(ml|mm|cm|hu|%|voxels?|days?|months?|years?)\b|\s*(%)", re.IGNORECASE)
_WORDS = {
    w: n
    for n, w in enumerate(
        ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"], start=2
    )
}
_SIDES = ("left", "right")
_VERDICTS = {
    "present": "present", "absent": "absent", "unsure": "unsure", "outside view": "outside_view",
    "outside the view": "outside_view", "unsupported": "unsupported", "supported": "supported",
    "contradicted": "contradicted", "cannot tell": "cannot_tell", "cannot_tell": "cannot_tell",
}  # fmt: skip
_VERDICT = re.compile(r"\b(" + "|".join(re.escape(word) for word in sorted(_VERDICTS, key=len, reverse=True)) + r")\b")
_COUNTED = re.compile(
    r" (?:structures|images|masks|organs)\b"
)  # "18 structures", like "two structures", may count the citations
_SIGNED = ("difference", "asymmetry", "hu_difference")
_UNIT_OF_KEY = (("_ml", "ml"), ("_mm", "mm"), ("_cm", "cm"))


@dataclass(frozen=True)
class Problem:
    """A statement that is not borne out.

    Attributes:
        number: of the statement, from 0.
        claim: the number, side or verdict.
        reason: "uncited", "unknown call", "unknown handle", or "altered".
    """

    number: int
    claim: str
    reason: str

    def __str__(self) -> str:
        why = {
            "uncited": "cites no tool call",
            "unknown call": "cites a tool call that was never made",
            "unknown handle": "cites a handle that is not in that call's result",
            "altered": "is not in the results it cites",
        }
        return f"Statement {self.number + 1}: '{self.claim}' {why[self.reason]}."


@dataclass(frozen=True)
class _Fact:
    """A value of a result and the unit its name tells."""

    value: Any
    unit: str


def check(reply: Reply, results: Results, question: str = "") -> list[Problem]:
    """Every claim of the answer that its citations do not bear out; empty when all is well.

    Args:
        question: what it quotes in “” word by word claims nothing.
    """
    asks = reply.kind == "question"
    return [
        p
        for number, statement in enumerate(reply.statements)
        for p in _check(number, _unquoted(statement, question), results, asks=asks)
    ]


def _unquoted(statement: Statement, question: str) -> Statement:
    low = question.lower()
    text = re.sub(r"“([^”]+)”", lambda m: " " if m.group(1).lower() in low else m.group(), statement.text)
    return statement if text == statement.text else statement.model_copy(update={"text": text})


def without(reply: Reply, problems: list[Problem]) -> Reply:
    """The answer without the statements that have problems, and one that says so."""
    bad = {problem.number for problem in problems}
    kept = [statement for number, statement in enumerate(reply.statements) if number not in bad]
    said = f"{'One statement was' if len(bad) == 1 else 'Some statements were'} left out, because no tool result bears it out."
    return Reply(kind=reply.kind, statements=[*kept, Statement(text=said)])


def _check(number: int, statement: Statement, results: Results, *, asks: bool) -> list[Problem]:
    text = _HANDLE.sub(" ", statement.text)
    claims = list(_numbers(text))
    if not (asks and text.rstrip().endswith("?")):  # "left or right?" claims no side
        claims += _words(text)
    if not claims:
        return []
    if not statement.cites:
        return [Problem(number, claims[0][0], "uncited")]
    facts: list[_Fact] = []
    for cite in statement.cites:
        if cite.call_id not in results:
            return [Problem(number, cite.call_id, "unknown call")]
        result = results[cite.call_id]
        rows = [result] if not cite.handle else list(_rows_with(result, cite.handle))
        if not rows:
            return [Problem(number, cite.handle, "unknown handle")]
        facts += [fact for row in rows for fact in _facts(row)]
    cited = len({(cite.call_id, cite.handle) for cite in statement.cites})
    return [
        Problem(number, shown, "altered")
        for shown, value, unit in claims
        if not any(_bears(fact, value, unit, shown) for fact in facts) and not (unit == "count" and value == cited)
    ]


def _numbers(text: str) -> Iterator[tuple[str, Any, str]]:
    for match in _NUMBER.finditer(text):
        unit = _UNIT.match(text, match.end())
        name = (unit.group(1) or unit.group(2)).lower().rstrip("s") if unit else ""
        name = "count" if _COUNTED.match(text, match.end()) else name
        yield match.group(), float(match.group()), name
    for word in re.findall(r"[^\W\d_]+", text.lower()):
        if word in _WORDS:
            yield word, float(_WORDS[word]), "count"


def _words(text: str) -> Iterator[tuple[str, Any, str]]:
    low = text.lower()
    for side in _SIDES:
        if re.search(rf"\b{side}\b", low):
            yield side, side, "side"
    for match in _VERDICT.finditer(low):
        yield match.group(), _VERDICTS[match.group()], "verdict"


def _rows_with(node: Any, handle: str) -> Iterator[Mapping[str, Any]]:
    """The smallest objects that hold the handle."""
    if isinstance(node, Mapping):
        if any(value == handle or (isinstance(value, list) and handle in value) for value in node.values()):
            yield node
            return
        for value in node.values():
            yield from _rows_with(value, handle)
    elif isinstance(node, list):
        for item in node:
            yield from _rows_with(item, handle)


def _facts(node: Any, unit: str = "") -> Iterator[_Fact]:
    if isinstance(node, Mapping):
        own = str(node.get("unit", "")).lower()
        if str(node.get("quantity", "")) in _SIGNED:  # "the left is larger by 43 ml" turns the sign round
            yield from (
                _Fact(-node[k], own) for k in ("value", "low_90", "high_90") if isinstance(node.get(k), int | float)
            )
        for key, value in node.items():
            named = next((u for end, u in _UNIT_OF_KEY if str(key).endswith(end)), "")
            yield from _facts(value, named or own or unit)
            if isinstance(value, list):
                yield _Fact(float(len(value)), "count")
            if "_90" in str(key) and value is not None:
                yield _Fact(90.0, "%")  # the key says of what share the interval is
    elif isinstance(node, list):
        for item in node:
            yield from _facts(item, unit)
    else:
        yield _Fact(node, unit)


def _bears(fact: _Fact, value: Any, unit: str, shown: str) -> bool:
    """Whether a fact says the same: words inside a text count, numbers to the digits shown."""
    if isinstance(value, str):
        said = value.replace("_", " ")
        return (
            isinstance(fact.value, str) and re.search(rf"\b{said}\b", fact.value.lower().replace("_", " ")) is not None
        )
    if isinstance(fact.value, bool):
        return False
    if isinstance(fact.value, str):
        return unit != "count" and any(
            _same_number(float(m.group()), value, shown) and _unit_after(fact.value, m) in (unit, "")
            for m in _NUMBER.finditer(fact.value)
        )
    if not isinstance(fact.value, int | float):
        return False
    if unit == "count" or fact.unit == "count":
        return unit in ("count", "") and float(fact.value) == value
    if unit == "%" and fact.unit == "%":
        return _same_number(float(fact.value), value, shown)
    if unit == "%":
        return _same_number(100 * float(fact.value), value, shown)
    if unit == "cm" and fact.unit == "mm":
        return _same_number(float(fact.value) / 10, value, shown)
    if unit in ("ml", "mm", "cm", "hu") and fact.unit != unit:
        return False
    return _same_number(float(fact.value), value, shown)


def _unit_after(text: str, match: re.Match[str]) -> str:
    unit = _UNIT.match(text, match.end())
    return (unit.group(1) or unit.group(2)).lower().rstrip("s") if unit else ""


def _same_number(fact: float, value: float, shown: str) -> bool:
    digits = len(shown.partition(".")[2].split("e")[0])
    return abs(fact - value) <= 0.5 * 10.0**-digits + 1e-9
