"""The kinds of small words that the grammar goes by, each a column of the table of report words."""

from __future__ import annotations

from functools import cache

from ..lexicon import Phrases, phrases_of, report_words


@cache
def _words(kind: str) -> frozenset[str]:
    return frozenset(term for term, _value in report_words()[kind])


def verbs() -> frozenset[str]:
    """Words that make a clause speak of its subject."""
    return _words("verb")


def into() -> frozenset[str]:
    """Prepositions whose structure is where a lesion is."""
    return _words("into")


def clause_words() -> frozenset[str]:
    """Words and marks that begin another clause."""
    return _words("clause")


def landmarks() -> Phrases[str]:
    """Words whose structure only says how something lies to it."""
    return phrases_of("landmark")


def identities() -> Phrases[str]:
    """Words between what is seen and what it is said to be."""
    return phrases_of("identity")


def denials() -> Phrases[str]:
    """Words behind a colon that deny what stands before it."""
    return phrases_of("denial")


def pointing() -> frozenset[str]:
    """Words behind which a side is a direction ("displaced to the right")."""
    return _words("pointing")


def whereabouts() -> frozenset[str]:
    """Words of place and kind that may stand before a noun ("upper", "posterior", "horn", "small")."""
    return _words("whereabouts")


def exams() -> frozenset[str]:
    """Words for an examination: "the knee MRI was limited" says nothing of the knee."""
    return _words("exam")


def hedges() -> frozenset[str]:
    """Words between what is seen and what it may be ("likely", "suggesting")."""
    return _words("hedge")


def carrying() -> frozenset[str]:
    """Words that keep the side spoken of ("underlying", "upstream", "adjacent")."""
    return _words("carrying")


def leaning() -> frozenset[str]:
    """Words with which a sentence may still go on about the one before ("now", "measuring", "similar")."""
    return _words("leaning")


def itself() -> frozenset[str]:
    """Nouns with which an adjective still means the structure itself ("hilar contours")."""
    return _words("itself")


def describing() -> frozenset[str]:
    """Lesions that, said of another lesion, only describe it ("displaced", "calcified")."""
    return _words("describing")


def sized() -> frozenset[str]:
    """Lesions that a structure's size is the size of ("dilated")."""
    return _words("sized")


@cache
def always() -> dict[str, str]:
    """Lesions that have one place, whatever is named beside them."""
    return dict(report_words()["always"])


def joint_held() -> frozenset[str]:
    """Lesions that lie in a joint and not in its ligaments or tendons ("loose body")."""
    return _words("jointheld")


def seen_things() -> frozenset[str]:
    """Lesions that say what is seen and not what it is ("nodule")."""
    return _words("seen")


def identified() -> frozenset[str]:
    """Lesions that say what a thing seen is ("metastasis"); so do those in "-oma"."""
    return _words("identified")


def signs() -> frozenset[str]:
    """Lesions that, behind another, only say how that looks ("uptake", "angulation")."""
    return _words("sign")


def needs_place() -> frozenset[str]:
    """Lesions that, denied in a sentence of their own, are denied of more than the structure named last ("lesion")."""
    return _words("needsplace")


def devices() -> frozenset[str]:
    """Words for what was put into a body: where it lies is no topic ("catheter")."""
    return _words("device")


def renamed() -> frozenset[str]:
    """Lesions that an identity told of them takes the place of, though they say more than "mass" ("collection")."""
    return _words("renamed")


def explained() -> frozenset[str]:
    """Lesions that are signs of a disease named behind them ("wall thickening, consistent with colitis")."""
    return _words("explained")


def explaining() -> frozenset[str]:
    """Diseases, beside those in "-itis", whose signs are no findings of their own ("obstruction")."""
    return _words("explaining")
