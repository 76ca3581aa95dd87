"""One sentence for every kind of fault that reports taught; what is right is written down by hand."""

import pytest

from ostensor.retrieval.reports.findings import Finding, find_findings
from ostensor.retrieval.reports.text import split_report

Row = tuple[str, str, str, str, tuple[float, ...]]


def told(text: str) -> list[Row]:
    """Structure, lesion, side, presence and sizes of every finding."""
    found: list[Finding] = find_findings(split_report(text))
    return [(f.structure, f.lesion, f.side, f.presence, f.sizes_mm) for f in found]


RIGHT: list[tuple[str, list[Row]]] = [
    # a limb has one side in a report
    ("MRI right knee. Tear of the medial meniscus. Small effusion.",
     [("right medial meniscus", "tear", "right", "present", ()), ("right knee", "effusion", "right", "present", ())]),
    ("Fracture of the scaphoid, right wrist.", [("right scaphoid", "fracture", "right", "present", ())]),
    # what goes with a sided lesion is on its side
    ("Stone in the left ureter with mild hydronephrosis.",
     [("left ureter", "stone", "left", "present", ()), ("left kidney", "hydronephrosis", "left", "present", ())]),
    ("Right greater than left pleural effusions.", [("pleural cavity", "effusion", "both", "present", ())]),
    ("Fracture of the left clavicle, displaced to the right.", [("left clavicle", "fracture", "left", "present", ())]),
    ("Two liver lesions, segment 3 9 mm and segment 7 14 mm.", [("liver", "lesion", "", "present", (14.0, 9.0))]),
    ("AAA 5.6 cm, extending into the right common iliac, which measures 2.1 cm.",
     [("abdominal aorta", "aneurysm", "", "present", (56.0,))]),
    ("Right: occlusion of the popliteal artery. Left: stenosis of the external iliac artery.",
     [("right popliteal artery", "occlusion", "right", "present", ()), ("left external iliac artery", "stenosis", "left", "present", ())]),
    ("Carotids: plaque at both bifurcations, 60 % stenosis on the left and less than 30 % on the right.",
     [("common carotid artery", "plaque", "both", "present", ()), ("left common carotid artery", "stenosis", "left", "present", ()),
      ("right common carotid artery", "stenosis", "right", "present", ())]),
    ("Ovaries: right 28 mm, left 52 mm with a 41 mm dermoid.",
     [("right ovary", "", "right", "present", (28.0,)), ("left ovary", "", "left", "present", (52.0,)), ("left ovary", "dermoid", "left", "present", (41.0,))]),
    ("Bilateral renal cysts, up to 4.1 cm on the left and 2.6 cm on the right.",
     [("left kidney", "cyst", "left", "present", (41.0,)), ("right kidney", "cyst", "right", "present", (26.0,))]),
    ("ACL, PCL intact.",
     [("anterior cruciate ligament", "", "", "present", ()), ("posterior cruciate ligament", "", "", "present", ())]),
    ("Gallbladder: no stones, wall not thickened.",
     [("gallbladder", "stone", "", "absent", ()), ("gallbladder wall", "thickening", "", "absent", ())]),
    ("Both knees: moderate effusion on the left, none on the right.",
     [("left knee", "effusion", "left", "present", ()), ("right knee", "effusion", "right", "absent", ())]),
    ("Renal cortical thickness 8 mm on the right and 11 mm on the left.", []),
    # the noun before a colon is that of every line behind it
    ("Nodes: subcarinal 14 mm, right hilar 11 mm.",
     [("mediastinum", "lymphadenopathy", "", "present", (14.0,)), ("hilum of right lung", "lymphadenopathy", "right", "present", (11.0,))]),
    ("Small left pleural effusion and a trivial pericardial one.",
     [("left pleural cavity", "effusion", "left", "present", ()), ("pericardium", "effusion", "", "present", ())]),
    ("Mild mitral and tricuspid regurgitation.",
     [("mitral valve", "regurgitation", "", "present", ()), ("tricuspid valve", "regurgitation", "", "present", ())]),
    ("Stones 5 mm left kidney, 7 mm right kidney.",
     [("left kidney", "stone", "left", "present", (5.0,)), ("right kidney", "stone", "right", "present", (7.0,))]),
    ("7 mm LLL GGO.", [("lower lobe of left lung", "opacity", "left", "present", (7.0,))]),
    ("Both hips: osteoarthritis on the right.", [("right hip joint", "osteoarthritis", "right", "present", ())]),
    ("Post treatment: mediastinal mass 34 mm.", [("mediastinum", "mass", "", "present", (34.0,))]),
    # bare parts are those of what is spoken of
    ("The right lobe of the thyroid contains a 9 mm nodule. The left lobe is normal.",
     [("right lobe of thyroid gland", "nodule", "right", "present", (9.0,)), ("left lobe of thyroid gland", "", "left", "present", ())]),
    ("Left submandibular gland enlarged. 7 mm calculus at the hilum.",
     [("left submandibular gland", "", "left", "present", ()), ("left submandibular gland", "stone", "left", "present", (7.0,))]),
    # clauses that only a comma or nothing parts
    ("The left ovary is normal, there is a 3 cm cyst in the right ovary.",
     [("left ovary", "", "left", "present", ()), ("right ovary", "cyst", "right", "present", (30.0,))]),
    # sizes
    ("There is 5 mm of anterolisthesis of L4.", [("fourth lumbar vertebra", "anterolisthesis", "", "present", (5.0,))]),
    ("CBD 11 mm, dilated.", [("common bile duct", "dilatation", "", "present", (11.0,))]),
    ("The 14 mm nodule in the liver now measures 18 mm.", [("liver", "nodule", "", "present", (18.0,))]),
    ("Right iliac artery 12 mm, left 11.",
     [("right common iliac artery", "", "right", "present", (12.0,)), ("left common iliac artery", "", "left", "present", (11.0,))]),
    ("Liver cysts in segments 4 and 8, 11 mm and 23 mm.", [("liver", "cyst", "", "present", (23.0, 11.0))]),
    ("Cyst of the right kidney, from 2.1 cm in 2019 to 3.6 cm.", [("right kidney", "cyst", "right", "present", (36.0,))]),
    # presence
    ("Rule out appendicitis: appendix normal.",
     [("appendix", "appendicitis", "", "hypothetical", ()), ("appendix", "", "", "present", ())]),
    ("Left lung nodule 18 mm versus 26 mm.", [("left lung", "nodule", "left", "present", (18.0,))]),
    ("At least 5 lung nodules, none larger than 7 mm.", [("lungs", "nodule", "", "present", (7.0,))]),
    ("Left adrenal nodule 14 mm (adenoma?).",
     [("left adrenal gland", "nodule", "left", "present", (14.0,)), ("left adrenal gland", "adenoma", "left", "possible", ())]),
    ("Mesenteric nodes normal sized.", [("mesentery", "lymphadenopathy", "", "absent", ())]),
    ("Chest and abdomen were scanned after 100 ml of iohexol.", []),
    # words that only describe, and words that mean no structure
    ("Lytic or sclerotic lesion: none.", [("", "lesion", "", "absent", ())]),
    ("Right lung mass, mildly calcified.", [("right lung", "mass", "right", "present", ())]),
    ("Renal function is normal. Left pleural catheter in situ.", []),
    ("The patient left the department.", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rows"), RIGHT)
def test_every_kind_of_sentence_is_bound_as_it_is_meant(text: str, rows: list[Row]) -> None:
    assert told(text) == rows


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Lt. VUJ calculus 5 mm. Rt. kidney normal.", 2),
        ("Spleen N. Kidneys N.", 2),
        ("Mild MR. Trileaflet valve.", 2),
        ("Left angle blunted, ? small effusion.", 1),
        ("No pl. effusion.", 1),
        ("Seen by J. Smith today.", 1),
    ],
)
def test_a_full_stop_ends_a_sentence_only_where_it_does(text: str, sentences: int) -> None:
    assert len(split_report(text).sentences) == sentences
