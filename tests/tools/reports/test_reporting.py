"""Reports against the toy scan: liver and spleen present, left kidney present, right kidney faint, bladder absent.

The organs are blocks of known size, so the truth of each sentence is known by construction.
"""

from pathlib import Path
from typing import Any

import pytest

from ostensor.retrieval.anatomy.structures import StructureTable
from ostensor.retrieval.reports.findings import Finding, find_findings
from ostensor.retrieval.reports.text import split_report
from ostensor.tools.desk.desk import Desk
from ostensor.tools.reports.contradictions import contradictions
from ostensor.tools.reports.judging import judge_finding
from ostensor.tools.reports.results import Evidence

from ...toys.desks import AFFINE, Ask, toy_scan


def check(ask: Ask, image_id: str, report: str, **options: Any) -> dict[str, Any]:
    reply = ask("check_report", image_id=image_id, report=report, **options)
    assert not reply.is_error, reply.text
    return reply.result


def judged(ask: Ask, image_id: str, sentence: str) -> tuple[str, str]:
    rows = check(ask, image_id, sentence)["findings"]
    assert len(rows) == 1, rows
    return rows[0]["judgement"], " ".join(rows[0]["reasons"])


EXPECTED = (
    ("The liver is normal.", "supported", "present"),
    ("The left kidney is surgically absent.", "contradicted", "but the left kidney is present"),
    ("The bladder is unremarkable.", "contradicted", "structure absent in image"),
    ("The urinary bladder has been removed.", "supported", "not found"),
    ("The right kidney is normal.", "cannot_tell", "unsure"),
    ("The pancreas is normal.", "cannot_tell", "no model for it"),
    ("A 12 mm cyst in the liver.", "cannot_tell", "no model for it"),
    ("A 12 mm cyst in the urinary bladder.", "contradicted", "structure absent in image"),
    ("No liver metastases.", "cannot_tell", "no model for it"),
    ("Rule out liver metastases.", "cannot_tell", "only considers"),
    ("The liver measures 43 mm.", "supported", "size agrees"),
    ("The liver measures 4.3 cm.", "supported", "size agrees"),
    ("The liver measures 4.3 mm.", "contradicted", "size outside tolerance"),
    ("The spleen measures 80 mm.", "cannot_tell", "part inside"),
    ("The spleen has a volume of 1 ml.", "cannot_tell", "part inside"),
    ("The liver is enlarged.", "cannot_tell", "no sourced normal size"),
)


def test_each_judgement(ask: Ask, image_id: str) -> None:
    """The liver's block is 13.6 x 18 x 36 mm: its longest axis is 42.5 mm, by Pythagoras."""
    rows = check(ask, image_id, "\n\n".join(sentence for sentence, _judgement, _reason in EXPECTED))["findings"]
    assert [row["sentence"] for row in rows] == [sentence for sentence, _judgement, _reason in EXPECTED]
    for row, (sentence, judgement, reason) in zip(rows, EXPECTED, strict=True):
        assert row["judgement"] == judgement, (sentence, row["reasons"])
        assert reason in " ".join(row["reasons"]), (sentence, row["reasons"])


def test_evidence_names_mask_tool_model_and_slice(ask: Ask, image_id: str) -> None:
    row = check(ask, image_id, "The liver measures 43 mm.")["findings"][0]
    proof = row["evidence"][0]
    assert proof["mask_id"].startswith("msk_")
    assert (proof["tool"], proof["model"], proof["structure"]) == ("segment", "toy-ct", "liver")
    assert proof["longest_3d_mm"] == pytest.approx((13.6**2 + 18**2 + 36**2) ** 0.5, rel=0.05)
    assert 5 <= proof["slice_index"] < 17
    assert row["sentence"] == "The liver measures 43 mm."
    assert (row["start"], row["size_mm"]) == (0, 43)


def test_a_removed_kidney_on_the_wrong_side_is_a_side_mismatch(ask: Ask, root: Path) -> None:
    from ...toys.desks import save

    organs = {
        "left_kidney": (slice(40, 46), slice(10, 17), slice(3, 9)),
        "liver": (slice(8, 25), slice(10, 30), slice(5, 17)),
    }
    save(root / "one.nii.gz", toy_scan(**organs))
    image = ask("open_image", path="one.nii.gz").result["image_id"]
    judgement, reasons = judged(ask, image, "Status post left nephrectomy.")
    assert judgement == "contradicted"
    assert "side mismatch: it is the right kidney that was not found" in reasons


