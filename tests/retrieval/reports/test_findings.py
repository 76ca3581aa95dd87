"""Findings of sentences, as a person reads them; expected values are written by hand."""

import time

import pytest

from ostensor.retrieval.reports.findings import Finding, find_findings
from ostensor.retrieval.reports.text import split_report


def read(text: str) -> list[Finding]:
    return find_findings(split_report(text))


def only(text: str) -> Finding:
    found = read(text)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    ("text", "structure", "lesion", "presence"),
    [
        ("No focal liver lesion.", "liver", "lesion", "absent"),
        ("There is a cyst in the left kidney.", "left kidney", "cyst", "present"),
        ("Possible nodule in the right adrenal gland.", "right adrenal gland", "nodule", "possible"),
        ("Hepatic metastases are not excluded.", "liver", "metastasis", "possible"),
        ("If pain persists, rule out liver metastases.", "liver", "metastasis", "hypothetical"),
        ("Liver without mass.", "liver", "mass", "absent"),
        ("The lungs are clear of consolidation.", "lungs", "consolidation", "absent"),
        ("No change in the cyst of the spleen.", "spleen", "cyst", "present"),
        ("Family history of a pancreatic mass.", "pancreas", "mass", "family"),
        ("The spleen has no cyst but the liver mass is large.", "spleen", "cyst", "absent"),
        ("No hydronephrosis.", "kidneys", "hydronephrosis", "absent"),
    ],
)
def test_lesions_with_host_and_presence(text: str, structure: str, lesion: str, presence: str) -> None:
    found = read(text)[0]
    assert (found.structure, found.lesion, found.presence) == (structure, lesion, presence)


@pytest.mark.parametrize(
    ("text", "structure", "presence", "status"),
    [
        ("The liver is normal in size.", "liver", "present", "normal"),
        ("The spleen is not enlarged.", "spleen", "present", "normal"),
        ("Splenomegaly.", "spleen", "present", "enlarged"),
        ("No hepatomegaly.", "liver", "present", "normal"),
        ("Gallbladder is surgically absent.", "gallbladder", "absent", "removed"),
        ("Status post left nephrectomy.", "left kidney", "absent", "removed"),
        ("The pancreas is absent.", "pancreas", "absent", "removed"),
        ("Right and left kidneys are normal.", "kidneys", "present", "normal"),
        ("Kidney on the left is unremarkable.", "left kidney", "present", "normal"),
    ],
)
def test_structures_with_status(text: str, structure: str, presence: str, status: str) -> None:
    found = only(text)
    assert (found.structure, found.lesion, found.presence, found.status) == (structure, "", presence, status)


@pytest.mark.parametrize(
    ("text", "sizes_mm"),
    [
        ("A 12 mm cyst in the liver.", (12.0,)),
        ("A 1.2 cm cyst in the liver.", (12.0,)),
        ("A 2.3 x 1.8 cm cyst in the liver.", (23.0, 18.0)),
        ("A cyst in the liver, 9 × 1,4 cm.", (90.0, 14.0)),
        ("A 1 cm x 8 mm cyst in the liver.", (10.0, 8.0)),
        ("Liver cyst of 15 mm, previously 9 mm.", (15.0,)),
        ("Liver cyst seen on 5 mm slices.", ()),
        ("Liver cyst 3 cm above the dome, 7 mm.", (7.0,)),
    ],
)
def test_sizes_are_normalised_to_mm(text: str, sizes_mm: tuple[float, ...]) -> None:
    assert read(text)[0].sizes_mm == sizes_mm


def test_sizes_go_to_the_structure_they_stand_beside() -> None:
    liver, spleen = read("The liver measures 17 cm and the spleen measures 12 cm.")
    assert (liver.structure, liver.size_mm) == ("liver", 170)
    assert (spleen.structure, spleen.size_mm) == ("spleen", 120)


