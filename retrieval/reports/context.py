"""ConText: whether a mention is affirmed, negated, uncertain, hypothetical, in the past or about somebody else.

Our own implementation after the published description; the phrases are in `context_rules.tsv`.
medspacy, the usual library, was tried: on Python 3.11 beside NumPy 2 it asks for thirty more
packages, among them a spaCy built for NumPy 1.

Source: Harkema et al. 2009, J Biomed Inform 42:839 (ConText); Chapman et al. 2001, J Biomed
Inform 34:301 (NegEx: pre- and post-triggers, pseudo-triggers, termination).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

from .lexicon import Match, Phrases, context_rules, report_words

Presence = Literal["present", "absent", "possible", "hypothetical", "historical", "family"]
# The stronger says more about the mention: a hypothetical mass is not a possible one.
_STRENGTH: tuple[Presence, ...] = ("family", "hypothetical", "absent", "historical", "possible")
_REACH = 24  # words a trigger reaches; NegEx used 5, ConText the whole sentence
_NEAR = 5  # words from such a trigger to a mention it stands before
_LIST = 7  # words in which the "or" of a list comes
_JOINTS = frozenset({",", "and", "with", "plus", "(", "or", "nor", "/"})
# What opens something new behind a comma or "and": "no effusion, small nodule", "no mass and a cyst".
_FRESH = frozenset({"a", "an", "<size>", "there", "small", "mild", "moderate", "large", "multiple", "several", "few", "severe",
                    "new", "low", "high", "intermediate", "known", "likely", "most", "probably", "possibly", "suspicious", "suggesting", "suggestive", "consistent", "stable", "unchanged", "chronic", "minimal", "trace", "slight", "marked", "bilateral", "two", "three"})  # fmt: skip
_MARKS = frozenset({":", ",", ";", ")"})
_PLACING = frozenset({"and", "or", "but", "in", "on", "at", "from", "bilaterally", "today", "now", "since", "post"})
_STILL_THERE = frozenset({"known", "treated"})
_MAYBE = frozenset({"likely", "probably", "presumably", "possibly", "most"})
_NATURE = frozenset({"reactive", "degenerative", "benign", "physiological", "physiologic", "inflammatory", "postoperative", "postsurgical", "artefactual",
                     "chronic", "acute", "old", "infective", "infectious", "traumatic", "incidental", "iatrogenic", "congenital", "osteoporotic",
                     "atelectatic", "dependent", "positional", "developmental", "longstanding", "subacute", "vascular", "postinflammatory"})  # fmt: skip
_SAME = frozenset({"lesion", "represents", "representing"})
_BOTH_WAYS = frozenset({"versus", "vs", "favoured", "favored", "more", "less"})
_ONE_NOUN = frozenset({"prior", "previous", "previously", "known", "remote", "post", "recent", "earlier", "former"})
_NOW = frozenset({"unchanged", "stable", "persists", "persistent", "persisting", "remains", "now", "again", "today", "currently", "smaller", "larger", "bigger",
                  "increased", "decreased", "enlarging", "grown", "shrunk", "residual", "measures"})  # fmt: skip


@cache
def _triggers() -> Phrases[tuple[str, str]]:
    return Phrases((phrase, (category, direction)) for phrase, category, direction in context_rules())


def presence_of(words: Sequence[str], first: int, last: int, others: Sequence[tuple[int, int]] = ()) -> Presence:
    """What the sentence says about the mention in words `first` up to and without `last`.

    Args:
        others: words of mentions that are not joined with this one by "and" or "or"; what is said behind
            such a mention is said of that.
    """
    found: set[str] = set()
    triggers = _triggers().find(words)
    for trigger in triggers:
        category, direction = trigger.value
        if category == "negated" and trigger.first < first < trigger.last:
            found.add("absent")  # "not involved", where the involvement is the mention
        if not _says_nothing(words, trigger, category) and (
            (direction in ("forward", "around") and _says_of_later(words, trigger, triggers, (first, last)))
            or (direction in ("backward", "around") and _says_of_earlier(words, trigger, triggers, last, others))
            or (direction == "adjacent" and trigger.first == last)
        ):
            found.add("absent" if category == "negated" else category)
    for kind in _STRENGTH:
        if kind in found:
            ends = words.index(":", last) if ":" in words[last:] else len(words)
            if kind == "historical" and _NOW & set(words[first:ends]) and not _gone(words, triggers, last):
                continue
            return kind
    return "present"


def _says_nothing(words: Sequence[str], trigger: Match[tuple[str, str]], category: str) -> bool:
    """Whether the phrase means something else here: "with absent flow", "likely adrenal in origin", "18 mm versus 26 mm"."""
    behind = words[trigger.last : trigger.last + 1]
    if category == "negated" and words[trigger.last : trigger.last + 2] in (["in", "<other>"], ["on", "<other>"]):
        return True  # "opacity, not seen in 2021"
    if words[trigger.first : trigger.last] == ["absent"] and behind and behind[0].isalpha():
        return behind[0] not in _PLACING
    if (
        category == "possible"
        and words[trigger.first] in _MAYBE
        and set(behind) & _NATURE
        and words[trigger.last + 1 :][:1] != ["lesion"]
    ):
        return True  # "wedging, likely osteoporotic": the wedging is there
    if category == "possible" and {"origin", "nature", "aetiology", "etiology"} & set(
        words[trigger.last : trigger.last + 4]
    ):
        return True
    return words[trigger.first] in _BOTH_WAYS and behind == ["<size>"]


def _says_of_later(
    words: Sequence[str],
    trigger: Match[tuple[str, str]],
    triggers: Sequence[Match[tuple[str, str]]],
    at: tuple[int, int],
) -> bool:
    """Whether a phrase before the mention in words `at` reaches it."""
    category, direction = trigger.value
    first, last = at
    if trigger.first >= first or (direction == "around" and words[trigger.last : trigger.last + 1] == [":"]):
        return False
    if words[trigger.first] in _STILL_THERE and "<size>" in words[trigger.last : last + 2 * _NEAR]:
        return False  # "treated lesion, 3.9 cm": known before, and measured now
    gap, behind = words[trigger.last : first], words[last : last + _LIST]
    own = behind[:1] in (["<size>"], ["in"], ["along"], ["around"], ["within"])
    if category == "negated" and own and "," in gap and not {"or", "nor"} & {*gap, *behind}:
        return False  # "no adenopathy, aneurysm 3.1 cm", "no free air, fluid in the pouch"
    return _reaches(words, trigger, triggers, (min(trigger.last, first), first), category)


def _says_of_earlier(
    words: Sequence[str],
    trigger: Match[tuple[str, str]],
    triggers: Sequence[Match[tuple[str, str]]],
    last: int,
    others: Sequence[tuple[int, int]],
) -> bool:
    """Whether a phrase behind the mention that ends before word `last` is said of it."""
    if trigger.first < last:
        return False
    category, direction = trigger.value
    if words[trigger.first] == "queried" and _MARKS & set(words[last : trigger.first]):
        return False  # "hypodense area: focal fat?" asks for the fat
    behind = words[trigger.last : trigger.last + 1]
    # what may stand on either side belongs to the mention right behind it, if there is one
    either = direction == "around" and category == "possible" and words[trigger.first] not in _BOTH_WAYS
    named = bool(behind) and behind[0].isalpha() and behind[0] not in _PLACING
    if (
        either
        and named
        and words[trigger.first - 1] == ","
        and words[trigger.first] in _MAYBE
        and not set(behind) & _SAME
    ):
        return False  # "lesion, 15 mm, likely focal fat": it is there
    reach = _NEAR if either and behind and behind[0] not in _MARKS else 0
    if any(last <= a <= trigger.first + reach for a, _b in others):
        return False
    return not _ends(words, triggers, (last, trigger.first))


def _gone(words: Sequence[str], triggers: Sequence[Match[tuple[str, str]]], last: int) -> bool:
    return any(t.value == ("historical", "backward") and t.first >= last for t in triggers)


def _reaches(
    words: Sequence[str],
    trigger: Match[tuple[str, str]],
    triggers: Sequence[Match[tuple[str, str]]],
    between: tuple[int, int],
    category: str,
) -> bool:
    if _ends(words, triggers, between):
        return False
    gap = words[between[0] : between[1]]
    if category == "negated" and "<size>" in gap and "," in gap[: gap.index("<size>")] and "or" not in gap:
        return False  # "no liver mets, RML nodule 4 mm, ?met"
    joint = [n for n, word in enumerate(gap) if word in _JOINTS]
    if ":" in gap and (category in ("hypothetical", "possible") or words[trigger.first] in _ONE_NOUN):
        return False  # "Rule out appendicitis: appendix normal", "Post treatment: mass 34 mm"
    if category == "hypothetical" and " , the " in f" {' '.join(gap)} ":
        return False  # "If it is no cyst, the lesion could be …"
    if category == "historical" and words[trigger.first] in _ONE_NOUN:
        return not joint and not set(gap) & _verbs()
    if words[trigger.first] == "either" and (
        len(gap) > _NEAR or not {"or", "/"} & set(words[trigger.last : between[1] + _LIST])
    ):
        return False
    listed = "differential" in words[trigger.first : trigger.last]
    if (
        category == "possible"
        and not listed
        and {gap[n] for n in joint} - {"and", "or"}
        and "or" not in gap
        and "versus" not in gap
    ):
        return False
    for n in joint:
        behind = [word for word in gap[n + 1 :] if word not in _JOINTS]
        last_joint = next((word for word in reversed(gap) if word in _JOINTS), "")
        if category in ("negated", "possible") and last_joint not in ("or", "nor", "/") and gap[n] != "or":
            ahead = words[between[1] : between[1] + _LIST]
            if "or" in ahead or "nor" in ahead:
                continue  # "no A, large B, or C"
            nearest = gap[n + 1 :][:2] or words[between[1] : between[1] + 1]
            if _FRESH & set(nearest) or _FRESH & set(words[between[1] - 1 : between[1]]):
                return False
        if set(behind) & _verbs():
            return False
    return True


def _ends(words: Sequence[str], triggers: Sequence[Match[tuple[str, str]]], between: tuple[int, int]) -> bool:
    """Whether a word that ends every reach stands between, or too many words do."""
    if between[1] - between[0] > _REACH or ";" in words[between[0] : between[1]]:
        return True
    return any(t.value[0] == "terminate" and between[0] <= t.first < between[1] for t in triggers)


@cache
def _verbs() -> frozenset[str]:
    return frozenset(term for term, _value in report_words()["verb"])
