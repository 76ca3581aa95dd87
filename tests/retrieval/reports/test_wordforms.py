"""Word forms against medical spelling and grammar: pairs of spellings, plurals and endings written down by hand."""

import pytest

from ostensor.retrieval.reports.lexicon import Phrases, form_of
from ostensor.retrieval.reports.wordforms import plurals, spelling


@pytest.mark.parametrize(
    ("british", "american"),
    [
        ("haemorrhage", "hemorrhage"), ("oedema", "edema"), ("tumour", "tumor"), ("oesophageal", "esophageal"), ("caecum", "cecum"),
        ("ischaemia", "ischemia"), ("goitre", "goiter"), ("visualised", "visualized"), ("hydrocoele", "hydrocele"), ("grey", "gray"),
        ("phaeochromocytoma", "pheochromocytoma"), ("calibre", "caliber"), ("anaemia", "anemia"),
    ],
)  # fmt: skip
def test_both_spellings_become_one(british: str, american: str) -> None:
    assert spelling(british) == spelling(american)


@pytest.mark.parametrize(
    "pair", [("ileum", "ilium"), ("lesion", "legion"), ("humeral", "numeral"), ("raised", "razed")]
)
def test_different_words_stay_different(pair: tuple[str, str]) -> None:
    assert spelling(pair[0]) != spelling(pair[1])


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("metastasis", "metastases"),
        ("haemangioma", "haemangiomata"),
        ("thrombus", "thrombi"),
        ("varix", "varices"),
        ("biopsy", "biopsies"),
    ],
)
def test_latin_plurals_are_known(one: str, many: str) -> None:
    assert many in plurals(one)


@pytest.mark.parametrize(
    ("word", "kind", "structure"),
    [
        ("sialadenitis", "lesion", "salivary gland"),
        ("ependymomata", "lesion", ""),
        ("proctitis", "lesion", "rectum"),
        ("sacroiliitis", "lesion", "sacroiliac joint"),
        ("cholecystectomy", "surgery", "gallbladder"),
        ("laryngectomy", "surgery", "larynx"),
    ],
)
def test_endings_tell_lesions_and_removals_and_roots_where(word: str, kind: str, structure: str) -> None:
    form = form_of(word)
    assert form is not None
    assert (form.kind, form.structure) == (kind, structure)


@pytest.mark.parametrize("word", ["diagnosis", "prognosis", "anastomosis", "coma", "stoma", "symptom", "liver", "gist"])
def test_words_that_only_end_alike_are_neither(word: str) -> None:
    assert form_of(word) is None


def test_a_phrase_as_written_comes_before_the_plural_of_another() -> None:
    """Both rows make "vertebrals"; the one that says it wins, though it stands second."""
    phrases = Phrases([("vertebral", "bone"), ("vertebrals", "artery")], plurals=True)
    assert [match.value for match in phrases.find(["vertebrals"])] == ["artery"]