def test_counts_places_bounds_volumes_and_change() -> None:
    found = only("Two cysts up to 8 mm in the upper pole of the left kidney, unchanged.")
    assert (found.count, found.size_mm, found.bound, found.change) == (2, 8, "at most", "stable")
    assert "upper pole" in found.location
    assert only("Spleen has a volume of 0.25 l.").volume_ml == 250


def test_a_pronoun_takes_the_structure_of_the_sentence_before() -> None:
    cyst = read("The spleen is enlarged. It shows a cyst.")[-1]
    assert (cyst.structure, cyst.inherited) == ("spleen", True)
    assert read("The spleen is enlarged.\n\nThere is a cyst.")[-1].structure == ""


def test_technique_claims_nothing_and_history_only_what_was_known_or_is_asked() -> None:
    """Past and asked for by the rules of annotation; a lesion that is also described today is told once."""
    text = "HISTORY: Liver cyst. Spleen large. ?Fracture.\nTECHNIQUE: CT of the liver.\nFINDINGS: Spleen normal.\nIMPRESSION: Liver mass."
    told = [(f.section, f.structure, f.lesion, f.presence) for f in read(text)]
    assert told == [
        ("history", "liver", "cyst", "historical"),
        ("history", "", "fracture", "possible"),
        ("findings", "spleen", "", "present"),
        ("impression", "liver", "mass", "present"),
    ]
    assert [f.section for f in read("HISTORY: Liver cyst.\nFINDINGS: Liver cyst 12 mm.")] == ["findings"]


def test_a_last_section_that_claims_nothing_ends_with_its_first_sentence() -> None:
    found = read("Indication: cough. The lungs are clear. No effusion.")
    assert [(f.structure, f.presence) for f in found] == [("lungs", "present"), ("pleural cavity", "absent")]


def test_places_in_the_text_are_exact() -> None:
    report = split_report("FINDINGS:\r\nThe liver is normal.\r\nA cyst in the spleen.")
    for sentence in report.sentences:
        assert report.text[sentence.start : sentence.end] == sentence.text
    assert [s.text for s in report.sentences] == ["The liver is normal.", "A cyst in the spleen."]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Leber normal groß. Milz unauffällig. Keine Lymphknoten.", "German"),
        ("Foie de taille normale, pas de lésion.", "French"),
        ("El hígado es normal sin evidencia de lesión.", "Spanish"),
        ("肝脏大小正常。", "unknown"),
        ("Liver normal.", "English"),
        (" \n ", ""),
    ],
)
def test_languages(text: str, language: str) -> None:
    assert split_report(text).language == language


def test_twentyfive_sentences_take_far_less_than_a_second_and_a_100_kb_paste_works() -> None:
    sentence = "There is a 2.3 x 1.8 cm cyst in the left kidney, previously 1.9 cm. "
    read(sentence)  # tables are read once
    started = time.process_time()
    assert len(read(sentence * 25)) == 25
    assert time.process_time() - started < 0.5
    assert len(read((sentence * 2000)[:100_000])) > 1400


@pytest.mark.data
def test_real_reports_called_normal_affirm_no_lesion_and_labels_agree(shared_data: object) -> None:
    """Truth: the MeSH problem lists people gave the reports of the Indiana collection."""
    import csv
    from pathlib import Path

    path = next(Path(str(shared_data), "iu_reports").glob("*.csv"))
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:600]
    normal = affirmed = big = called_big = 0
    for row in rows:
        found = read(f"FINDINGS: {row['findings']}\nIMPRESSION: {row['impression']}")
        if row["Problems"] == "normal":
            normal += 1
            affirmed += any(f.lesion and f.presence == "present" for f in found)
        if "Cardiomegaly" in row["Problems"]:
            big += 1
            called_big += any(f.structure == "heart" and f.status == "enlarged" for f in found)
    assert normal > 100
    assert affirmed <= 0.03 * normal
    assert called_big >= 0.8 * big