def test_structures_outside_the_view(ask: Ask, root: Path) -> None:
    from ...toys.desks import save

    save(root / "leg.nii.gz", toy_scan())
    image = ask("open_image", path="leg.nii.gz").result["image_id"]
    judgement, reasons = judged(ask, image, "The liver is normal.")
    assert (judgement, "outside the view" in reasons) == ("cannot_tell", True)


def test_what_no_sentence_mentions_and_what_was_not_checked(ask: Ask, image_id: str) -> None:
    result = check(ask, image_id, "TECHNIQUE: CT.\nFINDINGS: The liver is normal. Please call.")
    silent = {row["structure"]: row["implausible"] for row in result["unmentioned"]}
    assert silent == {"right kidney": True, "spleen": False, "left kidney": False}
    assert [row["sentence"] for row in result["not_checked"]] == ["CT.", "Please call."]
    assert "technique section" in result["not_checked"][0]["reason"]


def test_synthetic_images_cannot_tell_unless_allowed(ask: Ask, root: Path) -> None:
    from ostensor.imaging.files import write_volume
    from ostensor.imaging.volume import Grid

    array = toy_scan(liver=(slice(8, 25), slice(10, 30), slice(5, 17)))
    write_volume(root / "made.nii.gz", array, Grid(array.shape, AFFINE), synthetic=True)
    image = ask("open_image", path="made.nii.gz", modality="ct").result["image_id"]
    row = check(ask, image, "The liver is normal.")["findings"][0]
    assert row["judgement"] == "cannot_tell"
    assert row["reasons"][0].startswith("synthetic input")
    sentence = "The liver measures 4.3 cm."
    allowed = check(ask, image, sentence, allow_synthetic=True)["findings"][0]
    assert allowed["judgement"] == "supported"
    assert "measured 41.86 mm" in allowed["reasons"][1]


@pytest.mark.parametrize(
    ("report", "fact"),
    [
        ("  \n", "empty"),
        ("Leber normal groß. Milz unauffällig, keine Zyste.", "German"),
        ("x" * 200_001, "200001 characters"),
    ],
)
def test_reports_that_cannot_be_read_get_a_clear_refusal(ask: Ask, image_id: str, report: str, fact: str) -> None:
    reply = ask("check_report", image_id=image_id, report=report)
    assert reply.is_error
    assert fact in reply.text


def test_an_unknown_image_is_refused(ask: Ask) -> None:
    reply = ask("check_report", image_id="img_none", report="Liver normal.")
    assert reply.is_error
    assert "Unknown image 'img_none'" in reply.text


def test_long_work_becomes_a_job_whose_answer_reads_the_same(ask: Ask, desk: Desk, root: Path) -> None:
    from desk_toy import SLOW

    from ...toys.desks import save

    array = toy_scan(liver=(slice(8, 25), slice(10, 30), slice(5, 17)))
    array[0, 0, 0] = SLOW
    save(root / "slow.nii.gz", array)
    image = ask("open_image", path="slow.nii.gz").result["image_id"]
    first = check(ask, image, "The liver is normal.", wait_s=0)
    assert first["job_id"].startswith("job_")
    desk.jobs.cancel(first["job_id"])
    assert ask("get_job", job_id=first["job_id"], wait_s=0).result["state"] == "cancelled"


def test_200_sentences_are_judged(ask: Ask, image_id: str) -> None:
    result = check(ask, image_id, "The liver is normal. A 12 mm cyst in the left kidney. " * 100, wait_s=120)
    assert len(result["findings"]) == 200
    assert {row["judgement"] for row in result["findings"]} == {"supported", "cannot_tell"}


def against(text: str) -> list[str]:
    return contradictions(find_findings(split_report(text)), StructureTable.bundled())


def test_left_in_the_findings_and_right_in_the_impression() -> None:
    found = against("FINDINGS: A cyst in the left kidney.\nIMPRESSION: Right renal cyst.")
    assert len(found) == 1
    assert "on the left in sentence 1 (findings), but on the right in sentence 2 (impression)" in found[0]


