"""Sizes of another date, and places that a report tells in part; expected values are written by hand."""

import pytest

from ostensor.retrieval.reports.findings import Finding, find_findings
from ostensor.retrieval.reports.text import split_report


def read(text: str) -> list[Finding]:
    return find_findings(split_report(text))


@pytest.mark.parametrize(
    ("text", "sizes_mm"),
    [
        ("Vestibular schwannoma on the left, 21 x 13 mm (2022: 18 x 12 mm).", (21.0, 13.0)),
        ("Liver metastasis 22 mm (18 mm in May).", (22.0,)),
        ("Right renal cyst, 3.1 cm, prev 2.8 cm.", (31.0,)),
        ("AAA 61 mm (64 mm a year ago).", (61.0,)),
        ("Pancreatic collection of 3.0 x 2.2 cm (5.6 x 4.1 cm on the 3rd).", (30.0, 22.0)),
        ("Cyst of the liver, 14 mm wide and 4 deep.", (14.0, 4.0)),
        ("The lung mass measures 34 mm and abuts the chest wall over 2 cm.", (34.0,)),
    ],
)
def test_only_sizes_of_today_and_of_the_thing_itself_are_kept(text: str, sizes_mm: tuple[float, ...]) -> None:
    (finding,) = read(text)
    assert finding.sizes_mm == sizes_mm


def test_the_kidney_and_the_bile_duct_tell_the_unit_that_shorthand_leaves_out() -> None:
    assert [f.sizes_mm for f in read("RK 10.2 LK 10.6. CBD 4.")] == [(102.0,), (106.0,), (4.0,)]


@pytest.mark.parametrize(
    ("text", "structure"),
    [
        ("Within the right half of the pituitary there is a focus of 5 mm.", "pituitary gland"),
        ("C5/6: right foraminal protrusion, 4 mm.", "intervertebral disc"),
        ("Cord: ovoid lesion at C4.", "spinal cord"),
        ("Fracture of the zygomatic bone, the arch is depressed.", "zygomatic bone"),
        ("MRI right knee. Chondral defect of the trochlea.", "right femoral trochlea"),
        ("SMA embolus.", "superior mesenteric artery"),
        ("Pelvic MRI. Cervical tumour with parametrial invasion.", "cervix of uterus"),
        ("LN 4R 12 mm.", "mediastinum"),
        ("Axilla: enlarged level I node on the right.", "right axilla"),
        ("Left parietal scalp haematoma.", "scalp"),
    ],
)
def test_a_part_of_a_name_is_understood_of_what_is_spoken_of(text: str, structure: str) -> None:
    assert structure in [f.structure for f in read(text) if f.lesion]


def test_signs_of_a_disease_are_no_findings_of_their_own() -> None:
    (finding,) = read("Sigmoid wall thickening over 8 cm with pericolic stranding, consistent with diverticulitis.")
    assert (finding.structure, finding.lesion, finding.sizes_mm) == ("sigmoid colon", "diverticulitis", (80.0,))


def test_the_other_side_of_what_is_negative_lacks_the_nodes() -> None:
    found = read("Two nodes in the left axilla, 13 and 9 mm. Right axilla negative.")
    assert [(f.side, f.lesion, f.presence) for f in found] == [
        ("left", "lymphadenopathy", "present"),
        ("right", "lymphadenopathy", "absent"),
    ]


def test_a_doubt_behind_a_comma_is_of_the_second_only() -> None:
    found = read("Left adrenal: focal uptake, metastasis cannot be excluded.")
    assert [(f.lesion, f.presence) for f in found] == [("uptake", "present"), ("metastasis", "possible")]


def test_what_was_not_seen_in_another_year_is_seen_today() -> None:
    (finding,) = read("Nodular opacity in the right lung, 18 mm, not seen in 2021.")
    assert finding.presence == "present"


def test_what_stands_behind_the_question_of_the_examination_is_seen() -> None:
    found = read("Indication: headache, exclude subarachnoid haemorrhage. There is a mass in the left frontal lobe.")
    assert [(f.structure, f.lesion, f.presence) for f in found][-1] == ("left frontal lobe", "mass", "present")


@pytest.mark.parametrize("text", ["Stroke CT, onset two hours ago.", "DVT scan.", "A resection cavity of 4.2 cm."])
def test_what_is_looked_for_and_what_is_left_out_are_no_findings(text: str) -> None:
    assert read(text) == []


def test_the_largest_has_the_size_where_it_lies() -> None:
    found = read("Metastases in T7, T11 and L3, the largest in L3, 28 mm.")
    assert [f.sizes_mm for f in found] == [(), (), (28.0,)]
