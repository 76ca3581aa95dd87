"""Word forms: British and American spelling, plurals, and lesions and operations told by their Greek endings.

"Sialadenitis", "haemangiomata" and "laminectomy" need no row of their own: the ending says that it is a lesion or a
removal, the root before it the structure. Endings, roots and what only looks like one are `report_words.tsv`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

_IRREGULAR = {"foot": "feet", "tooth": "teeth", "calf": "calves"}
_SHORTEST_STEM = 3
_AMERICAN = tuple(
    (re.compile(british), american)
    for british, american in (
        ("haem", "hem"), ("aemi", "emi"), ("oede", "ede"), ("oeso", "eso"), ("tumour", "tumor"), ("aec", "ec"), ("coele?", "cele"),
        ("coeli", "celi"), ("phaeo", "pheo"), ("grey", "gray"), ("calibre", "caliber"), ("centre", "center"), ("fibre", "fiber"),
        ("goitre", "goiter"), ("rhoea", "rhea"), ("colour", "color"), ("disk", "disc"), ("paed", "ped"), ("foet", "fet"),
        (r"is(e|ed|es|ing|ation)$", r"iz\1"), ("lled$", "led"), ("lling$", "ling"),
    )
)  # fmt: skip
_PLURAL = ((r"omata$|omas$", "oma"), (r"oses$", "osis"), (r"itides$", "itis"), (r"ies$", "y"), (r"([^si])s$", r"\1"))

Kind = Literal["lesion", "surgery"]


@dataclass(frozen=True)
class Formed:
    """What a word says by its form: a lesion or a removal, its singular, and the structure of its root or ""."""

    kind: Kind
    name: str
    structure: str


@cache
def spelling(word: str) -> str:
    """The American spelling of a lower-case word; both spellings become the same."""
    for british, american in _AMERICAN:
        word = british.sub(american, word)
    return word


def plurals(word: str) -> tuple[str, ...]:
    """Plurals of a word, English and Latin."""
    forms = [word + "s"]
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        forms = [word[:-1] + "ies"]
    elif word.endswith(("s", "x", "ch", "sh")):
        forms = [word + "es"]
    for end, plural in (("sis", "ses"), ("oma", "omata"), ("us", "i"), ("um", "a"), ("ix", "ices"), ("ex", "ices"), ("nx", "nges"), ("ule", "ula")):  # fmt: skip
        if word.endswith(end) and len(word) > len(end) + 1:
            forms.append(word.removesuffix(end) + plural)
    return (*forms, _IRREGULAR[word]) if word in _IRREGULAR else tuple(forms)


def formed(word: str, endings: dict[str, str], roots: dict[str, str], unlike: frozenset[str]) -> Formed | None:
    """What a word that is in no table says by its ending, or None.

    Args:
        endings: ending -> "lesion" or "surgery".
        roots: root -> structure; the longest that the stem ends with counts.
        unlike: words with such an ending that mean neither ("diagnosis", "coma").
    """
    name = spelling(word)
    for plural, singular in _PLURAL:
        changed = re.sub(plural, singular, name)
        if changed != name and changed not in ("", name):
            name = changed
            break
    if name in unlike or word in unlike:
        return None
    ending = next((end for end in sorted(endings, key=len, reverse=True) if name.endswith(end)), "")
    stem = name.removesuffix(ending)
    if not ending or len(stem) < _SHORTEST_STEM:
        return None
    root = max((root for root in roots if stem.endswith(spelling(root))), key=len, default="")
    kind: Kind = "surgery" if endings[ending] == "surgery" else "lesion"
    return Formed(kind, name, roots.get(root, ""))