def test_the_same_size_in_two_units_is_no_contradiction_but_a_slip_is() -> None:
    assert against("FINDINGS: A 12 mm cyst in the liver.\nIMPRESSION: Liver cyst, 1.2 cm.") == []
    slip = against("FINDINGS: A 12 mm cyst in the liver.\nIMPRESSION: Liver cyst, 12 cm.")
    assert "12 mm" in slip[0]
    assert "120 mm" in slip[0]
    assert "is the unit right?" in slip[0]


def test_present_here_and_absent_there() -> None:
    found = against("FINDINGS: No liver mass.\nIMPRESSION: Liver mass.")
    assert "present in sentence 2 (impression), but absent in sentence 1 (findings)" in found[0]
    assert against("FINDINGS: Cysts in the left and in the right kidney. A cyst in the left kidney.") == []


def proof(**facts: Any) -> Evidence:
    return Evidence(
        **{
            "tool": "segment",
            "structure": "kidney tumour",
            "verdict": "present",
            "mask_id": "msk_1",
            "side": "left",
            **facts,
        }
    )


def lesion(text: str) -> Finding:
    return find_findings(split_report(text))[0]


def test_a_model_that_sees_the_lesion_decides_side_and_size() -> None:
    here = [proof(longest_3d_mm=31.0, longest_axial_mm=28.0)]
    assert judge_finding(lesion("A 3 cm mass in the left kidney."), here).judgement == "supported"
    wrong_side = judge_finding(lesion("A 3 cm mass in the right kidney."), here)
    assert wrong_side.judgement == "contradicted"
    assert "side mismatch" in wrong_side.reasons[0]
    wrong_size = judge_finding(lesion("A 9 cm mass in the left kidney."), here)
    assert (wrong_size.judgement, "size outside tolerance" in wrong_size.reasons[0]) == ("contradicted", True)
    assert judge_finding(lesion("No mass in the left kidney."), here).judgement == "contradicted"
    gone = [proof(verdict="absent", mask_id=None, side=None)]
    assert judge_finding(lesion("No mass in the left kidney."), gone).judgement == "supported"
    assert judge_finding(lesion("Possible mass in the left kidney."), gone).judgement == "cannot_tell"


def test_a_present_organ_is_no_evidence_of_its_lesion() -> None:
    """Both kidneys were segmented, which says nothing of a hydronephrosis in "the kidneys"."""
    kidneys = [proof(tool="segment", structure=f"{side} kidney", side=side) for side in ("left", "right")]
    made = judge_finding(lesion("No hydronephrosis."), kidneys)
    assert made.judgement == "cannot_tell"
    assert "no model for it" in made.reasons[0]


def test_a_size_that_fits_the_other_side_is_called_a_side_mismatch() -> None:
    left = proof(structure="left kidney", longest_3d_mm=90.0)
    right = proof(structure="right kidney", longest_3d_mm=130.0, side="right")
    found = judge_finding(lesion("The left kidney measures 13 cm."), [left], partner=right)
    assert found.judgement == "contradicted"
    assert found.reasons[0] == "side mismatch: the size fits the right kidney."


def test_an_organ_said_to_lie_on_the_wrong_side() -> None:
    spleen = proof(structure="spleen", side="left", volume_ml=200.0)
    said = Finding(0, "findings", "spleen", "", "right", "present", "normal")
    found = judge_finding(said, [spleen])
    assert (found.judgement, "lies on the left" in found.reasons[0]) == ("contradicted", True)
    big = Finding(0, "findings", "spleen", "", "", "present", "enlarged")
    assert judge_finding(big, [spleen]).judgement == "contradicted"
    assert judge_finding(big, [proof(structure="spleen", volume_ml=400.0)]).judgement == "supported"


def test_parsing_and_judging_25_sentences_takes_less_than_a_second(desk: Desk, image_id: str) -> None:
    """Without segmentation; CPU time, so that a busy machine does not matter."""
    import time

    from ostensor.tools.reports.grounding import Grounds
    from ostensor.tools.reports.reporting import judged_report, parse

    rows = {"liver": proof(structure="liver", longest_3d_mm=170.0, volume_ml=1500.0)}
    started = time.process_time()
    parsed = parse("The liver measures 17 cm, unchanged, without a mass. " * 25)
    found = find_findings(parsed)
    result = judged_report(desk, image_id, parsed, found, Grounds(rows=rows))
    assert time.process_time() - started < 1
    assert len({row.sentence_number for row in result.findings}) == 25
