"""Sizes in words: "2.3 x 1.8 cm", "12-mm", ".8 cm", "32 and 18 mm", "2 to 4 mm", "1,482 cc", all in mm and ml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from .directions import NOWHERE, Direction, direction_before, directions

# 1,482 (thousands), 11,4 (decimal comma), .8 and 1·2 (decimal point as dot or middle dot)
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:[.,·]\d+)?|(?<![\w.])\.\d+|(?<![\w-])(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|half\s+an?)(?=[\s-](?:mm|cm|milli|centi)))"
_UNIT = r"(?:mm|cm|millimet(?:er|re)s?|centimet(?:er|re)s?)(?![a-z\d²³])"
_AXIS = r"(?:\s*\(?\b(?:AP|TR|TV|CC|SI|LR|ML)\b\)?)?"  # "4.2 (AP) x 3.1 (TR) cm"
_MEASURE = rf"{_NUMBER}(?:[\s-]?{_UNIT})?{_AXIS}(?:\s?{_UNIT})?"
_DIMENSIONS = rf"{_MEASURE}(?:\s*(?:x|×|\*|by)\s*{_MEASURE}){{0,2}}"
# what joins numbers that are several sizes (a range or a list) and not several dimensions
_JOINT = r"\s*(?:-|–|to|and|or|&|,\s+and|/)\s*"
_SIZE = re.compile(rf"(?<![\w.·,]){_DIMENSIONS}(?:(?:{_JOINT}|,\s+(?=[^,;]*\band\b)){_DIMENSIONS})*", re.IGNORECASE)
_PART = re.compile(_DIMENSIONS, re.IGNORECASE)
_ONE = re.compile(rf"({_NUMBER})(?:[\s-]?({_UNIT}))?", re.IGNORECASE)
_VOLUME = re.compile(
    rf"(?<![\w.·,])(\d{{1,3}}(?:[ \u00a0\u202f]\d{{3}})+|{_NUMBER})[\s-]?(ml|cc|cm3|cm³|cubic (?:centimet|cm)\w*|millilit(?:er|re)s?|l(?=[\s,.;)]|$)|lit(?:er|re)s?)(?![a-z\d])",
    re.IGNORECASE,
)
_WORDS = {
    word: n
    for n, word in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"])
}
_WORDS |= {"eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20}
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_PRIOR = re.compile(
    r"\b(previous(?:ly)?|prev\.?|prior|formerly|initially|originally|then|nadir|baseline|earlier|before|against|was|had been|down from|up from"
    r"|from|compared (?:to|with)|versus|vs\.?)[\s(:,]*(?:(?:of|at|it|was|measur\w+|size of)\s*)*$",
    re.IGNORECASE,
)
_PRIOR_AFTER = re.compile(
    r"^\s*(?:(?:in|on)\s+(?:(?:the\s+)?(?:previous|prior|last)|(?:[A-Z][a-z]+\s+)?(?:19|20)\d\d|\d+[./]\d+)"
    r"|(?:on\s+)?(?:the\s+)?(?:previous|prior|last)|before\b|previously|earlier|at baseline|ago\b|last (?:month|year|week)"
    r"|(?:a|an|one|two|three|four|five|six|\d+)\s+(?:days?|weeks?|months?|years?)\s+(?:ago|before|earlier)|on the \d+(?:st|nd|rd|th)\b"
    rf"|in\s+{_MONTH}|on\s+(?:\d+(?:st|nd|rd|th)?\s+)?{_MONTH})"
)
_DATED = re.compile(
    rf"[(,;]\s*(?:(?:on\s+|in\s+)?(?:\d{{1,2}}\s+)?(?:{_MONTH}\.?\s+)?(?:19|20)\d\d|(?:in\s+)?{_MONTH})\s*[:,]?\s*$"
)  # "(2022: 18 mm)"
_NOT_SIZE = re.compile(
    r"^\s*-?(?:(?:\w+[\s-])?(?:component|retraction|retr\b|rim\b|neck\b|fragments?\b|step[\s-]?off|step\b|displacement|diastasis|distraction|separation|depression)|thick\w*\s+(?:slices?|cuts?|sections?)|slices?|cuts?|sections?|collimation|reconstructions?|increments?|gap"
    r"|(?:of\s+)?(?:overriding|overlap|shortening|impaction|longer|shorter|wider|thicker)|FN\b|from(?!\s+(?:\d|[CTLS]\d))|above|below|beyond|away|off|distal(?:ly)? to|proximal(?:ly)? to|cranial(?:ly)? to|caudal(?:ly)? to|cephalad|deep to|inferior to|superior to"
    r"|anterior to|posterior to|lateral to|medial to|short of|to the (?:left|right) of|per\b|of growth|growth|larger than"
    r"|in (?:one|two|three|\d+) (?:months|years)|margin)",
    re.IGNORECASE,
)
_NOT_BEFORE = re.compile(
    r"(?:\b(?:abut|contact|touch|encas)\w*[^.;,]{0,40}\bover|\bgap(?: of)?|\bstep(?: of)?|\blumen(?: of)?|\bdistance|\bretraction[^.;\d]{0,30}|\binterval|\borifice(?: of)?|\bopening(?: of)?|\blanding zone(?: of)?|\b(?:growth of|grown by|grew by|increased? (?:in size )?by|decreased? (?:in size )?by|shrunk by|slice thickness(?: of)?|slices? of"
    r"|displac[^,.;]{0,30}\bby|displaced|depress\w*[^,.;\d]{0,20}\bby|component(?: of)?|angulated|shortened|overriding|sum of (?:the )?(?:target )?lesions?|neck|cortex,?|cortical thickness(?: of)?|parenchymal? (?:thickness )?(?:of)?|margins? of|distance of|within"
    r"|gap of|interval of|every|needle|gauge|catheter|stent of|sum of(?: the)?(?: longest)? diameters?(?: is| of)?|mGy\*|mGy))\s*$",
    re.IGNORECASE,
)
_CHANGED = re.compile(
    r"grow|grew|increas|decreas|enlarg|shr[aiu]nk|reduc|regress|progress|risen|fallen|went|gone|chang|diminish|larger|smaller",
    re.I,
)
_BOUND = re.compile(
    r"(?P<most>up to|less than|smaller than|under|below|at most|no(?:ne)? larger than|<|≤)|(?P<least>at least|more than|greater than|larger than|over|exceeding|>|≥)",
    re.IGNORECASE,
)
_BARE = re.compile(
    r"\b(?:left|right|lt\.?|rt\.?|now|today|latter|former|smaller|larger|other|second|fellow|is now|currently)\s+(?:one\s+)?(?:is\s+|at\s+|measures\s+)?"
    r"(?P<n>\d+(?:\.\d+)?)(?=\s*(?:$|[;)]|[.,](?:\s|$)))"
    r"|(?<=[,d]\s)(?P<way>\d+(?:\.\d+)?)(?=\s+(?:deep|long|wide|tall|thick|high|in (?:depth|height|width|length))\b)",
    re.IGNORECASE,
)
_KNOWN_UNIT = re.compile(
    r"\b(?:[RL]K|(?:R|L|Rt|Lt) kidney|spleen|Spl)\s+(?P<cm>\d{1,2}\.\d)(?=\s*(?:$|[,;.)/]|[A-Z]))"
    r"|\b(?:CBD|CHD|MPD|PV|endometrium|ET|appendix)\s+(?P<mm>\d{1,2}(?:\.\d)?)(?=\s*(?:$|[,;)]|\.(?:\s|$)))"
)
_YEAR = re.compile(r"(?:19|20)\d\d\s*(?:to|and|,)\s*(?=\d)")  # "in 2019 to 3.6 cm"
_GROWN_BY = re.compile(r"(?:grown|grew|increased|decreased|shrunk|enlarged|reduced)(?: in size)? by\s*$", re.IGNORECASE)
_OTHER_SIDE = re.compile(r"\s*(?:on the\s+)?(?:left|right)(?:,|,?\s+and)\s+", re.IGNORECASE)
_LENGTH_OVER = re.compile(r"\bover\s*(?:a length of\s*)?$", re.IGNORECASE)  # "stenosis over 12 mm" is a length
Bound = Literal["", "at most", "at least"]


@dataclass(frozen=True)
class Size:
    """A length or volume as written and where it stands.

    Attributes:
        mm: every dimension in mm, the longest first; empty for a volume.
        ml: volume in ml, or None.
        is_prior: it tells the size at an earlier examination.
        parts: the sizes of a list ("32 and 18 mm") one by one in the order of the text, each the longest first.
        along: the way of the body each of `mm` is told along, "" where none is; of a list or range it is empty.
    """

    mm: tuple[float, ...]
    ml: float | None
    bound: Bound
    is_prior: bool
    start: int
    end: int
    parts: tuple[tuple[float, ...], ...] = ()
    along: tuple[Direction, ...] = ()

    @property
    def ways(self) -> tuple[Direction, ...]:
        """`along`, as many as `mm`, also of a size that was taken out of a list."""
        return self.along if len(self.along) == len(self.mm) else (NOWHERE,) * len(self.mm)


def sizes(text: str) -> list[Size]:
    """Every length and volume with a unit, in the order of the text; slice thicknesses and distances are left out."""
    return [size for size, is_size in measures(text) if is_size]


def measures(text: str) -> list[tuple[Size, bool]]:
    """Every number with a unit of length or volume; False where it is a slice thickness, a distance or a growth."""
    found: list[tuple[Size, bool]] = []
    volumes = []
    for match in _VOLUME.finditer(text):
        unit = match.group(2)
        if unit == "L" and re.match(r"\s*\d", text[match.end() :]):
            continue  # "R 9.8 L 10.1"
        if (
            unit == "L"
            and "." not in match.group(1)
            and not re.search(r"(?:of|at|about|approx\.?)\s*$", text[: match.start()])
        ):
            continue  # "3 L" may be the left one
        ml = _value(match.group(1)) * (1000 if unit.lower().startswith("l") else 1)
        bound, prior = _around(text, match.start(), match.end())
        volumes.append((match.start(), match.end()))
        found.append((Size((), round(ml, 3), bound, prior, match.start(), match.end()), True))
    for match in _SIZE.finditer(text):
        if not re.search(_UNIT, match.group(), re.IGNORECASE):
            continue
        if any(a < match.end() and match.start() < b for a, b in volumes):
            continue
        year = _YEAR.match(match.group())
        start = match.start() + (year.end() if year else 0)
        end = match.start() + _last_unit(match.group())
        parts = _in_mm(text[start:end])
        bound, prior = _around(text, start, end)
        if re.search(r"\bfrom\s*$", text[: match.start()], re.IGNORECASE) and len(parts) == 2:
            grown = _CHANGED.search(text[: match.start()]) is not None
            parts, prior = parts[1:] if grown else parts, False  # "grown from 9 to 16 mm", "four, from 9 to 16 mm"
        before = text[max(0, match.start() - 40) : match.start()]
        if len(parts) == 2 and _GROWN_BY.search(before):
            parts, before = parts[1:], ""  # "grown by 3 mm to 14 mm"
        mm = tuple(sorted((mm for part in parts for mm in part), reverse=True))
        is_size = (
            text[match.start() - 1 : match.start()] not in ("+", "±")
            and not _NOT_SIZE.match(text[end:])
            and not _NOT_BEFORE.search(before)
        )
        if found and not found[-1][1] and _OTHER_SIDE.fullmatch(text, found[-1][0].end, start):
            is_size = False  # "cortical thickness 8 mm on the right and 11 mm on the left"
        along = _along(text, start, end) if len(parts) == 1 else ()
        found.append((Size(mm, None, bound, prior, start, end, parts, along), is_size))
    found += [(size, True) for size in _without_unit(text, [size for size, is_size in found if size.mm])]
    found += [(size, True) for size in _without_any_unit(text, [size for size, _is_size in found])]
    return sorted(found, key=lambda pair: pair[0].start)


def _without_unit(text: str, known: list[Size]) -> list[Size]:
    """ "Right 12 mm, left 11.", "the latter 14", "14 mm wide and 4 deep": a number that leaves out the unit of the size before it."""
    made = []
    for match in _BARE.finditer(text):
        before = [size for size in known if size.end <= match.start()]
        if not before or any(size.start <= match.start() < size.end for size in known):
            continue
        factor = 10 if re.search(r"c(?:m|enti)", text[before[-1].start : before[-1].end], re.IGNORECASE) else 1
        number = "n" if match.group("n") else "way"  # "14 mm wide and 4 deep"
        mm = (round(_value(match.group(number)) * factor, 3),)
        made.append(Size(mm, None, "", False, match.start(number), match.end(number), (mm,)))
    return made


def _without_any_unit(text: str, known: list[Size]) -> list[Size]:
    """ "RK 10.2 LK 10.6", "CBD 4": what is measured tells the unit."""
    made = []
    for match in _KNOWN_UNIT.finditer(text):
        if any(size.start < match.end() and match.start() < size.end for size in known):
            continue
        number = "cm" if match.group("cm") else "mm"
        mm = (round(_value(match.group(number)) * (10 if number == "cm" else 1), 3),)
        made.append(Size(mm, None, "", False, match.start(number), match.end(number), (mm,)))
    return made


def _last_unit(text: str) -> int:
    """Where the last unit ends: in "1.0 and 2.4 cm, and 1 …" the last number is none of these sizes."""
    return [m.end() for m in re.finditer(_UNIT, text, re.IGNORECASE)][-1]


def _value(text: str) -> float:
    if text.lower().startswith("half"):
        return 0.5
    if text.lower() in _WORDS:
        return float(_WORDS[text.lower()])
    text = re.sub(r"(?<=\d)[ \u00a0\u202f](?=\d{3})", "", text)
    if re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?", text):
        return float(text.replace(",", ""))
    return float(text.replace(",", ".").replace("·", "."))


def _in_mm(text: str) -> tuple[tuple[float, ...], ...]:
    """Sizes, each with its dimensions; a number without a unit takes the next one's: "12 x 9 mm", "1 cm x 8 mm"."""
    parts = []
    for part in _PART.finditer(text):
        numbers = []
        for one in _ONE.finditer(text, part.start(), part.end()):
            later = re.search(_UNIT, text[one.start() :], re.IGNORECASE)
            unit = one.group(2) or (later.group() if later else re.findall(_UNIT, text, re.IGNORECASE)[-1])
            numbers.append(round(_value(one.group(1)) * (10 if unit.lower().startswith("c") else 1), 3))
        parts.append(tuple(sorted(numbers, reverse=True)))
    return tuple(parts)


def _along(text: str, start: int, end: int) -> tuple[Direction, ...]:
    """The way each dimension of one size is told along, the longest first."""
    numbers = list(_ONE.finditer(text, start, end))
    told = directions(text, [number.end() for number in numbers], end)
    if told == ("",):
        told = (direction_before(text, start),)
    order = sorted(range(len(numbers)), key=lambda n: -_value(numbers[n].group(1)))
    return tuple(told[n] for n in order)


def _around(text: str, start: int, end: int) -> tuple[Bound, bool]:
    before = text[max(0, start - 30) : start]
    near = list(_BOUND.finditer(before))
    bound: Bound = ""
    if near and not re.search(r"\d", before[near[-1].end() :]) and len(before) - near[-1].end() <= 3:
        bound = "at most" if near[-1].group("most") else "at least"
    if _LENGTH_OVER.search(before):
        bound = ""
    dated = _DATED.search(before) is not None and re.search(r"\d\s*[cm]m", text[:start]) is not None
    return bound, dated or _PRIOR.search(before) is not None or _PRIOR_AFTER.match(text[end:]) is not None
