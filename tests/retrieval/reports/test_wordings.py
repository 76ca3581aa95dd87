"""Further wordings, each with what it says; written by hand, by the rules of the passages, before the reader met them."""

from pathlib import Path

import pytest

from ostensor.benchmarks.accuracy.passages import Passage, explain, load
from ostensor.retrieval.reports.findings import find_findings
from ostensor.retrieval.reports.text import split_report

WORDINGS = load(Path(__file__).parent / "passages" / "wordings.jsonl")


@pytest.mark.parametrize("passage", WORDINGS, ids=lambda passage: passage.id)
def test_a_wording_is_read_as_written_down(passage: Passage) -> None:
    """Every finding with its side, sizes, presence and count, and no other."""
    assert explain(passage) == ""


def told(text: str) -> list[tuple[str, str, str]]:
    return [(f.structure, f.lesion, f.presence) for f in find_findings(split_report(text))]


@pytest.mark.parametrize(
    "denial", ["No new lesion.", "No distant metastases.", "No vegetation.", "No acute abnormality."]
)
def test_a_denial_of_what_no_structure_is_named_for_is_left_out(denial: str) -> None:
    """It says nothing that could be looked up; the structure named before has a stenosis, and nothing is denied of it."""
    assert told(f"Severe aortic stenosis. {denial}") == [("aortic valve", "stenosis", "present")]


def test_a_denial_behind_the_structure_itself_is_said_of_it() -> None:
    assert told("Liver 17 cm. No focal lesion.")[-1] == ("liver", "lesion", "absent")
    assert told("Liver: three cysts. No mass.")[-1] == ("liver", "mass", "absent")


@pytest.mark.parametrize(
    ("text", "structure"),
    [
        ("Prostate 40 cc, SV normal.", "seminal vesicle"),
        ("SV patent.", "portal and splenic vein"),
        ("Left vestibular schwannoma. Right CP angle clear.", "cerebellopontine angle"),
        ("CXR: right CP angle clear.", "right costophrenic angle"),
        ("Left hip MRI. Labrum normal.", "left acetabular labrum"),
        ("Left shoulder MRI. Labrum normal.", "left glenoid labrum"),
        ("Thyroid: RL 48 mm.", "right lobe of thyroid gland"),
    ],
)
def test_a_short_form_means_what_it_means_in_that_part_of_the_body(text: str, structure: str) -> None:
    assert find_findings(split_report(text))[-1].structure.endswith(structure)


@pytest.mark.parametrize(
    ("text", "lesion", "size_mm"),
    [
        ("Right adrenal nodule 21 mm, lipid-rich adenoma.", "adenoma", 21),
        ("Sellar mass 18 mm. Macroadenoma.", "macroadenoma", 18),
        ("Adrenal nodule 21 mm. Likely adenoma.", "nodule", 21),  # may be one
        ("Right adrenal nodule 21 mm, liver cyst.", "nodule", 21),  # elsewhere
    ],
)
def test_what_is_seen_is_named_by_an_apposition_or_the_next_sentence(text: str, lesion: str, size_mm: float) -> None:
    first = find_findings(split_report(text))[0]
    assert (first.lesion, first.size_mm) == (lesion, size_mm)


def test_the_position_of_a_device_is_no_topic() -> None:
    assert told("Right PICC tip projects over the right atrium. Increased airspace opacification.") == [
        ("lungs", "opacification", "present")
    ]
